//! The run that `join` trains: the one that the user names or describes, or the one that is there.
//!
//! Rule: a run is found, not guessed. Where there are several the user chooses; a spec that comes from a
//! peer is checked like any stranger's, and shown before anything is trained.

use std::io::{BufRead as _, IsTerminal as _};

use super::{
    checks::{check_run, choose},
    error::CommandError,
    found::{FoundRun, find, listen},
};
use crate::{
    about::run_info,
    config::Given,
    data::{Data, PRIVATE, Source},
    events::{Event, EventSink},
    sharing::{Cache, Wanted, fetch},
    spec::{Checked, Spec, SpecBuilder},
    view::line,
};

/// What the user said of the run.
pub(super) struct Said {
    pub(super) given: Given,
    /// The run that is to be joined, by name or id.
    pub(super) run: Option<String>,
    /// Whether a new run is to be started in any case.
    pub(super) new: bool,
    /// The name of the run.
    pub(super) name: Option<String>,
    /// Whether the output is read by a program.
    pub(super) json: bool,
}

/// The run that is joined or started, and its name.
pub(super) async fn enter(
    said: Said,
    network: &ffp2p_net::Config,
    sink: &mut dyn EventSink,
) -> Result<(Checked, Option<String>), CommandError> {
    let Said { given, run, new, name, json } = said;
    let is_plain = given.settings == SpecBuilder::default();
    let found = match &run {
        Some(run) => {
            if !is_plain {
                let text = "--run: its settings come from the run; leave the other ones out";
                return Err(CommandError::Usage(text.to_owned()));
            }
            check_run(run)?;
            Some(find(network, Some(run)).await?)
        }
        None if new || !is_plain || given.data.is_some() => None,
        None => only(network, json, sink).await?,
    };
    let Some(found) = found else { return Ok((given.check()?, name)) };
    let spec = found.spec()?.clone();
    note(sink, format!("joining run {}", found.in_words()));
    let flags = found.flags();
    if !flags.is_empty() {
        note(sink, format!("its settings: {flags}"));
    }
    let data = data_of(&spec, given.data.as_deref(), network, sink).await?;
    let checked = Checked::of(spec, data)
        .map_err(|error| CommandError::Usage(format!("run {}: {error}", found.called())))?;
    Ok((checked, name.or_else(|| found.name())))
}

/// The only run that is there, or the one that the user chooses.
async fn only(
    network: &ffp2p_net::Config,
    json: bool,
    sink: &mut dyn EventSink,
) -> Result<Option<FoundRun>, CommandError> {
    let found = listen(network).await?;
    if found.is_empty() {
        let text = "no run was found here: starting the default one, on generated digits; others join \
                    it with `ffp2p join`";
        note(sink, text.to_owned());
        return Ok(None);
    }
    if found.len() > 1 && !json && std::io::stdin().is_terminal() {
        return ask(found).map(Some);
    }
    if found.len() > 1 {
        let list: Vec<_> = found.iter().map(FoundRun::in_words).collect();
        let text = format!("there are several runs; choose one with --run:\n{}", list.join("\n"));
        return Err(CommandError::Usage(text));
    }
    choose(found, |run| (run.id.to_string(), run.name()), None).map(Some)
}

/// Asks which one.
fn ask(mut found: Vec<FoundRun>) -> Result<FoundRun, CommandError> {
    for (number, run) in (1..).zip(&found) {
        line(&format!("{number}  {}", run.in_words()));
    }
    line(&format!("which run? 1 to {}", found.len()));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    let number = read.ok().and_then(|_| answer.trim().parse::<usize>().ok());
    match number.filter(|number| (1..=found.len()).contains(number)) {
        Some(number) => Ok(found.swap_remove(number - 1)),
        None => {
            let text = "no run was chosen; choose one with --run NAME or ID";
            Err(CommandError::Usage(text.to_owned()))
        }
    }
}

/// The data set of a run: the user's own, one that the program generates, or one that is fetched.
async fn data_of(
    spec: &Spec,
    own: Option<&str>,
    network: &ffp2p_net::Config,
    sink: &mut dyn EventSink,
) -> Result<Data, CommandError> {
    if let Some(own) = own {
        return Ok(Data::open(own)?);
    }
    if spec.data.starts_with(PRIVATE) {
        let text = "in this run each machine trains on data of its own, which stay there; name yours \
                    with --data, and the run with --run";
        return Err(CommandError::Usage(text.to_owned()));
    }
    if let Some(source) = Source::of_id(&spec.data) {
        return Ok(source.open()?);
    }
    let cache = Cache::of_user()?;
    let (run, network) = (run_info(spec, None, None), network.clone());
    Ok(fetch(Wanted { run, id: &spec.data, network, cache: &cache }, sink).await?)
}

fn note(sink: &mut dyn EventSink, message: String) {
    sink.on_event(&Event::Note { message });
}
