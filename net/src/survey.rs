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
use crate::exchange::blob_serving::BlobSource;
use crate::handle::Handle;
use crate::start::spawn;
use crate::wire::about::{About, Described};

/// Time for further runs to show up, once the first was found.
const FIRST_FOUND: Duration = Duration::from_millis(300);

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

/// A source without blobs.
struct Nothing;

impl BlobSource for Nothing {
    fn get(&self, _: &Hash) -> Option<Bytes> {
        None
    }
}

/// Looks around for at most `wait`, less when a run is found. `config.run` is not used.
///
/// # Errors
/// When the node does not start, or nothing is found: the error says what was tried.
pub async fn survey(config: Config, wait: Duration) -> Result<Vec<Found>, SurveyError> {
    let deadline = Instant::now() + wait;
    let config = Config { run: None, ..config };
    let (handle, mut events) = spawn(config, Arc::new(Nothing)).await?;
    let mut seen = Seen { found: Vec::new(), failed: None };
    seen.collect(&handle, &mut events, deadline).await;
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
    async fn collect(
        &mut self,
        handle: &Handle,
        events: &mut mpsc::Receiver<Event>,
        mut deadline: Instant,
    ) {
        while self.found.len() < MAX_FOUND
            && let Ok(Some(event)) = tokio::time::timeout_at(deadline, events.recv()).await
        {
            let Event::OtherRun { peer, run, .. } = event else { continue };
            match tokio::time::timeout_at(deadline, handle.fetch_spec(peer, run)).await {
                Ok(Ok(Described { spec, about })) => {
                    if self.found.is_empty() {
                        deadline = deadline.min(Instant::now() + FIRST_FOUND);
                    }
                    if !self.found.iter().any(|old| old.run == run && old.spec == spec) {
                        self.found.push(Found { run, spec, peer, about });
                    }
                }
                Ok(Err(reason)) => self.failed = Some((peer, reason)),
                Err(_) => self.failed = Some((peer, FetchError::Transfer("no answer".to_owned()))),
            }
        }
    }
}
