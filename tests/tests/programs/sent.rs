//! Answers as they leave the server's sockets.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, UdpSocket},
    os::fd::AsRawFd as _,
};

use anycast_ebpf::classify::Classifier;
use anycast_user::{
    datapath::{Datapath, LoadSettings, Reading, Service},
    net::Netlink,
};
use nix::libc;

use crate::{
    frames::{ACK, ANSWER, Egress, FAMILIES, Family, Ingress, QUERY, SERVICE},
    hooks::Hook,
    node::{LOCAL, Node, dns},
    survival::{ask, wire},
};

const PROTOCOL_UDP: u8 = 17;

#[test]
fn an_answer_to_another_host_is_counted_as_it_leaves() {
    let Some(mut node) = Node::shared() else { return };
    let sent = Reading {
        local_answers: Node::shows_sent().into(),
        ..Reading::default()
    };
    for family in FAMILIES {
        let answer = family.udp(Egress, 53, &ANSWER);
        assert_eq!(node.counted(Hook::CgroupEgress, dns(family), &answer), sent);
    }
}

/// The number by which the kernel knows a socket.
fn cookie(socket: &UdpSocket) -> u64 {
    let mut cookie = 0_u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the kernel writes as many bytes as it is told to the number, which outlives the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    cookie
}

#[test]
fn what_a_socket_sends_is_counted_while_the_program_is_attached_and_arrives_always() {
    if Node::shared().is_none() {
        return;
    }
    let (client, node) = wire();
    let client = client.run(|| Ok(UdpSocket::bind("198.51.100.2:0")?)).expect("a client");
    let server = node
        .run(|| Ok(UdpSocket::bind((Ipv4Addr::from(SERVICE), 53))?))
        .expect("a server");
    let ran = node.run(|| {
        let dns = [Service::new(SERVICE, 53, Classifier::DnsUdp)];
        let mut datapath = Datapath::load(&dns, &LoadSettings::default())?;
        datapath.set_ways_out([Netlink::open()?.link("up0")?.index])?;
        let mut proof = datapath.second_proof()?;
        let bank = datapath.bank();
        proof.set_sockets(&BTreeSet::from([cookie(&server)]))?;
        ask(&client, &server);
        assert_eq!(bank.local_answers(0), 0);
        proof.attach()?;
        ask(&client, &server);
        assert_eq!(bank.local_answers(0), 1);
        proof.set_sockets(&BTreeSet::new())?;
        ask(&client, &server);
        assert_eq!(bank.local_answers(0), 1, "it is no server's any more");
        proof.set_sockets(&BTreeSet::from([cookie(&server)]))?;
        proof.detach()?;
        ask(&client, &server);
        assert_eq!(bank.local_answers(0), 1);
        Ok(())
    });
    ran.expect("it is attached");
}

#[test]
fn what_stays_on_this_host_or_is_no_answer_is_not_counted() {
    let Some(mut node) = Node::shared() else { return };
    let before = node.everything();
    for family in FAMILIES {
        let answer = family.udp(Egress, 53, &ANSWER);
        let datagram = &answer[family.header_bytes()..];
        let mut to_loopback = answer.clone();
        match family {
            Family::V4 => to_loopback[16..20].copy_from_slice(&[127, 0, 0, 1]),
            Family::V6 => to_loopback[24..40].copy_from_slice(&1_u128.to_be_bytes()),
        }
        for packet in [
            to_loopback,
            family.ip_of(LOCAL, Egress, PROTOCOL_UDP, datagram),
            family.udp(Egress, 53, &QUERY),
            family.udp(Egress, 54, &ANSWER),
            family.udp(Ingress, 53, &ANSWER),
            family.tcp(Egress, 53, ACK, &ANSWER),
        ] {
            node.programs.pass(Hook::CgroupEgress, &packet);
        }
    }
    assert_eq!(node.everything(), before);
}
