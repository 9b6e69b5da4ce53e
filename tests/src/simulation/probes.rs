//! Bursts of local probes that are under way.

use std::time::Duration;

use anycast_user::{
    engine::{Ask, Probed, Purpose},
    policy::Burst,
    window::ProbeWindow,
};

use super::{node::Node, server::Fate, time};

/// How long a burst waits for its answers when nothing is urgent, as in the daemon.
const HEALTH_WINDOW: Duration = Duration::from_millis(100);
/// A refusal comes back over loopback at once.
const REFUSED_AFTER_MS: f64 = 0.05;
/// An answer that comes later than this after the window is not waited for.
const LATE_MOST_MS: f64 = 1000.0;

/// A burst that was sent.
#[derive(Debug)]
struct UnderWay {
    ask: Ask,
    at: f64,
    window_ends: f64,
    /// When each answer comes, in order.
    answers: Vec<f64>,
    sent: u8,
    refused: u8,
    judged: bool,
}

/// Sends bursts and brings back what came of them, as the daemon's prober does.
#[derive(Debug)]
pub(super) struct Prober {
    under_way: Vec<UnderWay>,
    window: ProbeWindow,
    /// Probes sent so far.
    pub(super) probes: u64,
}

impl Prober {
    /// `None` never happens: its bounds are constants.
    pub(super) fn new() -> Option<Self> {
        Some(Self {
            under_way: Vec::new(),
            window: ProbeWindow::new()?,
            probes: 0,
        })
    }

    /// Sends a burst at `at` milliseconds.
    pub(super) fn send(&mut self, ask: Ask, at: f64, node: &mut Node) {
        let count = ask.probes;
        let window = match ask.purpose {
            Purpose::Suspicion => self.window.now(),
            Purpose::Health => HEALTH_WINDOW,
        };
        let mut sent = UnderWay {
            ask,
            at,
            window_ends: at + milliseconds(window),
            answers: Vec::new(),
            sent: count,
            refused: 0,
            judged: false,
        };
        self.probes += u64::from(count);
        for _ in 0..count {
            match node.probe(at) {
                Fate::Answered(when) => sent.answers.push(when),
                Fate::Refused => sent.refused += 1,
                Fate::Lost => {}
            }
        }
        sent.answers.sort_by(f64::total_cmp);
        self.under_way.push(sent);
    }

    /// What has come back by `now` milliseconds.
    pub(super) fn results(&mut self, now: f64, take: &mut Vec<Probed>) {
        let Self { under_way, window, .. } = self;
        under_way.retain_mut(|sent| {
            if !sent.judged {
                let finished = sent.finished();
                if finished > now {
                    return true;
                }
                sent.judged = true;
                take.push(sent.result(finished, false, window));
            }
            let late = sent.answers.iter().find(|answer| **answer > sent.window_ends).copied();
            match late.filter(|late| *late <= sent.window_ends + LATE_MOST_MS) {
                None => false,
                Some(late) if late > now => true,
                Some(late) => {
                    take.push(sent.result(late, true, window));
                    false
                }
            }
        });
    }
}

impl UnderWay {
    fn answered_by(&self, at: f64) -> usize {
        self.answers.partition_point(|answer| *answer <= at)
    }

    fn is_whole_by(&self, at: f64) -> bool {
        self.answered_by(at) + usize::from(self.refused) >= usize::from(self.sent)
    }

    /// When the last was answered or refused, or the window closed.
    fn finished(&self) -> f64 {
        if self.is_whole_by(self.window_ends) {
            let last = self.answers.last().copied();
            last.unwrap_or(self.at).max(self.at + REFUSED_AFTER_MS)
        } else {
            self.window_ends
        }
    }

    fn result(&self, finished: f64, late: bool, window: &mut ProbeWindow) -> Probed {
        let answered = self.answered_by(finished);
        let slowest = answered
            .checked_sub(1)
            .and_then(|last| self.answers.get(last))
            .map(|answer| Duration::from_secs_f64((answer - self.at).max(0.0) / 1e3));
        if let Some(slowest) = slowest {
            window.learn(slowest);
        }
        Probed {
            service: self.ask.service,
            generation: self.ask.generation,
            purpose: self.ask.purpose,
            burst: Burst {
                started_at: time(self.at),
                finished_at: time(finished),
                asked: self.sent,
                sent: self.sent,
                answered: answered as u8,
                refused: self.refused,
            },
            late,
            quick: slowest.is_some_and(ProbeWindow::is_quick),
        }
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// What comes of a burst that is answered at once.
pub(super) fn all_answered(ask: Ask, at: f64) -> Probed {
    Probed {
        service: ask.service,
        generation: ask.generation,
        purpose: ask.purpose,
        burst: Burst {
            started_at: time(at),
            finished_at: time(at),
            asked: ask.probes,
            sent: ask.probes,
            answered: ask.probes,
            refused: 0,
        },
        late: false,
        quick: true,
    }
}
