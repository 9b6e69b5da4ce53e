use std::net::SocketAddr;

use super::*;
use crate::net::testing::in_namespace;
use crate::probe::testing::{Responder, answer, burst};
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
        let result = burst(request(server.address(), LONG));
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
    let result = burst(request(address, LONG));
    assert_eq!(counts(&result), [16, 0, 16, 0]);
    assert!(result.finished_at < result.started_at.after(LONG));
    assert_eq!(result.slowest_round_trip, None);
}

#[test]
fn a_server_that_hangs_answers_nothing_until_the_window_has_passed() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let result = burst(request(socket.local_addr().unwrap(), SHORT));
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
    assert_eq!(counts(&burst(request(server.address(), SHORT))), [16, 0, 0, 16]);
    let server = Responder::start("127.0.0.1:0", move |query| {
        let mut replies = hostile(query);
        replies.extend((0..20).map(|_| b"flood".to_vec()));
        replies.push(answer(query));
        replies
    });
    assert_eq!(counts(&burst(request(server.address(), LONG))), [16, 16, 0, 0]);
}

#[test]
fn what_cannot_be_sent_is_not_counted_as_sent() {
    in_namespace(|_| {
        // No route in a new namespace.
        let result = burst(request("192.0.2.53:53".parse().unwrap(), LONG));
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
                counts(&burst(request(server.address(), LONG))),
                [16, 16, 0, 0],
                "{address}"
            );
            drop(server);
            assert_eq!(counts(&burst(request(address.parse().unwrap(), LONG))), [16, 0, 16, 0]);
        }
    });
}
