//! Peers that train other runs.
//!
//! Rule: each other run is asked for its spec once, within a bound, and what comes back is a
//! stranger's: it is checked, named by its hash, compared, and nothing else is done with it.

use std::collections::BTreeSet;

use ffp2p_net::{AboutData, Described, FetchError, Handle};
use ffp2p_proto::{Hash, NodeId};
use tokio::task::{JoinError, JoinSet};

use crate::{
    difference::{Run, difference},
    spec::{ForeignSpecError, Spec},
};

/// Questions to peers of other runs, over the life of the node.
const MAX_QUESTIONS: usize = 64;

/// A peer's description of the other run that it trains.
#[derive(Debug)]
pub(super) struct Answer {
    peer: NodeId,
    run: Hash,
    version: String,
    described: Result<Described, FetchError>,
}

/// The other runs that peers train.
#[derive(Debug)]
pub(super) struct OtherRuns {
    spec: Spec,
    about: AboutData,
    known: BTreeSet<Hash>,
    questions: usize,
    asked: JoinSet<Answer>,
}

impl OtherRuns {
    /// None are known; `spec` and `about` are this node's.
    pub(super) fn new(spec: Spec, about: AboutData) -> Self {
        Self { spec, about, known: BTreeSet::new(), questions: 0, asked: JoinSet::new() }
    }

    /// Asks a peer of another run what that is, unless somebody was asked already.
    pub(super) fn ask(&mut self, net: &Handle, peer: NodeId, run: Hash, version: String) {
        if !self.is_new(run) {
            return tracing::debug!(%peer, %run, "it trains another run, too");
        }
        let net = net.clone();
        self.asked.spawn(async move {
            let described = net.fetch_spec(peer, run).await;
            Answer { peer, run, version, described }
        });
    }

    /// Whether a peer of `run` is to be asked for its spec.
    fn is_new(&mut self, run: Hash) -> bool {
        let asks = self.questions < MAX_QUESTIONS && self.known.insert(run);
        self.questions += usize::from(asks);
        asks
    }

    /// Waits for the next answer; `None` if none is awaited.
    pub(super) async fn next(&mut self) -> Option<Result<Answer, JoinError>> {
        self.asked.join_next().await
    }

    /// How the run that a peer trains differs from this one; nothing if the peer is gone, and another
    /// one may be asked.
    pub(super) fn describe(&mut self, answer: Answer) -> Option<(NodeId, String)> {
        let Answer { peer, run, version, described } = answer;
        let text = match described {
            Ok(described) => {
                self.compare(run, &version, &described).unwrap_or_else(|reason| reason)
            }
            Err(FetchError::Disconnected | FetchError::Closed) => {
                self.known.remove(&run);
                return None;
            }
            Err(error) => format!("its description did not come: {error}"),
        };
        Some((peer, format!("trains another run ({}): {text}", run.short())))
    }

    /// The differences between the run of that id and this one.
    ///
    /// # Errors
    /// The reason why they are unknown.
    fn compare(&self, run: Hash, version: &str, described: &Described) -> Result<String, String> {
        let unknown = |error: ForeignSpecError| {
            let own = env!("CARGO_PKG_VERSION");
            format!("{error}; it runs ffp2p {version}, this node ffp2p {own}")
        };
        let theirs = Spec::from_canonical(&described.spec).map_err(unknown)?;
        if theirs.run_id() != run {
            return Err("the spec that it gave is of yet another run; it is ignored".to_owned());
        }
        let data = described.about.as_ref().and_then(|about| about.data.as_ref());
        let theirs = Run { spec: &theirs, data };
        let ours = Run { spec: &self.spec, data: Some(&self.about) };
        Ok(difference(theirs, ours).to_string())
    }

    /// Ends all questions.
    pub(super) async fn close(&mut self) {
        self.asked.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{about::about_data, data::Data};

    fn none() -> OtherRuns {
        let checked = Spec::builder().check(Data::open("digits:200+20").unwrap()).unwrap();
        let about = about_data(&checked);
        OtherRuns::new(checked.spec, about)
    }

    fn run(number: usize) -> Hash {
        Hash::of(&number.to_le_bytes())
    }

    #[test]
    fn each_run_is_asked_for_once_and_only_some_in_all() {
        let mut others = none();
        assert!(others.is_new(run(0)) && !others.is_new(run(0)));
        let asked = (1..1_000).filter(|&number| others.is_new(run(number))).count();
        assert_eq!(asked, MAX_QUESTIONS - 1);
        assert_eq!(others.known.len(), MAX_QUESTIONS);
    }

    #[test]
    fn another_peer_is_asked_when_one_is_gone() {
        let (mut others, peer) = (none(), NodeId([1; 32]));
        let answer = |described| Answer { peer, run: run(0), version: "9".to_owned(), described };
        assert!(others.is_new(run(0)));
        assert_eq!(others.describe(answer(Err(FetchError::Disconnected))), None);
        assert!(others.is_new(run(0)));
        let spec = others.spec.canonical().into();
        let (_, text) = others.describe(answer(Ok(Described { spec, about: None }))).unwrap();
        assert!(text.contains("yet another run"), "{text}");
    }
}
