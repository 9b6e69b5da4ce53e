//! Captures made by hand: as `tcpdump -w` would write them, with what real ones seldom have.

use anyhow::{Context, Result};
use etherparse::icmpv4::DestUnreachableHeader;
use etherparse::{Icmpv4Type, PacketBuilder};
use std::path::{Path, PathBuf};

/// A pcap file in memory: little-endian, with microseconds, packets 10 ms apart.
#[derive(Debug)]
pub struct Pcap {
    bytes: Vec<u8>,
    packets: u32,
}

impl Pcap {
    /// The time of the first packet: 2026-01-02 03:04:05 UTC, in seconds since 1970.
    pub const START_SECONDS: u32 = 1_767_323_045;
    /// The time between two packets.
    pub const STEP_MICROSECONDS: u32 = 10_000;
    /// `LINKTYPE_ETHERNET`.
    pub const ETHERNET: u32 = 1;

    /// A capture without packets, which are to be of this link type.
    #[must_use]
    pub fn new(link_type: u32) -> Self {
        let mut bytes = Vec::new();
        bytes.extend(0xa1b2_c3d4_u32.to_le_bytes());
        bytes.extend([2, 0, 4, 0]);
        for number in [0, 0, 262_144, link_type] {
            bytes.extend(number.to_le_bytes());
        }
        Self { bytes, packets: 0 }
    }

    /// Adds a packet that was captured whole.
    pub fn push(&mut self, packet: &[u8]) {
        self.push_cut(packet, packet.len());
    }

    /// Adds a packet of which only the first `captured` bytes were captured.
    pub fn push_cut(&mut self, packet: &[u8], captured: usize) {
        const MICROSECONDS: u32 = 1_000_000;
        let captured = packet.get(..captured).unwrap_or(packet);
        let time = self.packets * Self::STEP_MICROSECONDS;
        for number in [
            Self::START_SECONDS + time / MICROSECONDS,
            time % MICROSECONDS,
            captured.len() as u32,
            packet.len() as u32,
        ] {
            self.bytes.extend(number.to_le_bytes());
        }
        self.bytes.extend(captured);
        self.packets += 1;
    }

    /// The file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// A client of the sample.
pub const CLIENT: [u8; 4] = [198, 51, 100, 7];
/// A client of the sample.
pub const CLIENT_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
/// A service address of the sample.
pub const SERVICE: [u8; 4] = [192, 0, 2, 53];
/// A service address of the sample.
pub const SERVICE_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0x53, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53];

const CLIENT_PORT: u16 = 40_000;
const DNS_PORT: u16 = 53;

/// Where the samples are: `sample.pcap`, and `sample.toml` with its services.
#[must_use]
pub fn sample_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures")
}

/// A DNS message: `example.com A`, with these flags.
fn dns(flags: u16) -> Vec<u8> {
    let mut message = vec![0x12, 0x34];
    message.extend(flags.to_be_bytes());
    message.extend([0, 1, 0, 0, 0, 0, 0, 0]);
    message.extend(b"\x07example\x03com\0\0\x01\0\x01");
    message
}

const QUERY: u16 = 0x0100;
const NOERROR: u16 = 0x8400;
const NOERROR_TRUNCATED: u16 = 0x8600;
const SERVFAIL: u16 = 0x8002;
const NXDOMAIN: u16 = 0x8403;

fn v4(source: ([u8; 4], u16), destination: ([u8; 4], u16), payload: &[u8]) -> Result<Vec<u8>> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4(source.0, destination.0, 64)
        .udp(source.1, destination.1)
        .write(&mut frame, payload)?;
    Ok(frame)
}

fn v6(source: ([u8; 16], u16), destination: ([u8; 16], u16), payload: &[u8]) -> Result<Vec<u8>> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv6(source.0, destination.0, 64)
        .udp(source.1, destination.1)
        .write(&mut frame, payload)?;
    Ok(frame)
}

fn tagged(frame: &[u8], tags: &[u16]) -> Result<Vec<u8>> {
    let (addresses, rest) = frame.split_at_checked(12).context("a frame has addresses")?;
    let mut tagged = addresses.to_vec();
    for (tag, id) in tags.iter().zip(5_u16..) {
        tagged.extend(tag.to_be_bytes());
        tagged.extend(id.to_be_bytes());
    }
    tagged.extend(rest);
    Ok(tagged)
}

/// With a byte of the IPv4 header of an untagged frame changed.
fn with_ipv4_byte(mut frame: Vec<u8>, position: usize, value: u8) -> Result<Vec<u8>> {
    *frame.get_mut(14 + position).context("a frame has an IPv4 header")? = value;
    Ok(frame)
}

/// One packet of each kind that a node may see, as Ethernet frames: what it is, the frame, and how much of it was
/// captured.
///
/// Checksums are not made right again where a header was changed: nobody here looks at them.
pub fn sample_frames() -> Result<Vec<(&'static str, Vec<u8>, usize)>> {
    let (client, service) = ((CLIENT, CLIENT_PORT), (SERVICE, DNS_PORT));
    let (client_v6, service_v6) = ((CLIENT_V6, CLIENT_PORT), (SERVICE_V6, DNS_PORT));
    let query = v4(client, service, &dns(QUERY))?;
    let mut arp = vec![0xff; 6];
    arp.extend([2; 6]);
    arp.extend([0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1]);
    arp.resize(42, 0);
    let mut tcp = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4(CLIENT, SERVICE, 64)
        .tcp(CLIENT_PORT, DNS_PORT, 1, 64_240)
        .syn()
        .write(&mut tcp, &[])?;
    let whole = |what, frame: Vec<u8>| {
        let captured = frame.len();
        (what, frame, captured)
    };
    let mut unreachable = Vec::new();
    let quoted = query.get(14..).context("a frame has a header")?;
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4(SERVICE, CLIENT, 64)
        .icmpv4(Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Port))
        .write(&mut unreachable, quoted)?;
    // Bit 5 of byte 6 is "more fragments", byte 7 the offset in units of 8 bytes.
    Ok(vec![
        whole("ARP", arp),
        whole("query", query.clone()),
        whole("answer", v4(service, client, &dns(NOERROR))?),
        whole("query over IPv6", v6(client_v6, service_v6, &dns(QUERY))?),
        whole("NXDOMAIN over IPv6", v6(service_v6, client_v6, &dns(NXDOMAIN))?),
        whole("query in a VLAN", tagged(&query, &[0x8100])?),
        whole(
            "truncated answer in a VLAN",
            tagged(&v4(service, client, &dns(NOERROR_TRUNCATED))?, &[0x8100])?,
        ),
        whole("query in two VLANs", tagged(&query, &[0x88a8, 0x8100])?),
        whole("query in three VLANs", tagged(&query, &[0x88a8, 0x8100, 0x8100])?),
        whole("first fragment of a query", with_ipv4_byte(query.clone(), 6, 0x20)?),
        whole("later fragment of a query", with_ipv4_byte(query.clone(), 7, 4)?),
        whole("SERVFAIL", v4(service, client, &dns(SERVFAIL))?),
        whole(
            "later fragment of an answer",
            with_ipv4_byte(v4(service, client, &dns(NOERROR))?, 7, 185)?,
        ),
        whole(
            "query with an impossible header length",
            with_ipv4_byte(query.clone(), 0, 0x44)?,
        ),
        whole("ICMP port unreachable", unreachable),
        whole(
            "query from a service address",
            v4((SERVICE, CLIENT_PORT), service, &dns(QUERY))?,
        ),
        ("query of which 40 bytes were captured", query, 40),
        whole("query over TCP, its first segment", tcp),
        whole(
            "query to somebody else",
            v4(client, ([192, 0, 2, 99], DNS_PORT), &dns(QUERY))?,
        ),
    ])
}

/// The sample capture, which `tests/captures/sample.pcap` holds.
pub fn sample() -> Result<Pcap> {
    let mut capture = Pcap::new(Pcap::ETHERNET);
    for (_, frame, captured) in sample_frames()? {
        capture.push_cut(&frame, captured);
    }
    Ok(capture)
}
