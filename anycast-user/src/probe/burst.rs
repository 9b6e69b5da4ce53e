//! One burst: its sockets, its probes, its deadline.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::query::{Query, random_id};
use super::{BurstRequest, BurstResult, ProbeError};
use crate::clock::MonotonicTime;

/// An answer to a probe is some 100 bytes; of a longer one the header and the question are all that is looked at.
const RECEIVE_BUFFER_BYTES: usize = 512;
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(1);

/// Sends a burst and waits for its end, on the calling thread.
pub fn burst(request: BurstRequest) -> Result<BurstResult, ProbeError> {
    let mut query = Query::new()?;
    let mut burst = Burst::start(request, &mut query);
    loop {
        if let Some(result) = burst.result(MonotonicTime::now()) {
            return Ok(result);
        }
        let mut descriptors: Vec<_> = burst.waiting().map(readable).collect();
        wait(&mut descriptors, Some(burst.deadline()));
        burst.receive(&query);
    }
}

/// Waits until a descriptor has something or `deadline` has come (`None`: for ever).
pub(super) fn wait(descriptors: &mut [PollFd<'_>], deadline: Option<MonotonicTime>) {
    let left = deadline.map(|deadline| TimeSpec::from(deadline.since(MonotonicTime::now())));
    match ppoll(descriptors, left, None) {
        // The caller looks, and waits again.
        Ok(_) | Err(Errno::EINTR) => {}
        // For want of memory, say. A real-time thread must not spin on that.
        Err(_) => std::thread::sleep(PAUSE_AFTER_FAILURE),
    }
}

pub(super) fn readable(descriptor: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::new(descriptor, PollFlags::POLLIN)
}

/// A burst under way.
pub(super) struct Burst {
    request: BurstRequest,
    /// Those that may still be answered; dropping one closes its socket.
    waiting: Vec<Probe>,
    sent: u8,
    answered: u8,
    refused: u8,
    slowest_round_trip: Option<Duration>,
    started_at: MonotonicTime,
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

impl Burst {
    /// Sends the probes.
    pub(super) fn start(request: BurstRequest, query: &mut Query) -> Self {
        let started_at = MonotonicTime::now();
        let mut burst = Self {
            request,
            waiting: Vec::with_capacity(request.count.into()),
            sent: 0,
            answered: 0,
            refused: 0,
            slowest_round_trip: None,
            started_at,
        };
        for _ in 0..request.count {
            match Probe::send(&request, query) {
                Ok(probe) => {
                    burst.sent += 1;
                    burst.waiting.push(probe);
                }
                // Over loopback the refusal of this very datagram can come back before `send` returns.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    burst.sent += 1;
                    burst.refused += 1;
                }
                Err(error) => tracing::debug!(address = %request.service_address, %error, "a probe was not sent"),
            }
        }
        burst
    }

    /// The sockets to poll.
    pub(super) fn waiting(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.waiting.iter().map(|probe| probe.socket.as_fd())
    }

    /// When to stop waiting.
    pub(super) fn deadline(&self) -> MonotonicTime {
        self.started_at.after(self.request.window)
    }

    /// Reads what has arrived.
    pub(super) fn receive(&mut self, query: &Query) {
        let Self {
            waiting,
            sent,
            answered,
            refused,
            slowest_round_trip,
            ..
        } = self;
        waiting.retain(|probe| {
            match probe.listen(query) {
                Said::Nothing => return true,
                Said::Answer => {
                    *answered += 1;
                    *slowest_round_trip = (*slowest_round_trip).max(Some(MonotonicTime::now().since(probe.sent_at)));
                }
                Said::Refused => *refused += 1,
                Said::Lost => *sent -= 1,
            }
            false
        });
    }

    /// The result, when the burst is over at `now`.
    pub(super) fn result(&self, now: MonotonicTime) -> Option<BurstResult> {
        (self.waiting.is_empty() || now >= self.deadline()).then_some(BurstResult {
            request: self.request,
            sent: self.sent,
            answered: self.answered,
            refused: self.refused,
            slowest_round_trip: self.slowest_round_trip,
            started_at: self.started_at,
            finished_at: now,
        })
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
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::net::testing::in_namespace;
    use crate::probe::testing::{Responder, answer};
    use crate::route::{LinkSwitch, ipv6};

    const LONG: Duration = Duration::from_secs(10);
    const SHORT: Duration = Duration::from_millis(20);

    fn request(service_address: SocketAddr, window: Duration) -> BurstRequest {
        BurstRequest {
            id: 7,
            service_address,
            count: 16,
            window,
        }
    }

    fn counts(result: &BurstResult) -> [u8; 4] {
        [result.sent, result.answered, result.refused, result.unanswered()]
    }

    #[test]
    fn a_server_that_lives_answers_every_probe_and_the_burst_ends_early() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let server = Responder::start(address, |query| vec![answer(query)]);
            let result = burst(request(server.address(), LONG)).unwrap();
            assert_eq!(counts(&result), [16, 16, 0, 0]);
            assert!(result.finished_at < result.started_at.after(LONG));
            assert!(result.slowest_round_trip.is_some());
            // Each from a port of its own.
            let mut ports = server.ports();
            ports.sort_unstable();
            ports.dedup();
            assert_eq!(ports.len(), 16);
        }
    }

    #[test]
    fn nobody_there_is_refused_and_the_burst_ends_early() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        drop(socket);
        let result = burst(request(address, LONG)).unwrap();
        assert_eq!(counts(&result), [16, 0, 16, 0]);
        assert!(result.finished_at < result.started_at.after(LONG));
        assert_eq!(result.slowest_round_trip, None);
    }

    #[test]
    fn a_server_that_hangs_answers_nothing_until_the_window_has_passed() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let result = burst(request(socket.local_addr().unwrap(), SHORT)).unwrap();
        assert_eq!(counts(&result), [16, 0, 0, 16]);
        assert!(result.finished_at >= result.started_at.after(SHORT));
    }

    #[test]
    fn hostile_answers_do_not_count_and_do_not_hide_a_true_one() {
        let hostile = |query: &[u8]| {
            let mut wrong_id = answer(query);
            wrong_id[0] ^= 1;
            let mut wrong_name = answer(query);
            wrong_name[14] = b'x';
            vec![
                wrong_id,
                wrong_name,
                query.to_vec(),
                b"garbage".to_vec(),
                Vec::new(),
                vec![0xff; 4000],
            ]
        };
        let server = Responder::start("127.0.0.1:0", hostile);
        assert_eq!(
            counts(&burst(request(server.address(), SHORT)).unwrap()),
            [16, 0, 0, 16]
        );
        let server = Responder::start("127.0.0.1:0", move |query| {
            let mut replies = hostile(query);
            replies.extend((0..20).map(|_| b"flood".to_vec()));
            replies.push(answer(query));
            replies
        });
        assert_eq!(counts(&burst(request(server.address(), LONG)).unwrap()), [16, 16, 0, 0]);
    }

    #[test]
    fn what_cannot_be_sent_is_not_counted_as_sent() {
        in_namespace(|_| {
            // No route in a new namespace.
            let result = burst(request("192.0.2.53:53".parse().unwrap(), LONG)).unwrap();
            assert_eq!(counts(&result), [0, 0, 0, 0]);
            assert!(result.finished_at < result.started_at.after(LONG));
        });
    }

    #[test]
    fn a_withdrawn_address_can_be_probed() {
        in_namespace(|namespace| {
            let link = namespace.service_link("anycast0");
            namespace.add_address(&link, "192.0.2.53/32");
            namespace.add_address(&link, "2001:db8::53/128");
            ipv6::prepare(namespace.netlink(), &link).unwrap();
            let mut switch = LinkSwitch::open(&link).unwrap();
            switch.withdraw().unwrap();
            for address in ["192.0.2.53:53", "[2001:db8::53]:53"] {
                let server = Responder::start(address, |query| vec![answer(query)]);
                assert_eq!(
                    counts(&burst(request(server.address(), LONG)).unwrap()),
                    [16, 16, 0, 0],
                    "{address}"
                );
                drop(server);
                assert_eq!(
                    counts(&burst(request(address.parse().unwrap(), LONG)).unwrap()),
                    [16, 0, 16, 0]
                );
            }
        });
    }
}
