//! A look around: which runs are being trained here?
//!
//! Rule: a survey takes part in nothing. It connects as a peer without a run, asks one peer of each
//! run for the spec, and leaves. The caller checks whether a spec has the hash that is its run id.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ffp2p_proto::{Hash, NodeId};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::config::Config;
use crate::error::{FetchError, StartError, SurveyError};
use crate::event::Event;
use crate::exchange::blob_serving::NoBlobs;
use crate::handle::Handle;
use crate::start::spawn;
use crate::wire::about::{About, Described};

/// Runs in one result.
const MAX_FOUND: usize = 64;

/// A run that is being trained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name, as the peer says.
    pub run: Hash,
    /// Its spec, as the peer says; not verified.
    pub spec: Bytes,
    /// A peer that trains it.
    pub peer: NodeId,
    /// The description by that peer.
    pub about: Option<About>,
}

/// Looks around for at most `wait`, and once the first run was found no longer than `further` for others.
/// `config.run` is not used.
///
/// # Errors
/// When the node does not start, or nothing is found: the error says what was tried.
pub async fn survey(
    config: Config,
    wait: Duration,
    further: Duration,
) -> Result<Vec<Found>, SurveyError> {
    let deadline = Instant::now() + wait;
    let config = Config { run: None, ..config };
    let (handle, mut events) = spawn(config, Arc::new(NoBlobs)).await?;
    let mut seen = Seen { found: Vec::new(), failed: None };
    seen.collect(&handle, &mut events, (deadline, further)).await;
    let report = handle.report().await;
    handle.shutdown().await;
    match (seen.found.is_empty(), seen.failed, report) {
        (false, _, _) => Ok(seen.found),
        (true, Some((peer, reason)), _) => Err(SurveyError::NoSpec { peer, reason }),
        (true, None, Some(report)) => Err(SurveyError::Nobody(Box::new(report))),
        (true, None, None) => Err(StartError::Setup("the survey ended early".to_owned()).into()),
    }
}

struct Seen {
    found: Vec<Found>,
    failed: Option<(NodeId, FetchError)>,
}

impl Seen {
    /// Takes in the description of a run. A peer that has the run's data knows more than one without.
    fn add(&mut self, new: Found) {
        let has_data = |found: &Found| found.about.as_ref().is_some_and(|it| it.data.is_some());
        match self.found.iter_mut().find(|old| old.run == new.run && old.spec == new.spec) {
            Some(old) if has_data(&new) && !has_data(old) => *old = new,
            Some(_) => {}
            None => self.found.push(new),
        }
    }

    async fn collect(
        &mut self,
        handle: &Handle,
        events: &mut mpsc::Receiver<Event>,
        (mut deadline, further): (Instant, Duration),
    ) {
        while self.found.len() < MAX_FOUND
            && let Ok(Some(event)) = tokio::time::timeout_at(deadline, events.recv()).await
        {
            let Event::OtherRun { peer, run, .. } = event else { continue };
            match tokio::time::timeout_at(deadline, handle.fetch_spec(peer, run)).await {
                Ok(Ok(Described { spec, about })) => {
                    if self.found.is_empty() {
                        deadline = deadline.min(Instant::now() + further);
                    }
                    self.add(Found { run, spec, peer, about });
                }
                Ok(Err(reason)) => self.failed = Some((peer, reason)),
                Err(_) => self.failed = Some((peer, FetchError::Transfer("no answer".to_owned()))),
            }
        }
    }
}
