//! Answers as they leave the server's sockets.

use super::{node::LOCAL, *};
use crate::testing::{ACK, ANSWER, udp};

fn one() -> Counts {
    Counts {
        local_answers: 1,
        ..Counts::default()
    }
}

#[test]
fn an_answer_to_another_host_is_counted_and_nothing_else_is() {
    for family in Family::ALL {
        let node = Node::new();
        node.sent(&family.udp(Egress, 53, &ANSWER));
        assert_eq!(node.counts(family, DNS), one(), "{family:?}");
        let (services, unclassified) = node.everything();
        let touched = services.iter().filter(|(counts, _)| *counts != Counts::default());
        assert_eq!(touched.count(), 1);
        assert_eq!(unclassified, [0; UNCLASSIFIED_REASONS]);
    }
}

#[test]
fn an_answer_to_this_host_is_no_proof() {
    for family in Family::ALL {
        let node = Node::new();
        let answer = udp(Egress, 53, &ANSWER);
        // An address of the host; its own, as a service; and loopback, which nobody has listed.
        node.sent(&family.ip_of(LOCAL, Egress, PROTOCOL_UDP, &answer));
        let packet = family.udp(Egress, 53, &ANSWER);
        let (source, destination) = match family {
            Family::V4 => (12..16, 16),
            Family::V6 => (8..24, 24),
        };
        let mut to_itself = packet.clone();
        to_itself.copy_within(source, destination);
        node.sent(&to_itself);
        let loopbacks: &[&[u8]] = match family {
            Family::V4 => &[&[127, 0, 0, 1], &[127, 255, 0, 9]],
            Family::V6 => &[&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]],
        };
        for loopback in loopbacks {
            let mut to_loopback = packet.clone();
            to_loopback[destination..destination + loopback.len()].copy_from_slice(loopback);
            node.sent(&to_loopback);
        }
        assert_eq!(node.counts(family, DNS), Counts::default(), "{family:?}");
        // What only looks like it is another host's.
        let mut like_loopback = packet;
        let last = destination + loopbacks[0].len() - 1;
        like_loopback[last] ^= 0x40;
        node.sent(&like_loopback);
        assert_eq!(node.counts(family, DNS), one(), "{family:?}");
    }
}

#[test]
fn what_is_no_answer_of_a_service_over_udp_is_not_counted() {
    for family in Family::ALL {
        let node = Node::new();
        node.sent(&family.udp(Egress, 53, &QUERY));
        node.sent(&family.udp(Ingress, 53, &ANSWER));
        node.sent(&family.udp(Egress, 54, &ANSWER));
        node.sent(&family.tcp(Egress, 53, ACK, &ANSWER));
        node.sent(&family.port_unreachable(&family.udp(Ingress, 53, &QUERY)));
        let answer = family.udp(Egress, 53, &ANSWER);
        for length in 0..answer.len() {
            node.sent(&answer[..length]);
        }
        let (services, unclassified) = node.everything();
        assert!(
            services.iter().all(|(counts, _)| *counts == Counts::default()),
            "{family:?}"
        );
        assert_eq!(unclassified, [0; UNCLASSIFIED_REASONS]);
    }
}
