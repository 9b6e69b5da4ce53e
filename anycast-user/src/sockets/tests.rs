use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

const SERVICE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 53));
const SERVICE_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x53));
const BUFFER: u32 = 1000;

/// A socket of which this many of [`BUFFER`] bytes are taken, and that has dropped so many packets.
fn socket(cookie: u64, queue: u32, drops: u32) -> UdpSocket {
    UdpSocket {
        cookie,
        inode: cookie as u32,
        address: SERVICE,
        ipv6_only: false,
        receive_queue_bytes: queue,
        receive_buffer_bytes: BUFFER,
        drops,
    }
}

fn bound(cookie: u64, address: IpAddr, ipv6_only: bool) -> UdpSocket {
    UdpSocket {
        address,
        ipv6_only,
        ..socket(cookie, 0, 0)
    }
}

/// Looks at the sockets, of which there is one at least, every 100 ms.
#[derive(Default)]
struct Looks {
    tracker: Tracker,
    taken: u64,
}

impl Looks {
    fn look(&mut self, sockets: &[UdpSocket]) -> SocketsSeen {
        self.taken += 1;
        let at = MonotonicTime(self.taken * 100_000_000);
        self.tracker.look(at, sockets).expect("there is one")
    }

    /// As many looks as a second takes, and one more: the last of them.
    fn a_second(&mut self, sockets: &[UdpSocket]) -> SocketsSeen {
        (0..10).for_each(|_| {
            self.look(sockets);
        });
        self.look(sockets)
    }
}

#[test]
fn packets_go_to_what_is_bound_to_the_address_before_any_wildcard() {
    let any_v4 = bound(1, Ipv4Addr::UNSPECIFIED.into(), false);
    let any_v6 = bound(2, Ipv6Addr::UNSPECIFIED.into(), true);
    let any = bound(3, Ipv6Addr::UNSPECIFIED.into(), false);
    let v4 = bound(4, SERVICE, false);
    let v6 = bound(5, SERVICE_V6, false);
    let other = bound(6, Ipv4Addr::LOCALHOST.into(), false);
    let found = |sockets: &[UdpSocket], address| -> Vec<u64> {
        serving(sockets, address).map(|socket| socket.cookie).collect()
    };
    assert_eq!(found(&[any_v4, any_v6, any, other], SERVICE), [1, 3]);
    assert_eq!(found(&[any_v4, any_v6, any, other], SERVICE_V6), [2, 3]);
    assert_eq!(found(&[any_v4, any, v4, v6], SERVICE), [4]);
    assert_eq!(found(&[any_v4, any, v4, v6], SERVICE_V6), [5]);
    assert_eq!(found(&[other], SERVICE), [0; 0]);
}

#[test]
fn nothing_is_said_before_there_was_a_socket_and_their_end_is() {
    let mut tracker = Tracker::default();
    let at = |seconds: u64| MonotonicTime(seconds * 1_000_000_000);
    assert_eq!(tracker.look(at(1), &[]), None);
    assert_eq!(
        tracker.look(at(2), &[socket(1, 0, 0)]).map(|seen| seen.sockets),
        Some(1)
    );
    assert_eq!(tracker.look(at(3), &[]).map(|seen| seen.sockets), Some(0));
}

#[test]
fn drops_are_counted_from_the_first_look_on_and_never_go_back() {
    let mut looks = Looks::default();
    let drops = |looks: &mut Looks, sockets: &[UdpSocket]| looks.look(sockets).receive_drops;
    assert_eq!(drops(&mut looks, &[socket(1, 0, 900)]), 0, "before anybody looked");
    assert_eq!(drops(&mut looks, &[socket(1, 0, 905)]), 5);
    assert_eq!(drops(&mut looks, &[socket(1, 0, 905), socket(2, 0, 3)]), 8, "a new one");
    assert_eq!(drops(&mut looks, &[socket(2, 0, 3)]), 8, "one is gone");
    assert_eq!(drops(&mut looks, &[socket(3, 0, 1), socket(2, 0, 4)]), 10, "restarted");
    let wraps = [u32::MAX, 1].map(|count| [socket(4, 0, count)]);
    let before = drops(&mut looks, &wraps[0]);
    assert_eq!(drops(&mut looks, &wraps[1]), before + 2);
}

#[test]
fn a_socket_that_nobody_reads_hangs_when_one_beside_it_is_read() {
    let mut looks = Looks::default();
    let seen = looks.a_second(&[socket(1, 800, 0), socket(2, 0, 0)]);
    assert_eq!((seen.sockets, seen.full, seen.hung), (2, 1, 1));
    // It is read again.
    let seen = looks.look(&[socket(1, 799, 0), socket(2, 0, 0)]);
    assert_eq!((seen.full, seen.hung), (1, 0));
    let seen = looks.look(&[socket(1, 0, 0), socket(2, 0, 0)]);
    assert_eq!((seen.full, seen.hung), (0, 0));
}

#[test]
fn more_that_comes_is_no_reading() {
    let mut looks = Looks::default();
    for queue in 0..10 {
        looks.look(&[socket(1, 800 + queue, 0), socket(2, 0, 0)]);
    }
    let seen = looks.look(&[socket(1, 990, 0), socket(2, 0, 0)]);
    assert_eq!(seen.hung, 1);
}

#[test]
fn when_all_stop_it_is_no_single_worker() {
    let mut looks = Looks::default();
    // The second was read before the first got stuck, and not since.
    looks.look(&[socket(1, 0, 0), socket(2, 10, 0)]);
    looks.look(&[socket(1, 0, 0), socket(2, 5, 0)]);
    let seen = looks.a_second(&[socket(1, 800, 0), socket(2, 800, 0)]);
    assert_eq!((seen.full, seen.hung), (2, 0));
    let mut alone = Looks::default();
    assert_eq!(alone.a_second(&[socket(1, 1000, 0)]).hung, 0, "no sibling");
}

#[test]
fn a_moment_or_a_few_looks_are_not_enough() {
    let stuck = [socket(1, 800, 0), socket(2, 0, 0)];
    let mut tracker = Tracker::default();
    // Often, but not for long.
    for look in 0..50_u64 {
        let seen = tracker.look(MonotonicTime(1 + look * 1_000_000), &stuck).expect("two");
        assert_eq!(seen.hung, 0);
    }
    // Long, but not often.
    let mut tracker = Tracker::default();
    let hung = [1, 11, 21].map(|seconds| {
        let seen = tracker.look(MonotonicTime(seconds * 1_000_000_000), &stuck);
        seen.expect("two").hung
    });
    assert_eq!(hung, [0, 0, 1]);
}

#[test]
fn an_overloaded_server_drains() {
    let mut looks = Looks::default();
    for look in 0..100_u32 {
        let queue = |phase: u32| 990 - 10 * ((look + phase) % 3);
        let seen = looks.look(&[socket(1, queue(0), look), socket(2, queue(1), look)]);
        assert_eq!((seen.full, seen.hung), (2, 0));
        // Of three looks in a row one finds a queue longer than before.
        assert!(look == 0 || seen.draining > 0, "{seen:?}");
    }
    // Between two looks it ran over, and was read.
    let mut looks = Looks::default();
    looks.look(&[socket(1, 10, 0)]);
    assert_eq!(looks.look(&[socket(1, 20, 5)]).draining, 1);
    assert_eq!(looks.look(&[socket(1, 20, 5)]).draining, 0, "nothing happened");
}

#[test]
fn a_stopped_server_drops_and_drains_not() {
    let mut looks = Looks::default();
    looks.look(&[socket(1, 0, 0), socket(2, 100, 0)]);
    for look in 1..20_u32 {
        let lost = look.saturating_sub(4);
        let seen = looks.look(&[socket(1, (300 * look).min(BUFFER), lost), socket(2, 990, 7 * look)]);
        assert_eq!(seen.draining, 0, "{seen:?}");
    }
    assert_eq!(
        looks.look(&[socket(1, 500, 20), socket(2, 990, 133)]).draining,
        1,
        "it goes on"
    );
}

proptest! {
    #[test]
    fn whatever_comes_the_numbers_fit_together(
        looks in prop::collection::vec(prop::collection::vec((0..4_u64, 0..=BUFFER, any::<u32>()), 0..4), 1..40),
    ) {
        let mut tracker = Tracker::default();
        let mut before = 0;
        for (number, sockets) in (1..).zip(&looks) {
            let sockets: Vec<_> = sockets.iter().map(|&(cookie, queue, drops)| socket(cookie, queue, drops)).collect();
            if let Some(seen) = tracker.look(MonotonicTime(number * 400_000_000), &sockets) {
                prop_assert!(seen.hung <= seen.full && seen.full.max(seen.draining) <= seen.sockets);
                prop_assert!(seen.sockets as usize <= sockets.len());
                prop_assert!(seen.receive_drops >= before);
                before = seen.receive_drops;
            }
        }
    }
}
