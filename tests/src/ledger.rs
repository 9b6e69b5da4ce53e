//! The client's books: which query was answered, by whom, when, and which never.

use crate::clock::Moment;
use crate::node::{Node, PerNode};
use hdrhistogram::Histogram;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// A query that has no answer after this long is lost. Resolvers give up on a server at about that time.
pub const LOST_AFTER: Duration = Duration::from_secs(1);

/// What identifies a query in flight: the socket it was sent from and its DNS ID.
pub type Query = (usize, u16);

/// Counts since the traffic began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Queries sent.
    pub sent: u64,
    /// Queries answered in time, by the node that answered.
    pub answered: PerNode<u64>,
    /// Queries sent before the fault (or without one) that got no answer in time.
    pub lost_before_fault: u64,
    /// Queries sent from the fault onward that got no answer in time.
    pub lost_since_fault: u64,
}

/// A standing question to the books: who answered a query sent since a moment first, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watch(usize);

#[derive(Debug)]
struct FirstAnswers {
    since: Moment,
    by: PerNode<Option<Moment>>,
}

/// The books. Time is an argument, so they can be tested.
#[derive(Debug)]
pub struct Ledger {
    counts: Counts,
    pending: HashMap<Query, Moment>,
    /// In the order of sending, answered ones included until they expire.
    sent: VecDeque<(Query, Moment)>,
    fault: Option<Moment>,
    watches: Vec<FirstAnswers>,
    /// The node that answers now, and when the query was sent that showed it first.
    answering: Option<(Node, Moment)>,
    round_trips: Histogram<u64>,
}

impl Ledger {
    /// Empty books.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self {
            counts: Counts::default(),
            pending: HashMap::new(),
            sent: VecDeque::new(),
            fault: None,
            watches: Vec::new(),
            answering: None,
            // Microseconds, to the time at which a query is lost.
            round_trips: Histogram::new_with_bounds(1, LOST_AFTER.as_micros() as u64, 3)?,
        })
    }

    /// Enters a query that is about to be sent. `false`, and nothing entered, when one with this ID is in flight.
    pub fn send(&mut self, query: Query, now: Moment) -> bool {
        self.expire(now);
        if self.pending.contains_key(&query) {
            return false;
        }
        self.pending.insert(query, now);
        self.sent.push_back((query, now));
        self.counts.sent += 1;
        true
    }

    /// Enters an answer of `node`. Gives the node when the answers come from another one than before.
    pub fn answer(&mut self, query: Query, node: Node, now: Moment) -> Option<Node> {
        self.expire(now);
        // A late answer, a second one, or nobody's.
        let sent = self.pending.remove(&query)?;
        *self.counts.answered.get_mut(node) += 1;
        self.round_trips
            .saturating_record((now.since(sent).as_micros() as u64).max(1));
        for watch in &mut self.watches {
            if sent >= watch.since {
                watch.by.get_mut(node).get_or_insert(now);
            }
        }
        // Answers can overtake each other: one to an older query tells nothing new about who answers now.
        let changed = self
            .answering
            .is_none_or(|(current, since)| current != node && sent > since);
        if changed {
            self.answering = Some((node, sent));
        }
        changed.then_some(node)
    }

    /// Gives up on the queries that are too old.
    pub fn expire(&mut self, now: Moment) {
        while let Some(&(query, sent)) = self.sent.front() {
            if now.since(sent) < LOST_AFTER {
                break;
            }
            self.sent.pop_front();
            // The ID may be in use again, by a later query.
            if self.pending.get(&query) != Some(&sent) {
                continue;
            }
            self.pending.remove(&query);
            if self.fault.is_some_and(|fault| sent >= fault) {
                self.counts.lost_since_fault += 1;
            } else {
                self.counts.lost_before_fault += 1;
            }
        }
    }

    /// Says when the fault happens; called just before it does.
    pub fn mark_fault(&mut self, at: Moment) {
        self.fault = Some(at);
    }

    /// Watches for the first answers to queries sent since `since`, which must not lie in the past.
    pub fn watch(&mut self, since: Moment) -> Watch {
        let by = PerNode::default();
        self.watches.push(FirstAnswers { since, by });
        Watch(self.watches.len() - 1)
    }

    /// Whether any query is still in flight.
    #[must_use]
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The counts so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// When the first answer of `node` came that `watch` is for.
    #[must_use]
    pub fn first_answer(&self, watch: Watch, node: Node) -> Option<Moment> {
        *self.watches.get(watch.0)?.by.get(node)
    }

    /// The round-trip time that `quantile` (0 to 1) of the answers didn't exceed; `None` without answers.
    #[must_use]
    pub fn round_trip(&self, quantile: f64) -> Option<Duration> {
        (!self.round_trips.is_empty()).then(|| Duration::from_micros(self.round_trips.value_at_quantile(quantile)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Moment {
        Moment::from_ms(milliseconds as f64)
    }

    #[test]
    fn a_query_is_answered_once_or_lost_after_a_second() {
        let mut ledger = Ledger::new().unwrap();
        assert!(ledger.send((0, 1), at(0)));
        assert!(!ledger.send((0, 1), at(1)), "the ID is in flight");
        assert!(ledger.send((1, 1), at(1)), "on another socket it isn't");
        assert_eq!(ledger.answer((0, 1), Node::A, at(2)), Some(Node::A));
        assert_eq!(ledger.answer((0, 1), Node::A, at(3)), None);
        ledger.expire(at(1000));
        assert!(ledger.has_pending());
        assert_eq!(ledger.answer((1, 1), Node::A, at(1001)), None, "too late");
        let counts = ledger.counts();
        assert_eq!((counts.sent, counts.answered.a), (2, 1));
        assert_eq!((counts.lost_before_fault, counts.lost_since_fault), (1, 0));
        assert_eq!(ledger.round_trip(1.0), Some(Duration::from_millis(2)));
    }

    #[test]
    fn an_id_in_use_again_is_not_taken_for_the_older_query() {
        let mut ledger = Ledger::new().unwrap();
        assert!(ledger.send((0, 1), at(0)));
        ledger.answer((0, 1), Node::A, at(1));
        assert!(ledger.send((0, 1), at(500)));
        ledger.expire(at(1200));
        assert_eq!(ledger.counts().lost_before_fault, 0);
        ledger.expire(at(1500));
        assert_eq!(ledger.counts().lost_before_fault, 1);
    }

    #[test]
    fn losses_and_first_answers_count_from_the_fault() {
        let mut ledger = Ledger::new().unwrap();
        for (id, time) in [(1, 0), (2, 9), (3, 10), (4, 20), (5, 30)] {
            assert!(ledger.send((0, id), at(time)));
        }
        ledger.mark_fault(at(10));
        let watch = ledger.watch(at(10));
        ledger.answer((0, 1), Node::A, at(11));
        assert_eq!(ledger.first_answer(watch, Node::A), None);
        ledger.answer((0, 5), Node::B, at(31));
        ledger.answer((0, 4), Node::B, at(32));
        assert_eq!(ledger.first_answer(watch, Node::B), Some(at(31)));
        ledger.expire(at(2000));
        let counts = ledger.counts();
        assert_eq!((counts.lost_before_fault, counts.lost_since_fault), (1, 1));
    }

    #[test]
    fn an_answer_that_was_overtaken_does_not_turn_the_tide() {
        let mut ledger = Ledger::new().unwrap();
        for id in 1..=4 {
            assert!(ledger.send((0, id), at(id.into())));
        }
        assert_eq!(ledger.answer((0, 1), Node::A, at(5)), Some(Node::A));
        assert_eq!(ledger.answer((0, 3), Node::B, at(6)), Some(Node::B));
        assert_eq!(ledger.answer((0, 2), Node::A, at(7)), None);
        assert_eq!(ledger.answer((0, 4), Node::A, at(8)), Some(Node::A));
    }
}
