//! The runs that are trained on this LAN, as their peers describe them.
//!
//! Rule: a description is a stranger's. The spec counts only if it has the hash that is the run's id;
//! the rest is shown and decides nothing.

use std::time::Duration;

use ffp2p_net::{About, SurveyError};
use ffp2p_proto::Hash;
use serde_json::json;

use super::{checks::choose, error::CommandError};
use crate::{
    about,
    data::kind_of,
    node::NodeError,
    spec::{Setting, Spec, typed_settings, widths},
};

/// Time for further runs to show up, once the first was found.
const FURTHER: Duration = Duration::from_millis(300);

/// Time for which peers are searched by who needs one.
const SEARCH: Duration = Duration::from_secs(6);

/// Time for which runs are listened for by who needs none.
const LISTEN: Duration = Duration::from_secs(2);

/// A run that is trained here.
#[derive(Debug)]
pub(super) struct FoundRun {
    /// Its id, as a peer says.
    pub(super) id: Hash,
    /// Its spec, or why it cannot be used.
    pub(super) spec: Result<Spec, String>,
    /// The description by a peer.
    pub(super) about: Option<About>,
}

/// Looks around for `wait`, and once the first run was found for at most `further`.
async fn look_around(
    network: &ffp2p_net::Config,
    wait: Duration,
    further: Duration,
) -> Result<Vec<FoundRun>, SurveyError> {
    let found = ffp2p_net::survey(network.clone(), wait, further).await?;
    let run = |found: ffp2p_net::Found| {
        let spec = Spec::from_canonical(&found.spec).map_err(|error| error.to_string());
        let spec = spec.and_then(|spec| match spec.run_id() == found.run {
            true => Ok(spec),
            false => Err(format!("peer {} gave a spec of another run", found.peer)),
        });
        FoundRun { id: found.run, spec, about: found.about }
    };
    Ok(found.into_iter().map(run).collect())
}

/// The runs that are heard of within two seconds; none where nobody trains.
pub(super) async fn listen(network: &ffp2p_net::Config) -> Result<Vec<FoundRun>, CommandError> {
    match look_around(network, LISTEN, LISTEN).await {
        Err(SurveyError::Start(error)) => Err(NodeError::from(error).into()),
        found => Ok(found.unwrap_or_default()),
    }
}

/// Finds a run on this host or LAN: the one that is asked for, or the only one.
pub(super) async fn find(
    network: &ffp2p_net::Config,
    asked: Option<&str>,
) -> Result<FoundRun, CommandError> {
    match look_around(network, SEARCH, FURTHER).await {
        Ok(found) => choose(found, |run| (run.id.to_string(), run.name()), asked),
        Err(SurveyError::Start(error)) => Err(NodeError::from(error).into()),
        Err(error) => Err(CommandError::NothingYet(format!(
            "{error}\nstart a node with `ffp2p join`, or name one with --peer HOST:PORT"
        ))),
    }
}

/// Settings as they are typed.
pub(super) fn in_flags(settings: &[Setting]) -> String {
    let flags: Vec<_> = settings.iter().map(|it| format!("--{} {}", it.flag, it.value)).collect();
    flags.join(" ")
}

impl FoundRun {
    /// The name that somebody gave it.
    pub(super) fn name(&self) -> Option<String> {
        self.about.as_ref()?.run.clone()
    }

    /// Its spec.
    ///
    /// # Errors
    /// If it cannot be used.
    pub(super) fn spec(&self) -> Result<&Spec, CommandError> {
        let failed = |why: &String| CommandError::Failed(format!("run {}: {why}", self.id.short()));
        self.spec.as_ref().map_err(failed)
    }

    /// Its name, if it has one, and the first digits of its id.
    pub(super) fn called(&self) -> String {
        let id = self.id.short();
        self.name().map_or_else(|| id.to_string(), |name| format!("{name} ({id})"))
    }

    /// The run in a line: data, network, how far, how fast, peers.
    pub(super) fn in_words(&self) -> String {
        let spec = match &self.spec {
            Ok(spec) => spec,
            Err(why) => return format!("{}  {why}", self.called()),
        };
        let about = self.about.as_ref();
        let data = about.and_then(|about| about.data.as_ref());
        let data = data.map_or_else(|| kind_of(&spec.data).to_owned(), about::in_words);
        let mut text =
            format!("{}  {data}; layers {}", self.called(), widths(&spec.network.layers));
        if let Some(about) = about {
            let progress = about.progress;
            let peers = match progress.workers {
                1 => "1 peer".to_owned(),
                workers => format!("{workers} peers"),
            };
            let far = match progress.permille {
                1000.. => "complete".to_owned(),
                permille => format!(
                    "{} % done, {:.0} steps/s",
                    permille / 10,
                    progress.millisteps as f64 / 1e3
                ),
            };
            text.push_str(&format!("; {far}, {peers}; open"));
        }
        text
    }

    /// The settings that give it, as flags; empty where all are at their defaults.
    pub(super) fn flags(&self) -> String {
        let Ok(spec) = &self.spec else { return String::new() };
        let classes = self.about.as_ref().and_then(|about| about.data.as_ref());
        in_flags(&typed_settings(spec, classes.map(|data| data.classes as usize)))
    }

    /// The same for scripts.
    pub(super) fn as_json(&self) -> String {
        let spec = self.spec.as_ref().ok();
        let progress = self.about.as_ref().map(|about| about.progress);
        let data = self.about.as_ref().and_then(|about| about.data.as_ref());
        let samples = data.and_then(|data| data.samples);
        json!({
            "event": "run",
            "run": self.id.to_string(),
            "name": self.name(),
            "data": spec.map(|spec| &spec.data),
            "form": data.map(|data| &data.form),
            "train": samples.map(|(train, _)| train),
            "test": samples.map(|(_, test)| test),
            "layers": spec.map(|spec| &spec.network.layers),
            "steps": spec.map(|spec| spec.network.steps),
            "done": progress.map(|it| f64::from(it.permille) / 1e3),
            "steps_per_second": progress.map(|it| it.millisteps as f64 / 1e3),
            "peers": progress.map(|it| it.workers),
            "locked": false,
            "problem": self.spec.as_ref().err(),
        })
        .to_string()
    }
}
