//! Events on their way to the owner.
//!
//! Rule: the event loop never waits for its owner. Events that may be lost (messages) are dropped
//! and counted when the owner is far behind; the others are kept here. When even they are too many,
//! [`Outbox::has_room`] says so, and the loop stops reading from the network until the owner has
//! caught up.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use crate::event::Event;

/// Events in the channel to the owner.
pub(crate) const EVENT_QUEUE: usize = 1024;

/// Events kept beyond those in the channel, after which messages are dropped.
const KEEP_MESSAGES: usize = 1024;

/// Events kept beyond those in the channel, after which the network is not read.
const KEEP_ALL: usize = 4096;

#[derive(Debug)]
pub(crate) struct Outbox {
    sender: mpsc::Sender<Event>,
    waiting: VecDeque<Event>,
    dropped: u64,
}

impl Outbox {
    pub(crate) fn new(sender: mpsc::Sender<Event>) -> Self {
        Self { sender, waiting: VecDeque::new(), dropped: 0 }
    }

    pub(crate) fn push(&mut self, event: Event) {
        if self.waiting.is_empty() {
            match self.sender.try_send(event) {
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
                Err(mpsc::error::TrySendError::Full(event)) => self.waiting.push_back(event),
            }
        } else if self.waiting.len() >= KEEP_MESSAGES && matches!(event, Event::Received { .. }) {
            self.dropped += 1;
            if self.dropped.is_power_of_two() {
                tracing::warn!(dropped = self.dropped, "messages are dropped: nobody reads them");
            }
        } else {
            self.waiting.push_back(event);
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.waiting.len() < KEEP_ALL
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Waits until the owner takes one of the kept events. May be dropped at any point.
    pub(crate) async fn deliver(&mut self) {
        match self.sender.reserve().await {
            Ok(permit) => {
                if let Some(event) = self.waiting.pop_front() {
                    permit.send(event);
                }
            }
            Err(_) => self.waiting.clear(),
        }
    }
}

#[cfg(test)]
mod tests {
    use ffp2p_proto::{Message, NodeId};

    use super::*;

    fn received() -> Event {
        Event::Received { from: NodeId([0; 32]), message: Message::Goodbye }
    }

    #[tokio::test]
    async fn a_slow_owner_loses_messages_but_nothing_else() {
        let (sender, mut events) = mpsc::channel(1);
        let mut outbox = Outbox::new(sender);
        for _ in 0..=KEEP_MESSAGES {
            outbox.push(received());
        }
        outbox.push(received());
        outbox.push(Event::Connected(NodeId([1; 32])));
        assert!(outbox.has_room());
        let mut seen = vec![events.recv().await.unwrap()];
        while !outbox.is_empty() {
            outbox.deliver().await;
            seen.push(events.recv().await.unwrap());
        }
        assert_eq!(seen.len(), KEEP_MESSAGES + 2);
        assert_eq!(seen.last(), Some(&Event::Connected(NodeId([1; 32]))));
    }

    #[tokio::test]
    async fn an_owner_that_went_away_is_not_waited_for() {
        let (sender, events) = mpsc::channel(1);
        let mut outbox = Outbox::new(sender);
        outbox.push(received());
        outbox.push(received());
        drop(events);
        outbox.deliver().await;
        assert!(outbox.is_empty());
    }
}
