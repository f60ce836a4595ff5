//! What is told of those who train other runs.
//!
//! Rule: each other run is asked for its spec once, within a bound, and what comes back is a
//! stranger's: it is checked, named by its hash, compared, and nothing else is done with it.

use std::collections::BTreeSet;

use ffp2p_net::{Described, FetchError};
use ffp2p_proto::{Hash, NodeId};

use super::{driver::Node, types::Found};
use crate::{
    difference::{Run, difference},
    spec::{ForeignSpecError, Spec},
};

/// Questions to peers of other runs, over the life of the node.
const MAX_QUESTIONS: usize = 64;

/// The other runs that peers train.
#[derive(Debug, Default)]
pub(super) struct Others {
    known: BTreeSet<Hash>,
    questions: usize,
}

impl Others {
    /// Whether a peer of `run` shall be asked for its spec.
    fn ask(&mut self, run: Hash) -> bool {
        let asks = self.questions < MAX_QUESTIONS && self.known.insert(run);
        self.questions += usize::from(asks);
        asks
    }

    /// The peer that was asked is gone: another one may be.
    fn again(&mut self, run: Hash) {
        self.known.remove(&run);
    }
}

impl Node {
    /// A peer trains another run: asks it what that is, unless somebody was asked already.
    pub(super) fn on_other_run(&mut self, peer: NodeId, run: Hash, version: String) {
        if !self.others.ask(run) {
            return tracing::debug!(%peer, %run, "it trains another run, too");
        }
        let (net, results) = (self.net.clone(), self.results.0.clone());
        tokio::spawn(async move {
            let answer = net.fetch_spec(peer, run).await;
            // The loop is gone when the node stops; then nobody wants to know.
            let _ = results.send(Found::OtherRun { peer, run, version, answer }).await;
        });
    }

    /// Tells how a run that a peer trains differs from this one.
    pub(super) fn tell_other_run(
        &mut self,
        peer: NodeId,
        run: Hash,
        version: &str,
        answer: Result<Described, FetchError>,
    ) {
        let told = match answer {
            Ok(described) => match self.compare(run, version, &described) {
                Ok(told) => told,
                Err(reason) => reason,
            },
            Err(FetchError::Disconnected | FetchError::Closed) => return self.others.again(run),
            Err(error) => format!("what it is did not come: {error}"),
        };
        let name = self.names.of(peer);
        self.note(format!("{name} trains another run ({}): {told}", run.short()));
    }

    /// What differs between the run of that name and this one.
    ///
    /// # Errors
    /// Why that cannot be said.
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
        let ours = Run { spec: &self.spec, data: Some(&self.about_data) };
        Ok(difference(theirs, ours).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_is_asked_for_once_and_so_many_in_all() {
        let mut others = Others::default();
        let run = |number: usize| Hash::of(&number.to_le_bytes());
        assert!(others.ask(run(0)) && !others.ask(run(0)));
        others.again(run(0));
        assert!(others.ask(run(0)));
        let asked = (1..1_000).filter(|&number| others.ask(run(number))).count();
        assert_eq!(asked, MAX_QUESTIONS - 2);
        assert_eq!(others.known.len(), MAX_QUESTIONS - 1);
    }
}
