//! Services of other protocols than DNS over UDP, and signs that nobody listens.

use crate::coming_back::{sample, scrape};
use crate::{binaries, options, wait_for};
use anycast_tests::alone::one_at_a_time;
use anycast_tests::daemon::DaemonOptions;
use anycast_tests::dns;
use anycast_tests::event::EventKind;
use anycast_tests::fault::Fault;
use anycast_tests::lab::{Lab, LabOptions};
use anycast_tests::node::{Node, SERVICE_V4};
use anycast_tests::timeline::Silent;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

const UDP: &str = r#"service="dns",address="192.0.2.53""#;
const TCP: &str = r#"service="dns-over-tcp",address="192.0.2.53""#;
const CONNECTIONS: u64 = 10;
const QUERIES_OF_EACH: u64 = 3;
/// Only against a hang.
const HANG: Duration = Duration::from_secs(20);

#[test]
fn exchanges_over_tcp_and_refusals_are_counted() {
    let _alone = one_at_a_time();
    let Some(binaries) = binaries("protocols") else { return };
    let mut nobody = Silent;
    let watched = DaemonOptions {
        armed: false,
        more_services: "[[link.service]]\nname = \"dns-over-tcp\"\nprotocol = \"tcp\"\nport = 53\n",
        ..DaemonOptions::default()
    };
    let options = LabOptions {
        daemon: Some(watched.clone()),
        ..options(binaries, false)
    };
    let mut lab = Lab::start(options, &mut nobody).unwrap();
    let mark = lab.mark();
    lab.start_daemon(Node::A, &watched).unwrap();
    wait_for(&mut lab, mark, "started", |event| {
        matches!(event, EventKind::Started { .. })
    });

    lab.network().client.run(ask_over_tcp).unwrap();
    let answered = scrape(&lab);
    for name in ["queries_total", "answers_total", "latency_seconds_count"] {
        let counted = sample(&answered, name, TCP);
        assert_eq!(counted, Some(CONNECTIONS * QUERIES_OF_EACH), "{name} in {answered}");
    }
    assert_eq!(sample(&answered, "hints_total", TCP), Some(0));
    assert_eq!(
        sample(&answered, "queries_total", UDP),
        Some(0),
        "TCP is another service"
    );

    lab.strike(Fault::Sigkill).unwrap();
    lab.network().client.run(be_refused).unwrap();
    let refused = scrape(&lab);
    for service in [TCP, UDP] {
        assert!(
            sample(&refused, "hints_total", service) > Some(0),
            "{service}: {refused}"
        );
    }
}

/// Several connections, each with queries one after the other.
fn ask_over_tcp() -> anyhow::Result<()> {
    let query = dns::query()?;
    for _ in 0..CONNECTIONS {
        let mut connection = TcpStream::connect((SERVICE_V4, 53))?;
        connection.set_read_timeout(Some(HANG))?;
        for _ in 0..QUERIES_OF_EACH {
            let length = u16::try_from(query.len())?.to_be_bytes();
            connection.write_all(&[&length[..], &query].concat())?;
            let mut length = [0; 2];
            connection.read_exact(&mut length)?;
            let mut answer = vec![0; u16::from_be_bytes(length).into()];
            connection.read_exact(&mut answer)?;
            anyhow::ensure!(dns::read_answer(&answer).is_some(), "not an answer: {answer:02x?}");
        }
    }
    Ok(())
}

/// A connection is refused by a RST, a datagram by an ICMP message. The server has been killed, but its sockets go one after
/// the other.
fn be_refused() -> anyhow::Result<()> {
    let deadline = Instant::now() + HANG;
    while TcpStream::connect((SERVICE_V4, 53)).is_ok() {
        anyhow::ensure!(Instant::now() < deadline, "somebody listens");
    }
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    socket.connect((SERVICE_V4, 53))?;
    loop {
        anyhow::ensure!(Instant::now() < deadline, "nobody says that nobody listens");
        let asked = socket.send(&dns::query()?).and_then(|_| socket.recv(&mut [0; 512]));
        if asked.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
            return Ok(());
        }
    }
}
