//! `ffp2p sim`: a forecast of a run on machines that the user describes.
//!
//! Rule: equal arguments print equal lines, unless this machine is measured for them; what was not
//! simulated but extrapolated is marked.

use std::time::Instant;

use super::{checks::threads, decisions::decisions, error::CommandError};
use crate::{
    bench,
    cli::SimArgs,
    pool::Pool,
    sim::{Churn, CostModel, Link, MAX_NODES, MAX_PER_HOUR, Newcomer, Prediction, Rehearsal},
    spec::Checked,
    train::TrainError,
    view::line,
};

/// Gain, in percent, from which on twice as many machines pay.
const PAYS_PERCENT: f64 = 10.0;

/// Rounds of measuring, where no speeds are given.
const ROUNDS: usize = 5;

/// Possible GFLOP/s of a machine.
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
        seed: args.sim_seed,
        chapters: args.chapters,
        ..Rehearsal::new(&checked, costs, gflops, link)
    };
    if !args.json {
        head(&rehearsal, &args);
    }
    let (found, stalled) = rehearse(&rehearsal, &nodes, args.json)?;
    tail(&found, stalled, args.json);
    Ok(())
}

/// One line for each number of nodes, up to the first with which the run stalls.
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
                    line(&newcomer_line(newcomer));
                }
                found.push(next);
            }
            Err(reason) => {
                let text = format!("{nodes} nodes stall: {reason}");
                if found.is_empty() {
                    return Err(CommandError::Failed(text));
                }
                let event = serde_json::json!({ "event": "stalled", "nodes": nodes, "reason": reason.to_string() });
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

/// The cost of the machines' work, and their speeds.
fn machines(args: &SimArgs, checked: &Checked) -> Result<(CostModel, Vec<f64>), CommandError> {
    let network = &checked.spec.network;
    if !args.gflops.is_empty() {
        return Ok((CostModel::default_for(network, checked.data.is_drawn()), args.gflops.clone()));
    }
    let threads = threads(args.threads, Pool::default_threads(1))?;
    let pool = Pool::new(threads);
    let began = Instant::now();
    checked.data.train(threads);
    let drawing = began.elapsed().as_secs_f64() / f64::from(checked.data.shape().train);
    let cost = pool.inside(|| bench::step(checked, threads, ROUNDS, &pool));
    let cost = cost.map_err(TrainError::from)?;
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
    format!(
        "{:>5} {:>5} {:>10.1} {:>11.1} {:>9.2} {:>8.2} {:>6.3} {:>9.2} {:>10.1} {:>8.1}  {} of {}",
        found.nodes,
        found.busy,
        found.alone_seconds,
        found.together_seconds,
        found.speed_up(),
        found.ceiling,
        found.speed_up() / found.ceiling,
        found.megabytes,
        found.network * 100.0,
        found.again * 100.0,
        found.chapters_simulated,
        found.chapters,
    )
}

/// The effect of one more machine.
fn newcomer_line(newcomer: Newcomer) -> String {
    let Newcomer { at, lowest_before: before, lowest_after: after, slow_seconds, later } = newcomer;
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
        "alone_seconds": found.alone_seconds,
        "together_seconds": found.together_seconds,
        "speed_up": found.speed_up(),
        "ceiling": found.ceiling,
        "share": found.speed_up() / found.ceiling,
        "megabytes_a_link_and_epoch": found.megabytes,
        "network_share": found.network,
        "network_seconds": found.network * found.together_seconds * found.nodes as f64,
        "crashes": found.crashes,
        "trained_again": found.again,
        "chapters_simulated": found.chapters_simulated,
        "chapters": found.chapters,
        "newcomer": found.newcomer.map(|it| serde_json::json!({
            "joined_seconds": it.at,
            "lowest_before": it.lowest_before,
            "lowest_after": it.lowest_after,
            "slow_seconds": it.slow_seconds,
            "later": it.later,
        })),
    })
}

/// The number of nodes at which more machines stop paying.
fn tail(found: &[Prediction], stalled: bool, as_json: bool) {
    if found.len() + usize::from(stalled) < 2 {
        return;
    }
    let last = found.last().filter(|_| stalled).map(|it| it.nodes);
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
