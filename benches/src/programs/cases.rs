//! What is measured.

use anyhow::Result;

use super::{
    case::{Bar, Case, Change, Kind, Packets, Repeats},
    frames, rotation,
};

const IPV4: Option<Bar> = Some(Bar::Ratio(1.5));
const IPV6_OR_VLAN: Option<Bar> = Some(Bar::Ratio(1.8));
const NOT_FOR_A_SERVICE: Option<Bar> = Some(Bar::Ratio(1.3));
const SAMPLED: Option<Bar> = Some(Bar::AddedNs(40.0));
const EGRESS: Option<Bar> = Some(Bar::AddedNs(8.0));

/// A sampling exponent: all of them.
const EVERY: u32 = 0;
/// The one that the daemon starts with.
const ONE_IN_64: u32 = 6;

/// As many as there are clients, so that none comes twice.
const CLIENTS: Repeats = (1 << 14, rotation::CLIENTS);
/// So few transactions that hardly two need the same slot: with n under way in 2¹⁴ slots, a part of n/2¹⁵.
const TRANSACTIONS: Repeats = (1 << 7, 5 << 7);

/// Everything that is measured.
pub(super) fn cases() -> Result<Vec<Case>> {
    Ok([xdp_cases()?, tc_ingress_cases()?, tc_egress_cases()?, cgroup_cases()?]
        .into_iter()
        .flatten()
        .collect())
}

fn packets(kind: Kind, program: &'static str, frame: Vec<u8>) -> Packets {
    Packets {
        kind,
        program,
        frame,
        client_at: None,
    }
}

fn xdp(frame: Vec<u8>) -> Packets {
    packets(Kind::Xdp, "ingress_xdp", frame)
}

fn ingress(frame: Vec<u8>) -> Packets {
    packets(Kind::Tc, "ingress_tc", frame)
}

fn egress(frame: Vec<u8>) -> Packets {
    packets(Kind::Tc, "egress_tc", frame)
}

/// From the Ethernet header on, which a packet that leaves a socket doesn't have: the kernel takes it off for a test run.
fn sent(frame: Vec<u8>) -> Packets {
    packets(Kind::Cgroup, "egress_cgroup", frame)
}

impl Packets {
    /// Of a client each, who sends them.
    fn of_senders(self) -> Self {
        Self {
            client_at: Some(frames::SOURCE_V4_AT),
            ..self
        }
    }

    /// Of a client each, who receives them.
    fn of_receivers(self) -> Self {
        Self {
            client_at: Some(frames::DESTINATION_V4_AT),
            ..self
        }
    }
}

/// Queries over UDP, each of another client.
fn queries() -> Result<Packets> {
    Ok(ingress(frames::query_v4()?).of_senders())
}

/// The answers to [`queries`].
fn answers() -> Result<Packets> {
    Ok(egress(frames::answer_v4()?).of_receivers())
}

/// Queries over TCP, each on another connection.
fn tcp_queries() -> Result<Packets> {
    Ok(ingress(frames::tcp_query()?).of_senders())
}

/// The answers to [`tcp_queries`].
fn tcp_answers() -> Result<Packets> {
    Ok(egress(frames::tcp_answer()?).of_receivers())
}

fn xdp_cases() -> Result<Vec<Case>> {
    let query = frames::query_v4()?;
    Ok(vec![
        Case::new("xdp unsampled v4", IPV4, xdp(query.clone()), Change::QUERY),
        Case::new(
            "xdp unsampled v6",
            IPV6_OR_VLAN,
            xdp(frames::query_v6()?),
            Change::QUERY,
        ),
        Case::new(
            "xdp unsampled v4 vlan",
            IPV6_OR_VLAN,
            xdp(frames::query_v4_vlan()?),
            Change::QUERY,
        ),
        Case::new(
            "xdp unsampled v6 vlan",
            IPV6_OR_VLAN,
            xdp(frames::query_v6_vlan()?),
            Change::QUERY,
        ),
        Case::new(
            "xdp unsampled v4 64k clients",
            IPV4,
            xdp(query.clone()).of_senders(),
            Change::QUERY,
        )
        .repeats(CLIENTS),
        Case::new(
            "xdp 1 in 64 sampled 64k clients",
            None,
            xdp(query.clone()).of_senders(),
            Change::QUERY,
        )
        .repeats(CLIENTS)
        .sampled(ONE_IN_64)
        .after(answers()?),
        Case::new(
            "xdp sampled v4",
            SAMPLED,
            xdp(query.clone()).of_senders(),
            Change::OPENED,
        )
        .repeats(TRANSACTIONS)
        .sampled(EVERY)
        .after(answers()?),
        Case::new("xdp sampled v4 repeated", SAMPLED, xdp(query.clone()), Change::QUERY)
            .sampled(EVERY)
            .before(ingress(query.clone())),
        Case::new(
            "xdp not a service udp",
            NOT_FOR_A_SERVICE,
            xdp(frames::other_udp()?),
            Change::NOTHING,
        ),
        Case::new(
            "xdp not a service tcp",
            NOT_FOR_A_SERVICE,
            xdp(frames::other_tcp()?),
            Change::NOTHING,
        ),
        Case::new("xdp tcp service segment", None, xdp(frames::tcp_ack()?), Change::PACKET),
        Case::new(
            "xdp tcp service query",
            None,
            xdp(frames::tcp_query()?).of_senders(),
            Change::OPENED,
        )
        .repeats(TRANSACTIONS)
        .after(tcp_answers()?),
        Case::new(
            "xdp unclassified later fragment",
            None,
            xdp(frames::later_fragment()?),
            Change::UNCLASSIFIED,
        ),
        Case::new(
            "xdp unclassified truncated",
            None,
            xdp(frames::truncated()?),
            Change::UNCLASSIFIED,
        ),
        Case::new("xdp not ip", None, xdp(frames::arp()), Change::NOTHING),
    ])
}

fn tc_ingress_cases() -> Result<Vec<Case>> {
    let query = frames::query_v4()?;
    Ok(vec![
        Case::new("tc ingress unsampled v4", None, ingress(query.clone()), Change::QUERY),
        Case::new(
            "tc ingress unsampled v6",
            None,
            ingress(frames::query_v6()?),
            Change::QUERY,
        ),
        Case::new("tc ingress sampled v4", SAMPLED, queries()?, Change::OPENED)
            .repeats(TRANSACTIONS)
            .sampled(EVERY)
            .after(answers()?),
        Case::new(
            "tc ingress not a service udp",
            NOT_FOR_A_SERVICE,
            ingress(frames::other_udp()?),
            Change::NOTHING,
        ),
        Case::new(
            "tc ingress ip framing v4",
            None,
            packets(Kind::Tc, "ingress_tc_ip", frames::without_ethernet(&query)),
            Change::QUERY,
        ),
    ])
}

fn tc_egress_cases() -> Result<Vec<Case>> {
    let answer = frames::answer_v4()?;
    Ok(vec![
        Case::new("tc egress unsampled v4", EGRESS, egress(answer.clone()), Change::ANSWER),
        Case::new(
            "tc egress unsampled v6",
            EGRESS,
            egress(frames::answer_v6()?),
            Change::ANSWER,
        ),
        Case::new("tc egress sampled v4", SAMPLED, answers()?, Change::CLOSED)
            .repeats(TRANSACTIONS)
            .sampled(EVERY)
            .before(queries()?),
        Case::new("tc egress tcp service answer", None, tcp_answers()?, Change::CLOSED)
            .repeats(TRANSACTIONS)
            .before(tcp_queries()?),
        Case::new(
            "tc egress not a service udp",
            NOT_FOR_A_SERVICE,
            egress(frames::other_udp()?),
            Change::NOTHING,
        ),
        Case::new(
            "tc egress not a service tcp",
            NOT_FOR_A_SERVICE,
            egress(frames::other_tcp()?),
            Change::NOTHING,
        ),
        Case::new(
            "tc egress ip framing v4",
            EGRESS,
            packets(Kind::Tc, "egress_tc_ip", frames::without_ethernet(&answer)),
            Change::ANSWER,
        ),
    ])
}

/// Every packet that a socket of the host sends pays for these, while answers are counted as they leave sockets.
fn cgroup_cases() -> Result<Vec<Case>> {
    Ok(vec![
        Case::new(
            "cgroup others tcp",
            NOT_FOR_A_SERVICE,
            sent(frames::other_tcp()?),
            Change::NOTHING,
        ),
        Case::new("cgroup others udp", None, sent(frames::other_udp()?), Change::NOTHING),
        Case::new("cgroup answer v4", None, sent(frames::answer_v4()?), Change::SENT),
        Case::new("cgroup answer v6", None, sent(frames::answer_v6()?), Change::SENT),
    ])
}
