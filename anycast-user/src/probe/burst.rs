//! One burst: its sockets, its probes, its deadline, and what came of it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::Duration;

use super::query::{Query, random_id};
use super::{BurstRequest, BurstResult};
use crate::clock::MonotonicTime;

/// An answer to a probe is some 100 bytes; of a longer one the header and the question are all that is looked at.
const RECEIVE_BUFFER_BYTES: usize = 512;
/// How long a burst is kept for late answers after it was judged. Who answers later than this doesn't serve.
const KEPT: Duration = Duration::from_secs(1);

/// A burst under way, or one that was judged and may be answered late.
pub(super) struct Burst {
    request: BurstRequest,
    /// By number. Those that may still be answered; dropping one closes its socket.
    waiting: Vec<Option<Probe>>,
    /// Counts so far.
    result: BurstResult,
    deadline: MonotonicTime,
    judged: bool,
}

struct Probe {
    socket: UdpSocket,
    id: u16,
    sent_at: MonotonicTime,
}

/// What a probe's socket has to say.
enum Said {
    Nothing,
    Answer,
    Refused,
    /// The probe did not reach the server: "host unreachable" and the like.
    Lost,
}

/// What is to be done with a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Wait on.
    Wait,
    /// Report this, and keep the burst: it may be answered late.
    ReportAndKeep(BurstResult),
    /// Report this; the burst is over.
    ReportAndEnd(BurstResult),
    /// The burst is over.
    End,
}

impl Burst {
    /// Sends the probes.
    pub(super) fn start(request: BurstRequest, query: &mut Query) -> Self {
        let started_at = MonotonicTime::now();
        let mut burst = Self {
            request,
            waiting: Vec::with_capacity(request.count.into()),
            result: BurstResult {
                request,
                sent: 0,
                answered: 0,
                refused: 0,
                slowest_round_trip: None,
                started_at,
                finished_at: started_at,
                late: false,
            },
            deadline: started_at,
            judged: false,
        };
        for _ in 0..request.count {
            match Probe::send(&request, query) {
                Ok(probe) => {
                    burst.result.sent += 1;
                    burst.waiting.push(Some(probe));
                }
                // Over loopback the refusal of this very datagram can come back before `send` returns.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    burst.result.sent += 1;
                    burst.result.refused += 1;
                }
                Err(error) => tracing::debug!(address = %request.service_address, %error, "a probe was not sent"),
            }
        }
        // From here and not from the start, so that the last probe has as long as the first.
        burst.deadline = MonotonicTime::now().after(request.window);
        burst
    }

    pub(super) fn request(&self) -> &BurstRequest {
        &self.request
    }

    /// Whether its result was reported, so that only a late answer is waited for.
    pub(super) fn is_judged(&self) -> bool {
        self.judged
    }

    /// When [`Self::judge`] has something to say even if nothing arrives.
    pub(super) fn deadline(&self) -> MonotonicTime {
        self.deadline
    }

    /// The sockets to watch, each with its probe's number.
    pub(super) fn sockets(&self) -> impl Iterator<Item = (usize, BorrowedFd<'_>)> {
        let numbered = self.waiting.iter().enumerate();
        numbered.filter_map(|(number, probe)| Some((number, probe.as_ref()?.socket.as_fd())))
    }

    /// Reads what has arrived for a probe; whether its socket is closed now.
    pub(super) fn receive(&mut self, number: usize, query: &Query) -> bool {
        let Some(slot) = self.waiting.get_mut(number) else {
            return false;
        };
        let Some(probe) = slot else { return false };
        match probe.listen(query) {
            Said::Nothing => return false,
            Said::Answer => {
                self.result.answered += 1;
                let round_trip = MonotonicTime::now().since(probe.sent_at);
                self.result.slowest_round_trip = self.result.slowest_round_trip.max(Some(round_trip));
                self.result.late = self.judged;
            }
            Said::Refused => self.result.refused += 1,
            Said::Lost => self.result.sent -= 1,
        }
        *slot = None;
        true
    }

    /// Takes a probe as not sent: it is no evidence about the server.
    pub(super) fn lose(&mut self, number: usize) {
        if self.waiting.get_mut(number).and_then(Option::take).is_some() {
            self.result.sent -= 1;
        }
    }

    /// What is to be done at `now`. What had arrived by then must have been read: otherwise a prober that lost its
    /// processor for longer than the window would take its own absence for the server's.
    pub(super) fn judge(&mut self, now: MonotonicTime) -> Verdict {
        let all_told = self.waiting.iter().all(Option::is_none);
        let over = all_told || now >= self.deadline;
        let result = BurstResult {
            finished_at: now,
            ..self.result
        };
        match (self.judged, over) {
            (true, _) if result.late => Verdict::ReportAndEnd(result),
            (true, true) => Verdict::End,
            (_, false) => Verdict::Wait,
            (false, true) if all_told => Verdict::ReportAndEnd(result),
            (false, true) => {
                self.judged = true;
                self.deadline = now.after(KEPT);
                Verdict::ReportAndKeep(result)
            }
        }
    }
}

impl Probe {
    fn send(request: &BurstRequest, query: &mut Query) -> io::Result<Self> {
        let from: IpAddr = match request.service_address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        // Port 0: the kernel picks a random free one.
        let socket = UdpSocket::bind((from, 0))?;
        socket.set_nonblocking(true)?;
        // Connected, so that nobody else's datagrams arrive and a refusal is told to us.
        socket.connect(request.service_address)?;
        let id = random_id();
        let sent_at = MonotonicTime::now();
        socket.send(query.with_id(id))?;
        Ok(Self { socket, id, sent_at })
    }

    fn listen(&self, query: &Query) -> Said {
        let mut buffer = [0; RECEIVE_BUFFER_BYTES];
        // Bounded: a peer that floods the socket with rubbish must not keep us here.
        for _ in 0..8 {
            match self.socket.recv(&mut buffer) {
                Ok(length)
                    if buffer
                        .get(..length)
                        .is_some_and(|bytes| query.is_answered_by(bytes, self.id)) =>
                {
                    return Said::Answer;
                }
                Ok(_) => {}
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Said::Nothing,
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::ConnectionRefused => return Said::Refused,
                    _ => return Said::Lost,
                },
            }
        }
        Said::Nothing
    }
}

#[cfg(test)]
mod tests;
