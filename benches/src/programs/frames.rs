//! The frames, and the services that some of them are for.

use anycast_ebpf::classify::Classifier;
use anycast_user::datapath::Service;
use anyhow::{Context as _, Result};
use etherparse::{Ethernet2Header, IpHeaders, PacketBuilder, PacketBuilderStep, VlanId, ether_type};

const CLIENT: [u8; 4] = [203, 0, 113, 7];
const CLIENT_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
const SERVICE: [u8; 4] = [192, 0, 2, 53];
const SERVICE_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0x53, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53];
const CLIENT_PORT: u16 = 40000;
const DNS: u16 = 53;
const QUERY: [u8; 29] = *b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03org\x00\x00\x01\x00\x01";
const ANSWER: [u8; 29] = *b"\x12\x34\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03org\x00\x00\x01\x00\x01";

/// Where the source address of an IPv4 packet is in a frame without a tag.
pub(super) const SOURCE_V4_AT: u16 = 26;
/// The same of the destination address.
pub(super) const DESTINATION_V4_AT: u16 = 30;

/// DNS over UDP at both addresses, and over TCP at the first.
pub(super) fn services() -> [Service; 3] {
    [
        Service::new(SERVICE, DNS, Classifier::DnsUdp),
        Service::new(SERVICE_V6, DNS, Classifier::DnsUdp),
        Service::new(SERVICE, DNS, Classifier::Tcp),
    ]
}

type Ip = PacketBuilderStep<IpHeaders>;

fn ethernet() -> PacketBuilderStep<Ethernet2Header> {
    PacketBuilder::ethernet2([2; 6], [4; 6])
}

fn vlan() -> Result<PacketBuilderStep<etherparse::VlanHeader>> {
    Ok(ethernet().single_vlan(VlanId::try_new(5)?))
}

fn udp(ip: Ip, (from, to): (u16, u16), payload: &[u8]) -> Result<Vec<u8>> {
    let mut frame = Vec::new();
    ip.udp(from, to).write(&mut frame, payload)?;
    Ok(frame)
}

fn tcp(ip: Ip, (from, to): (u16, u16), payload: &[u8]) -> Result<Vec<u8>> {
    let mut frame = Vec::new();
    ip.tcp(from, to, 1, 1000).ack(1).write(&mut frame, payload)?;
    Ok(frame)
}

pub(super) fn query_v4() -> Result<Vec<u8>> {
    udp(ethernet().ipv4(CLIENT, SERVICE, 64), (CLIENT_PORT, DNS), &QUERY)
}

pub(super) fn query_v6() -> Result<Vec<u8>> {
    udp(ethernet().ipv6(CLIENT_V6, SERVICE_V6, 64), (CLIENT_PORT, DNS), &QUERY)
}

pub(super) fn query_v4_vlan() -> Result<Vec<u8>> {
    udp(vlan()?.ipv4(CLIENT, SERVICE, 64), (CLIENT_PORT, DNS), &QUERY)
}

pub(super) fn query_v6_vlan() -> Result<Vec<u8>> {
    udp(vlan()?.ipv6(CLIENT_V6, SERVICE_V6, 64), (CLIENT_PORT, DNS), &QUERY)
}

pub(super) fn answer_v4() -> Result<Vec<u8>> {
    udp(ethernet().ipv4(SERVICE, CLIENT, 64), (DNS, CLIENT_PORT), &ANSWER)
}

pub(super) fn answer_v6() -> Result<Vec<u8>> {
    udp(ethernet().ipv6(SERVICE_V6, CLIENT_V6, 64), (DNS, CLIENT_PORT), &ANSWER)
}

/// The address of the service, at a port where nobody is counted.
pub(super) fn other_udp() -> Result<Vec<u8>> {
    udp(ethernet().ipv4(CLIENT, SERVICE, 64), (CLIENT_PORT, 123), &QUERY)
}

/// The same.
pub(super) fn other_tcp() -> Result<Vec<u8>> {
    tcp(ethernet().ipv4(CLIENT, SERVICE, 64), (CLIENT_PORT, 443), &QUERY)
}

pub(super) fn tcp_ack() -> Result<Vec<u8>> {
    tcp(ethernet().ipv4(CLIENT, SERVICE, 64), (CLIENT_PORT, DNS), &[])
}

pub(super) fn tcp_query() -> Result<Vec<u8>> {
    tcp(ethernet().ipv4(CLIENT, SERVICE, 64), (CLIENT_PORT, DNS), &QUERY)
}

pub(super) fn tcp_answer() -> Result<Vec<u8>> {
    tcp(ethernet().ipv4(SERVICE, CLIENT, 64), (DNS, CLIENT_PORT), &ANSWER)
}

/// Neither the first fragment nor the last.
pub(super) fn later_fragment() -> Result<Vec<u8>> {
    let mut frame = query_v4()?;
    let fragment = frame
        .get_mut(Ethernet2Header::LEN + 6..)
        .and_then(<[u8]>::first_chunk_mut);
    *fragment.context("the frame is too short")? = [0x20, 0xb9];
    Ok(frame)
}

/// It ends within its UDP header.
pub(super) fn truncated() -> Result<Vec<u8>> {
    let mut frame = query_v4()?;
    frame.truncate(Ethernet2Header::LEN + 20 + 4);
    Ok(frame)
}

/// As long as Ethernet wants it.
pub(super) fn arp() -> Vec<u8> {
    let mut frame = Vec::from([2; 12]);
    frame.extend(ether_type::ARP.0.to_be_bytes());
    frame.resize(60, 0);
    frame
}

/// What a device without a link layer would see.
pub(super) fn without_ethernet(frame: &[u8]) -> Vec<u8> {
    frame.get(Ethernet2Header::LEN..).unwrap_or_default().to_vec()
}
