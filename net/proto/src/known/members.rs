//! The peers that are here.
//!
//! Rule: a peer is here from its first sign of life until it says goodbye or is silent for too
//! long. A goodbye is final, because identities are fresh at every start; silence is not.

use std::collections::{BTreeMap, VecDeque};

use crate::{BatchRun, Config, Heartbeat, Kept, MAX_MEMBERS, NodeId, Role, ShardId, Time};

/// A heartbeat is taken for overtaken by a later one for this long, ms: none is under way longer. If a
/// peer's numbers stay below one that it sent, that one was wrong.
const OVERTAKEN_MS: u64 = 10_000;

/// Knowledge about one peer.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) role: Role,
    pub(crate) leaving: bool,
    pub(crate) complete: bool,
    /// Millions of multiply-accumulates a second, 0 when unknown.
    pub(crate) speed: u64,
    pub(crate) batches: Vec<BatchRun>,
    /// The epoch that it is scoring, 0 for none.
    pub(crate) evaluating: u64,
    pub(crate) kept: Kept,
    pub(crate) avoids: Vec<NodeId>,
    /// False while it is known by hearsay only.
    pub(crate) heard: bool,
    /// When it came.
    pub(crate) since: Time,
    gone_at: Time,
    heartbeat_seq: u64,
    /// When the last heartbeat came that was taken in.
    beaten: Time,
    request_seq: u64,
}

impl Member {
    /// Whether it says that it holds the batch of `shard` for `step`.
    pub(crate) fn holds_batch(&self, shard: ShardId, step: u64) -> bool {
        let holds = |run: &BatchRun| run.shard == shard && (run.from..run.until).contains(&step);
        self.batches.iter().any(holds)
    }
}

/// The peers, this one excluded.
#[derive(Debug, Default)]
pub(crate) struct Members {
    map: BTreeMap<NodeId, Member>,
    /// The last peers that said goodbye: an overtaken heartbeat must not bring them back.
    departed: VecDeque<NodeId>,
    version: u64,
}

impl Members {
    /// A sign of life of `id`. Returns it, or `None` when it departed or the table is full.
    pub(crate) fn heard(&mut self, id: NodeId, now: Time, config: &Config) -> Option<&mut Member> {
        if self.departed.contains(&id) {
            return None;
        }
        if self.map.len() >= MAX_MEMBERS && !self.map.contains_key(&id) {
            return None;
        }
        let member = self.map.entry(id).or_insert_with(|| Member {
            role: Role::Worker,
            leaving: false,
            complete: false,
            speed: 0,
            batches: Vec::new(),
            evaluating: 0,
            kept: Kept::default(),
            avoids: Vec::new(),
            heard: false,
            since: now,
            gone_at: now,
            heartbeat_seq: 0,
            beaten: now,
            request_seq: 0,
        });
        member.gone_at = now.after(config.silent_ms);
        Some(member)
    }

    /// Others tell of `id`: unless it is known already, it gets the time to be heard. What is
    /// said of a peer is no sign of its life.
    pub(crate) fn told_of(&mut self, id: NodeId, now: Time, config: &Config) {
        if !self.contains(id) {
            self.heard(id, now, config);
        }
    }

    /// Takes in what a peer says of itself. `None` when it is out of date; otherwise whether the
    /// peer is new.
    pub(crate) fn heartbeat(
        &mut self,
        id: NodeId,
        beat: &Heartbeat,
        now: Time,
        config: &Config,
    ) -> Option<bool> {
        let member = self.heard(id, now, config)?;
        if beat.seq <= member.heartbeat_seq && now.since(member.beaten) < OVERTAKEN_MS {
            return None;
        }
        let is_new = !member.heard;
        let changed = is_new
            || member.role != beat.role
            || member.leaving != beat.leaving
            || member.avoids != beat.avoids
            || member.speed != beat.speed;
        member.heartbeat_seq = beat.seq;
        member.beaten = now;
        member.heard = true;
        member.role = beat.role;
        member.leaving = beat.leaving;
        member.complete = beat.complete;
        member.speed = beat.speed;
        member.batches.clone_from(&beat.batches);
        member.evaluating = beat.evaluating;
        member.kept = beat.kept;
        member.avoids.clone_from(&beat.avoids);
        self.version += u64::from(changed);
        Some(is_new)
    }

    /// An epoch has its score: whoever was scoring it can score the next one, though its heartbeat
    /// does not say so yet.
    pub(crate) fn scored(&mut self, epoch: u64) {
        for member in self.map.values_mut().filter(|member| member.evaluating == epoch) {
            member.evaluating = 0;
        }
    }

    /// Whether a request with this number is newer than the last one of `id`; remembers it.
    pub(crate) fn is_new_request(&mut self, id: NodeId, seq: u64) -> bool {
        let Some(member) = self.map.get_mut(&id) else { return false };
        let is_new = seq > member.request_seq;
        member.request_seq = member.request_seq.max(seq);
        is_new
    }

    /// The connection to `id` is lost: it has a shorter time left to be heard by other ways.
    pub(crate) fn disconnected(&mut self, id: NodeId, now: Time, config: &Config) {
        if let Some(member) = self.map.get_mut(&id) {
            member.gone_at = member.gone_at.min(now.after(config.disconnected_ms));
        }
    }

    /// `id` said goodbye. Returns what it was here for, if it was.
    pub(crate) fn depart(&mut self, id: NodeId) -> Option<Role> {
        if self.departed.len() >= MAX_MEMBERS {
            self.departed.pop_front();
        }
        self.departed.push_back(id);
        self.version += 1;
        self.map.remove(&id).map(|member| member.role)
    }

    /// Removes and returns the peers that were silent for too long, and what they were here for.
    pub(crate) fn expire(&mut self, now: Time) -> Vec<(NodeId, Role)> {
        let gone: Vec<_> = self
            .map
            .iter()
            .filter(|(_, member)| member.gone_at <= now)
            .map(|(&id, member)| (id, member.role))
            .collect();
        for (id, _) in &gone {
            self.map.remove(id);
            self.version += 1;
        }
        gone
    }

    /// Grows with everything that decides who can be given work.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn contains(&self, id: NodeId) -> bool {
        self.map.contains_key(&id)
    }

    pub(crate) fn get(&self, id: NodeId) -> Option<&Member> {
        self.map.get(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (NodeId, &Member)> {
        self.map.iter().map(|(&id, member)| (id, member))
    }

    /// The peers that can be given work: those that said of themselves that they take it.
    pub(crate) fn workers(&self) -> impl Iterator<Item = (NodeId, &Member)> {
        self.iter()
            .filter(|(_, member)| member.heard && member.role == Role::Worker && !member.leaving)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId([1; 32]);

    fn beat(seq: u64) -> Heartbeat {
        Heartbeat { seq, speed: 7, ..crate::testing::heartbeat() }
    }

    #[test]
    fn silence_ends_membership_and_a_sign_of_life_renews_it() {
        let config = Config::default();
        let mut members = Members::default();
        assert_eq!(members.heartbeat(A, &beat(1), Time(0), &config), Some(true));
        assert_eq!(members.heartbeat(A, &beat(2), Time(2_000), &config), Some(false));
        assert!(members.expire(Time(4_499)).is_empty());
        assert_eq!(members.expire(Time(4_500)), [(A, Role::Worker)]);
        assert_eq!(members.heartbeat(A, &beat(3), Time(5_000), &config), Some(true));
    }

    #[test]
    fn an_overtaken_heartbeat_is_dropped() {
        let config = Config::default();
        let mut members = Members::default();
        members.heartbeat(A, &beat(5), Time(0), &config);
        assert_eq!(members.heartbeat(A, &beat(4), Time(1), &config), None);
        assert!(members.is_new_request(A, 3) && !members.is_new_request(A, 3));
    }

    #[test]
    fn one_wrong_number_does_not_silence_a_peer_for_good() {
        let config = Config::default();
        let mut members = Members::default();
        members.heartbeat(A, &beat(u64::MAX), Time(0), &config);
        assert_eq!(members.heartbeat(A, &beat(2), Time(OVERTAKEN_MS - 1), &config), None);
        assert!(members.heartbeat(A, &beat(3), Time(OVERTAKEN_MS), &config).is_some());
        assert!(members.heartbeat(A, &beat(4), Time(OVERTAKEN_MS + 1), &config).is_some());
    }

    #[test]
    fn a_goodbye_is_final() {
        let config = Config::default();
        let mut members = Members::default();
        members.heartbeat(A, &beat(1), Time(0), &config);
        assert_eq!(members.depart(A), Some(Role::Worker));
        assert_eq!(members.depart(A), None);
        assert_eq!(members.heartbeat(A, &beat(2), Time(1), &config), None);
    }

    #[test]
    fn hearsay_keeps_nobody_alive() {
        let config = Config::default();
        let mut members = Members::default();
        members.told_of(A, Time(0), &config);
        assert!(members.contains(A) && members.workers().next().is_none());
        members.told_of(A, Time(2_000), &config);
        assert_eq!(members.expire(Time(2_500)), [(A, Role::Worker)]);
    }

    #[test]
    fn a_lost_connection_shortens_the_patience() {
        let config = Config::default();
        let mut members = Members::default();
        members.heartbeat(A, &beat(1), Time(0), &config);
        members.disconnected(A, Time(10), &config);
        assert_eq!(members.expire(Time(1_010)), [(A, Role::Worker)]);
    }

    #[test]
    fn a_peer_holds_the_batches_of_the_runs_that_it_told() {
        let (config, mut members) = (Config::default(), Members::default());
        let batches = vec![BatchRun { shard: ShardId(1), from: 3, until: 5 }];
        members.heartbeat(A, &Heartbeat { batches, ..beat(1) }, Time(0), &config);
        let holds = |shard, step| members.get(A).is_some_and(|it| it.holds_batch(shard, step));
        assert!((0..9).filter(|&step| holds(ShardId(1), step)).eq([3, 4]));
        assert!(!holds(ShardId(0), 3));
    }

    #[test]
    fn whoever_looks_or_leaves_is_given_no_work() {
        let (config, mut members) = (Config::default(), Members::default());
        members.heartbeat(A, &beat(1), Time(0), &config);
        assert_eq!(members.workers().count(), 1);
        members.heartbeat(A, &Heartbeat { leaving: true, ..beat(2) }, Time(0), &config);
        assert_eq!(members.workers().count(), 0);
        members.heartbeat(A, &Heartbeat { role: Role::Onlooker, ..beat(3) }, Time(0), &config);
        assert_eq!((members.workers().count(), members.iter().count()), (0, 1));
    }
}
