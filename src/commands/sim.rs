//! `ffp2p sim`: how a run would go on machines that the person describes.
//!
//! Rule: equal arguments print equal lines, unless this machine is measured for them; what was not
//! simulated but follows from the pace is said.

use std::time::Instant;

use super::{CommandError, join::decisions, threads};
use crate::{
    bench,
    cli::SimArgs,
    node::Pool,
    sim::{Churn, CostModel, Link, MAX_NODES, MAX_PER_HOUR, Newcomer, Prediction, Rehearsal},
    spec::Checked,
    view::line,
};

/// Twice the machines pay when they gain more than this, percent.
const PAYS_PERCENT: f64 = 10.0;

/// Rounds of measuring, where nothing is said of the machines.
const ROUNDS: usize = 5;

/// GFLOP/s that a machine can have.
const GFLOPS: std::ops::RangeInclusive<f64> = 0.01..=1e6;

pub(super) fn run(args: SimArgs) -> Result<(), CommandError> {
    let link: Link = args.link.parse().map_err(|error| usage("link", &args.link, &error))?;
    let nodes = checked_nodes(&args.nodes)?;
    if args.joins.is_some() && nodes.first() == Some(&1) {
        return Err(usage(
            "nodes",
            1,
            &"with --joins there are 2 or more, of which the last comes later",
        ));
    }
    if let Some(wrong) = args.gflops.iter().find(|it| !GFLOPS.contains(it)) {
        return Err(usage("gflops", wrong, &"choose 0.01 to 1000000 for each machine"));
    }
    if !(0.0..=MAX_PER_HOUR).contains(&args.churn) {
        return Err(usage("churn", args.churn, &format!("choose 0 to {MAX_PER_HOUR} an hour")));
    }
    let config = decisions(&args.keep)?;
    let checked = args.spec.clone().check()?;
    let (costs, gflops) = machines(&args, &checked)?;
    let churn = Churn { per_hour: args.churn };
    let rehearsal = Rehearsal {
        churn,
        joins: args.joins,
        config,
        chance: args.chance,
        chapters: args.chapters,
        ..Rehearsal::new(&checked, costs, gflops, link)
    };
    if !args.json {
        head(&rehearsal, &args);
    }
    let (found, still) = rehearse(&rehearsal, &nodes, args.json)?;
    tail(&found, still, args.json);
    Ok(())
}

/// One line for each number of nodes, up to the first with which the run stands still.
fn rehearse(
    rehearsal: &Rehearsal,
    nodes: &[usize],
    as_json: bool,
) -> Result<(Vec<Prediction>, bool), CommandError> {
    let mut found = Vec::new();
    for &nodes in nodes {
        match rehearsal.predict(nodes) {
            Ok(next) => {
                line(&if as_json { json(&next).to_string() } else { row(&next) });
                if let Some(newcomer) = next.newcomer.filter(|_| !as_json) {
                    line(&told(newcomer));
                }
                found.push(next);
            }
            Err(reason) => {
                let text = format!("{nodes} nodes stand still: {reason}");
                if found.is_empty() {
                    return Err(CommandError::Failed(text));
                }
                let event = serde_json::json!({ "event": "still", "nodes": nodes, "reason": reason.to_string() });
                line(&if as_json { event.to_string() } else { text });
                return Ok((found, true));
            }
        }
    }
    Ok((found, false))
}

fn usage(
    flag: &str,
    value: impl std::fmt::Display,
    reason: &dyn std::fmt::Display,
) -> CommandError {
    CommandError::Usage(format!("--{flag} {value}: {reason}"))
}

/// The numbers of nodes, in rising order.
fn checked_nodes(nodes: &[usize]) -> Result<Vec<usize>, CommandError> {
    if let Some(wrong) = nodes.iter().find(|it| !(1..=MAX_NODES).contains(*it)) {
        return Err(usage("nodes", wrong, &format!("choose 1 to {MAX_NODES}")));
    }
    let mut nodes = nodes.to_vec();
    nodes.sort_unstable();
    nodes.dedup();
    Ok(nodes)
}

/// What the machines' work takes, and how fast they are.
fn machines(args: &SimArgs, checked: &Checked) -> Result<(CostModel, Vec<f64>), CommandError> {
    let network = &checked.spec.network;
    if !args.gflops.is_empty() {
        return Ok((CostModel::usual(network, checked.data.is_drawn()), args.gflops.clone()));
    }
    let threads = threads(args.threads, Pool::usual_threads(1))?;
    let pool = Pool::new(threads);
    let began = Instant::now();
    checked.data.train(threads);
    let drawing = began.elapsed().as_secs_f64() / f64::from(checked.data.shape().train);
    let cost = pool.inside(|| bench::step(checked, threads, ROUNDS, &pool))?;
    let (costs, gflops) = CostModel::measured(network, &cost, drawing);
    Ok((costs, vec![gflops]))
}

fn head(rehearsal: &Rehearsal, args: &SimArgs) {
    let spec = &rehearsal.spec;
    let list = |numbers: &mut dyn Iterator<Item = String>| numbers.collect::<Vec<_>>().join(",");
    let layers = list(&mut spec.network.layers.iter().map(ToString::to_string));
    let gflops = list(&mut rehearsal.gflops.iter().map(|it| format!("{:.0}", it)));
    let shards = spec.network.shards_per_layer;
    let placement = serde_json::json!(spec.placement);
    let placement = placement.as_str().unwrap_or_default();
    line(&format!("layers {layers}, {shards} shards, {placement}, {} epochs", spec.epochs));
    line(&format!(
        "machines of {gflops} GFLOP/s, link {}, {} crashes an hour",
        args.link, args.churn
    ));
    line(
        "nodes  busy    alone s  together s  speed-up  ceiling  share  MB/epoch  network %  again %  chapters",
    );
}

fn row(found: &Prediction) -> String {
    let (alone, together) = found.seconds;
    format!(
        "{:>5} {:>5} {:>10.1} {:>11.1} {:>9.2} {:>8.2} {:>6.3} {:>9.2} {:>10.1} {:>8.1}  {} of {}",
        found.nodes,
        found.busy,
        alone,
        together,
        found.speed_up(),
        found.ceiling,
        found.speed_up() / found.ceiling,
        found.megabytes,
        found.network * 100.0,
        found.again * 100.0,
        found.chapters.0,
        found.chapters.1,
    )
}

/// What one more machine did.
fn told(newcomer: Newcomer) -> String {
    let Newcomer { at, lowest: (before, after), slow_seconds, later } = newcomer;
    format!(
        "      the last one joins at {at:.1} s: lowest speed before {before:.2}, after {after:.2}, \
         below 0.90 for {slow_seconds:.1} s, later {later:.2}"
    )
}

fn json(found: &Prediction) -> serde_json::Value {
    serde_json::json!({
        "event": "sim",
        "nodes": found.nodes,
        "busy": found.busy,
        "alone_seconds": found.seconds.0,
        "together_seconds": found.seconds.1,
        "speed_up": found.speed_up(),
        "ceiling": found.ceiling,
        "share": found.speed_up() / found.ceiling,
        "megabytes_a_link_and_epoch": found.megabytes,
        "network_share": found.network,
        "network_seconds": found.network * found.seconds.1 * found.nodes as f64,
        "crashes": found.crashes,
        "trained_again": found.again,
        "chapters_simulated": found.chapters.0,
        "chapters": found.chapters.1,
        "newcomer": found.newcomer.map(|it| serde_json::json!({
            "joined_seconds": it.at,
            "lowest_before": it.lowest.0,
            "lowest_after": it.lowest.1,
            "slow_seconds": it.slow_seconds,
            "later": it.later,
        })),
    })
}

/// Where more machines stop paying.
fn tail(found: &[Prediction], still: bool, as_json: bool) {
    if found.len() + usize::from(still) < 2 {
        return;
    }
    let last = found.last().filter(|_| still).map(|it| it.nodes);
    let stops = stops_paying(found).or(last);
    let event = serde_json::json!({
        "event": "pays",
        "until_nodes": stops,
        "margin_percent": PAYS_PERCENT,
    });
    line(&match stops {
        _ if as_json => event.to_string(),
        Some(nodes) => format!(
            "It stops paying at {nodes} nodes: from there, twice as many gain less than {PAYS_PERCENT} %."
        ),
        None => format!(
            "It pays up to the last line: twice as many always gain {PAYS_PERCENT} % or more."
        ),
    });
}

/// The first number of nodes from which twice as many, by the next line, gain too little.
fn stops_paying(found: &[Prediction]) -> Option<usize> {
    let gains = found.windows(2).map(|two| {
        let doublings = (two[1].nodes as f64 / two[0].nodes as f64).log2();
        (two[0].nodes, (two[1].speed_up() / two[0].speed_up()).powf(1.0 / doublings))
    });
    let mut gains = gains.skip_while(|(_, gain)| *gain >= 1.0 + PAYS_PERCENT / 100.0);
    gains.next().map(|(nodes, _)| nodes)
}
