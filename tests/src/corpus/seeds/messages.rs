//! A packet for every branch of each classifier.

use super::Seeds;
use super::build::{ACK, FIN, Family, PSH, RST, SYN, Way, cut, set};

const DNS: u16 = 53;
const QUERY: [u8; 12] = [0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
const TCP_HEADER_BYTES: usize = 20;

pub(super) fn add(seeds: &mut Seeds, family: Family) {
    for (way, name, port, payload) in datagrams() {
        seeds.add_ethernet(way, family, name, &family.udp(way, port, &payload));
    }
    for (way, name, port, flags, payload) in segments() {
        seeds.add_ethernet(way, family, name, &family.tcp(way, port, flags, payload));
    }
    add_odd_segments(seeds, family);
    add_icmp(seeds, family);
}

/// Direction, name, the service's port and payload.
fn datagrams() -> Vec<(Way, &'static str, u16, Vec<u8>)> {
    use Way::{In, Out};
    let dns = |flags: [u8; 2]| {
        let mut message = QUERY.to_vec();
        set(&mut message, 2, &flags);
        // The question: example.com, type A, class IN.
        message.extend_from_slice(b"\x07example\x03com\x00\x00\x01\x00\x01");
        message
    };
    let headed = |head: &[u8], length: usize| {
        let mut message = head.to_vec();
        message.resize(length, 0xa5);
        message
    };
    let ike = |version: u8, flags: u8| {
        let mut message = [[0x11; 8], [0; 8]].concat();
        message.extend_from_slice(&[33, version, 34, flags, 0, 0, 0, 0, 0, 0, 0, 28]);
        message
    };
    let marked = |message: Vec<u8>| [vec![0; 4], message].concat();
    vec![
        (In, "dns-query", DNS, dns([0x01, 0x00])),
        (In, "dns-notify", DNS, dns([0x20, 0x00])),
        (In, "dns-answer", DNS, dns([0x84, 0x00])),
        (In, "dns-header-only", DNS, QUERY.to_vec()),
        (In, "dns-too-short", DNS, headed(&QUERY, 11)),
        (In, "dns-empty", DNS, Vec::new()),
        (Out, "dns-answer", DNS, dns([0x84, 0x00])),
        (Out, "dns-answer-truncated", DNS, dns([0x86, 0x00])),
        (Out, "dns-answer-servfail", DNS, dns([0x80, 0x02])),
        (Out, "dns-answer-rcode-15-ad-cd", DNS, dns([0x80, 0xbf])),
        (Out, "dns-query", DNS, dns([0x01, 0x00])),
        (Out, "dns-too-short", DNS, headed(&QUERY, 11)),
        (In, "no-service", 54, dns([0x01, 0x00])),
        (Out, "no-service", 54, dns([0x80, 0x00])),
        (In, "ntp-client", 123, headed(&[0x23], 48)),
        (Out, "ntp-server", 123, headed(&[0x24], 48)),
        (Out, "ntp-server-with-extension", 123, headed(&[0x24], 68)),
        (In, "ntp-control", 123, headed(&[0x16], 48)),
        (In, "ntp-too-short", 123, headed(&[0x23], 47)),
        (In, "quic-initial", 443, headed(&[0xc3, 0, 0, 0, 1, 8], 1200)),
        (
            In,
            "quic-initial-v2",
            443,
            headed(&[0xd3, 0x6b, 0x33, 0x43, 0xcf, 8], 1200),
        ),
        (In, "quic-handshake", 443, headed(&[0xe3, 0, 0, 0, 1, 8], 200)),
        (
            In,
            "quic-unknown-version",
            443,
            headed(&[0xc3, 0x1a, 0x2a, 0x3a, 0x4a, 8], 1200),
        ),
        (In, "quic-short-header", 443, headed(&[0x43], 40)),
        (In, "quic-too-short", 443, headed(&[0xc3], 4)),
        (Out, "quic-handshake", 443, headed(&[0xe3, 0, 0, 0, 1, 8], 1200)),
        (Out, "quic-version-negotiation", 443, headed(&[0x80, 0, 0, 0, 0, 8], 40)),
        (Out, "quic-short-header", 443, headed(&[0x43], 40)),
        (In, "wireguard-initiation", 51_820, headed(&[1, 0, 0, 0], 148)),
        (Out, "wireguard-response", 51_820, headed(&[2, 0, 0, 0], 92)),
        (Out, "wireguard-cookie-reply", 51_820, headed(&[3, 0, 0, 0], 64)),
        (In, "wireguard-data", 51_820, headed(&[4, 0, 0, 0], 32)),
        (In, "wireguard-too-short", 51_820, headed(&[1, 0, 0, 0], 11)),
        (In, "ike-request", 500, ike(0x20, 0x08)),
        (Out, "ike-response", 500, ike(0x20, 0x20)),
        (Out, "ike-request", 500, ike(0x20, 0x00)),
        (In, "ike-v1", 500, ike(0x10, 0x00)),
        (Out, "ike-v1", 500, ike(0x10, 0x00)),
        (In, "ike-too-short", 500, headed(&ike(0x20, 0x08), 27)),
        (In, "ike-nat-request", 4500, marked(ike(0x20, 0x08))),
        (Out, "ike-nat-response", 4500, marked(ike(0x20, 0x20))),
        (In, "ike-nat-esp", 4500, headed(&[0x11], 64)),
        (In, "ike-nat-esp-zero-first", 4500, headed(&[0, 0, 0, 9], 64)),
        (In, "ike-nat-keepalive", 4500, vec![0xff]),
        (In, "ike-nat-empty", 4500, Vec::new()),
        (In, "udp", 5060, b"OPTIONS sip:".to_vec()),
        (Out, "udp", 5060, b"SIP/2.0 200".to_vec()),
        (In, "udp-empty", 5060, Vec::new()),
        (In, "syslog", 514, b"<34>Oct 11 22:14:15 mymachine su:".to_vec()),
        (Out, "syslog", 514, b"<34>".to_vec()),
    ]
}

/// Direction, name, the service's port, flags and payload.
fn segments() -> Vec<(Way, &'static str, u16, u8, &'static [u8])> {
    use Way::{In, Out};
    const MESSAGE: &[u8] = b"\x00\x0c\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00";
    vec![
        (In, "tcp-syn", DNS, SYN, b""),
        (Out, "tcp-syn-ack", DNS, SYN | ACK, b""),
        (In, "tcp-ack", DNS, ACK, b""),
        (In, "tcp-payload", DNS, PSH | ACK, MESSAGE),
        (Out, "tcp-payload", DNS, PSH | ACK, MESSAGE),
        (In, "tcp-syn-with-payload", DNS, SYN, MESSAGE),
        (In, "tcp-fin", DNS, FIN | ACK, b""),
        (Out, "tcp-fin", DNS, FIN | ACK, b""),
        (In, "tcp-fin-with-payload", DNS, FIN | PSH | ACK, MESSAGE),
        (In, "tcp-rst", DNS, RST, b""),
        (Out, "tcp-rst", DNS, RST | ACK, b""),
        (In, "tcp-no-service", 54, SYN, b""),
        (Out, "tcp-rst-no-service", 54, RST | ACK, b""),
        (
            In,
            "tls-hello",
            853,
            PSH | ACK,
            b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
        ),
        (In, "ldap-bind", 389, PSH | ACK, b"\x30\x0c\x02\x01\x01\x60\x07"),
        (In, "smtp-syn", 25, SYN, b""),
        (In, "smtp-ack", 25, ACK, b""),
        (Out, "smtp-greeting", 25, PSH | ACK, b"220 mail.example ESMTP\r\n"),
        (In, "smtp-hello", 25, PSH | ACK, b"EHLO client.example\r\n"),
    ]
}

fn add_odd_segments(seeds: &mut Seeds, family: Family) {
    let offset_of_words = family.header_bytes() + 12;
    let payload = [0; 12];
    for (name, words) in [("tcp-options", 8_u8), ("tcp-header-short", 4), ("tcp-header-long", 15)] {
        let mut packet = family.tcp(Way::In, DNS, PSH | ACK, &payload);
        set(&mut packet, offset_of_words, &[words << 4]);
        seeds.add_ethernet(Way::In, family, name, &packet);
    }
    let packet = family.tcp(Way::In, DNS, ACK, b"");
    let length = family.header_bytes() + TCP_HEADER_BYTES - 1;
    seeds.add_ethernet(Way::In, family, "tcp-cut", cut(&packet, length));
    // What a driver adds to reach the least length of a frame is no payload.
    let padded = [&*packet, &[0; 6]].concat();
    seeds.add_ethernet(Way::In, family, "tcp-ack-padded", &padded);
}

fn add_icmp(seeds: &mut Seeds, family: Family) {
    seeds.add_ethernet(Way::In, family, "icmp-echo", &family.echo_request());
    let of_udp = family.udp(Way::In, DNS, &QUERY);
    let of_tcp = family.tcp(Way::In, DNS, SYN, b"");
    let quoted: [(&str, &[u8]); 5] = [
        ("icmp-unreachable-udp", &of_udp),
        ("icmp-unreachable-tcp", &of_tcp),
        ("icmp-unreachable-icmp", &family.echo_request()),
        ("icmp-unreachable-cut", cut(&of_udp, family.header_bytes() + 3)),
        ("icmp-unreachable-empty", &[]),
    ];
    for (name, quoted) in quoted {
        seeds.add_ethernet(Way::Out, family, name, &family.port_unreachable(quoted));
    }
    seeds.add_ethernet(
        Way::In,
        family,
        "icmp-unreachable-udp",
        &family.port_unreachable(&of_udp),
    );
    let mut other_code = family.port_unreachable(&of_udp);
    set(&mut other_code, family.header_bytes() + 1, &[1]);
    seeds.add_ethernet(Way::Out, family, "icmp-unreachable-host", &other_code);
}
