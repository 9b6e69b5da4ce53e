use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

const SERVICE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 53));
const SERVICE_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x53));
const BUFFER: u32 = 1000;
/// As many come between two looks.
const PACKETS: u64 = 1000;

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
        let packets = self.taken * PACKETS;
        self.tracker.look(at, SERVICE, sockets, packets).expect("there is one")
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
    let mut look = |seconds, sockets: &[UdpSocket]| tracker.look(at(seconds), SERVICE, sockets, 0);
    assert_eq!(look(1, &[]), None);
    assert_eq!(look(2, &[bound(9, SERVICE_V6, true)]), None, "another address's");
    assert_eq!(look(3, &[socket(1, 0, 0)]).map(|seen| seen.sockets), Some(1));
    assert_eq!(look(4, &[]).map(|seen| seen.sockets), Some(0));
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
fn what_was_dropped_while_a_socket_served_nothing_is_no_news() {
    let mut looks = Looks::default();
    let any = |drops| UdpSocket {
        address: Ipv4Addr::UNSPECIFIED.into(),
        ..socket(1, 0, drops)
    };
    assert_eq!(looks.look(&[any(100)]).receive_drops, 0);
    // Another one takes its place, and gives it back.
    assert_eq!(looks.look(&[any(150), socket(2, 0, 3)]).receive_drops, 3);
    assert_eq!(looks.look(&[any(160)]).receive_drops, 13);
    // It was missed in a few lists, and then was really gone.
    let gone = |looks: &mut Looks, times| {
        for _ in 0..times {
            looks.look(&[]);
        }
    };
    gone(&mut looks, LOOKS_REMEMBERED);
    assert_eq!(looks.look(&[any(161)]).receive_drops, 14);
    gone(&mut looks, LOOKS_REMEMBERED + 1);
    assert_eq!(looks.look(&[any(7)]).receive_drops, 21);
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
    for queue in 0..20 {
        looks.look(&[socket(1, 800 + queue, 0), socket(2, 0, 0)]);
        let seen = looks.look(&[socket(1, 800 + queue, 0), socket(2, 0, 0)]);
        assert_eq!((seen.full, seen.draining), (1, 0));
    }
    let seen = looks.a_second(&[socket(1, 990, 7), socket(2, 0, 0)]);
    assert_eq!((seen.hung, seen.draining), (1, 0));
}

#[test]
fn a_worker_that_reads_in_a_flood_does_not_hang() {
    let mut looks = Looks::default();
    looks.look(&[socket(1, 980, 0), socket(2, 5, 0)]);
    // It has the same in it four times, or more, and never less; what gave way to that was dropped.
    for look in 1..100_u32 {
        let queue = 980 + look / 5;
        let seen = looks.look(&[socket(1, queue, 900 * look), socket(2, look % 2, 0)]);
        assert_eq!((seen.full, seen.hung), (1, 0), "{look}");
    }
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
        let seen = tracker.look(MonotonicTime(1 + look * 1_000_000), SERVICE, &stuck, 0);
        let seen = seen.expect("two");
        assert_eq!(seen.hung, 0);
    }
    // Long, but not often.
    let mut tracker = Tracker::default();
    let hung = [1, 11, 21, 31, 41].map(|seconds| {
        let seen = tracker.look(MonotonicTime(seconds * 1_000_000_000), SERVICE, &stuck, 0);
        seen.expect("two").hung
    });
    assert_eq!(hung, [0, 0, 0, 0, 1]);
}

#[test]
fn an_overloaded_server_drains_at_every_look() {
    let mut looks = Looks::default();
    for look in 0..100_u32 {
        // Three in four find it as it was.
        let queue = |phase: u32| 990 - 10 * ((look + phase) / 4 % 3);
        let seen = looks.look(&[socket(1, queue(0), look), socket(2, queue(1), look)]);
        assert_eq!((seen.full, seen.hung), (2, 0));
        assert!(look < 12 || seen.draining == 2, "{look}: {seen:?}");
    }
}

#[test]
fn what_is_longer_than_at_the_limit_was_read() {
    let mut looks = Looks::default();
    for (queue, drops) in [(100, 0), (990, 50), (995, 90)] {
        looks.look(&[socket(1, queue, drops)]);
    }
    assert_eq!(looks.look(&[socket(1, 995, 140)]).draining, 1);
}

#[test]
fn what_ran_over_between_two_looks_drains_for_a_while() {
    let mut looks = Looks::default();
    looks.look(&[socket(1, 10, 0)]);
    assert_eq!(looks.look(&[socket(1, 600, 50)]).draining, 1);
    let quiet = [socket(1, 20, 50)];
    assert_eq!(looks.look(&quiet).draining, 1);
    // 3 s after the sign, and not a look sooner.
    let held = (0..40).filter(|_| looks.look(&quiet).draining == 1).count();
    assert_eq!(held, 28);
}

#[test]
fn a_packet_with_a_wrong_checksum_says_nothing() {
    let draining = |lost: u32, short: u32, long: u32| {
        let mut looks = Looks::default();
        (0..20_u32).fold(0, |draining, look| {
            let queue = if look % 2 == 0 { short } else { long };
            draining + looks.look(&[socket(1, queue, lost * look)]).draining
        })
    };
    assert_eq!(draining(1, 0, 600), 0, "one at a time");
    assert_eq!(draining(9, 0, 600), 0, "less than one in a hundred");
    assert_eq!(draining(500, 0, 400), 0, "no queue to speak of");
    assert_ne!(draining(10, 0, 600), 0);
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
            let at = MonotonicTime(number * 400_000_000);
            if let Some(seen) = tracker.look(at, SERVICE, &sockets, number * PACKETS) {
                prop_assert!(seen.hung <= seen.full && seen.full.max(seen.draining) <= seen.sockets);
                prop_assert!(seen.sockets as usize <= sockets.len());
                prop_assert!(seen.receive_drops >= before);
                before = seen.receive_drops;
            }
        }
    }
}
