use crate::event::AlertKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::http::{BindError, Limits, bind, serve};
use super::metrics::Exporter;
use crate::datapath::LatencyReading;
use crate::policy::State;

use super::{LinkSnapshot, SamplerSnapshot, ServiceSnapshot, Snapshot, SocketsSnapshot};

/// Only against a hang: no test waits for it when the code is right.
const HANG: Duration = Duration::from_secs(60);

/// A node with so many services on one link.
#[derive(Debug)]
struct Node(usize);

impl Snapshot for Node {
    fn armed(&self) -> bool {
        true
    }

    fn services(&self) -> Vec<ServiceSnapshot> {
        let service = |number: usize| ServiceSnapshot {
            link: "anycast0".into(),
            service: format!("a \"b\"\\\n{number}"),
            address: IpAddr::from([192, 0, 2, 53]),
            queries: 10,
            answers: 9,
            packets_in: 12,
            packets_out: 11,
            hints: 5,
            local_sources: 6,
            latency: LatencyReading {
                sampled: 4,
                buckets: std::array::from_fn(|bucket| (bucket == 120).into()),
                ..LatencyReading::NOTHING
            },
            truncated: 1,
            responses_by_rcode: vec![("NOERROR", 7), ("SERVFAIL", 2)],
            state: State::Suspect,
            evidence_nats: 1.5,
            threshold_nats: 22.0,
            closest_approach: 0.25,
            floor: Duration::from_millis(30),
            limit: Duration::from_millis(244),
            alerts: [AlertKind::PartialLoss].into_iter().collect(),
            sockets: Some(SocketsSnapshot {
                sockets: 4,
                receive_drops: 70,
                full: 3,
                hung: 2,
            }),
        };
        (0..self.0).map(service).collect()
    }

    fn unclassified(&self) -> Vec<(&'static str, u64)> {
        vec![("fragment", 3)]
    }

    fn links(&self) -> Vec<LinkSnapshot> {
        vec![LinkSnapshot {
            link: "anycast0".into(),
            announced: true,
            withdrawals: 4,
            announcements: 3,
            suppressed: vec![("not-armed", 2)],
        }]
    }

    fn sampler(&self) -> SamplerSnapshot {
        SamplerSnapshot {
            ticks: u64::MAX,
            late_ticks: 5,
            events_dropped: 6,
        }
    }
}

/// A server on a free port of loopback, stopped when dropped.
struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(services: usize, limits: Limits) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = bind(any).await.expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let exporter = Arc::new(Exporter::new(Arc::new(Node(services))));
        let task = tokio::spawn(serve(listener, exporter, limits));
        Self { address, task }
    }

    /// Sends `request` and returns all that comes until the server closes.
    async fn exchange(&self, request: &[u8]) -> String {
        let talk = async {
            let mut stream = TcpStream::connect(self.address).await.expect("connected");
            stream.write_all(request).await.expect("sent");
            let mut response = Vec::new();
            stream.read_to_end(&mut response).await.expect("closed");
            String::from_utf8(response).expect("text")
        };
        timeout(HANG, talk).await.expect("the server answers and closes")
    }

    async fn get(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.exchange(request.as_bytes()).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[test]
fn every_metric_has_its_line() {
    let text = Exporter::new(Arc::new(Node(1))).encode().expect("encoded");
    let service = r#"link="anycast0",service="a \"b\"\\\n0",address="192.0.2.53""#;
    let mut expected = vec![
        format!(
            "anycast_probe_build_info{{version=\"{}\"}} 1",
            env!("CARGO_PKG_VERSION")
        ),
        "anycast_probe_armed 1".into(),
        format!("anycast_probe_queries_total{{{service}}} 10"),
        format!("anycast_probe_answers_total{{{service}}} 9"),
        format!("anycast_probe_packets_received_total{{{service}}} 12"),
        format!("anycast_probe_packets_sent_total{{{service}}} 11"),
        format!("anycast_probe_hints_total{{{service}}} 5"),
        format!("anycast_probe_local_packets_total{{{service}}} 6"),
        format!("anycast_probe_truncated_answers_total{{{service}}} 1"),
        format!("anycast_probe_responses_total{{{service},rcode=\"NOERROR\"}} 7"),
        format!("anycast_probe_responses_total{{{service},rcode=\"SERVFAIL\"}} 2"),
    ];
    // One sample of 100.352 us, the middle of its bucket.
    expected.push(format!("anycast_probe_latency_seconds_sum{{{service}}} 0.000100352"));
    expected.push(format!("anycast_probe_latency_seconds_count{{{service}}} 1"));
    for exponent in 16..34 {
        let bound = f64::from(1_u32 << (exponent - 16)) * 65.536e-6;
        let count = u8::from(exponent > 16);
        expected.push(format!(
            "anycast_probe_latency_seconds_bucket{{le=\"{bound}\",{service}}} {count}"
        ));
    }
    expected.push(format!(
        "anycast_probe_latency_seconds_bucket{{le=\"+Inf\",{service}}} 1"
    ));
    for (fate, count) in [
        ("followed", 4),
        ("overwritten", 0),
        ("mismatched", 0),
        ("not-followed", 0),
    ] {
        expected.push(format!(
            "anycast_probe_latency_samples_total{{{service},fate=\"{fate}\"}} {count}"
        ));
    }
    expected.extend([
        format!("anycast_probe_server_sockets{{{service}}} 4"),
        format!("anycast_probe_full_sockets{{{service}}} 3"),
        format!("anycast_probe_hung_sockets{{{service}}} 2"),
        format!("anycast_probe_receive_drops_total{{{service}}} 70"),
    ]);
    expected.extend(State::ALL.map(|state| {
        let value = if state == State::Suspect { "1" } else { "0" };
        let state = state.name();
        format!("anycast_probe_service_state{{{service},state=\"{state}\"}} {value}")
    }));
    expected.extend([
        format!("anycast_probe_evidence_nats{{{service}}} 1.5"),
        format!("anycast_probe_threshold_nats{{{service}}} 22.0"),
        format!("anycast_probe_closest_approach_ratio{{{service}}} 0.25"),
        format!("anycast_probe_floor_seconds{{{service}}} 0.03"),
        format!("anycast_probe_limit_seconds{{{service}}} 0.244"),
    ]);
    expected.extend(AlertKind::OF_A_SERVICE.map(|kind| {
        let value = u8::from(kind == AlertKind::PartialLoss);
        format!("anycast_probe_alert{{{service},kind=\"{}\"}} {value}", kind.name())
    }));
    expected.extend([
        "anycast_probe_unclassified_packets_total{reason=\"fragment\"} 3".into(),
        "anycast_probe_link_announced{link=\"anycast0\"} 1".into(),
        "anycast_probe_withdrawals_total{link=\"anycast0\"} 4".into(),
        "anycast_probe_announcements_total{link=\"anycast0\"} 3".into(),
        "anycast_probe_withdrawals_suppressed_total{link=\"anycast0\",guard=\"not-armed\"} 2".into(),
        format!("anycast_probe_ticks_total {}", u64::MAX),
        "anycast_probe_late_ticks_total 5".into(),
        "anycast_probe_events_dropped_total 6".into(),
    ]);
    let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(samples, expected);
    assert!(text.ends_with("\n# EOF\n"), "{text}");
    assert!(
        text.lines()
            .filter(|line| line.starts_with("# HELP "))
            .all(|line| line.ends_with('.')),
        "{text}"
    );
}

#[tokio::test]
async fn a_scrape_gets_open_metrics() {
    let server = Server::start(1, Limits::default()).await;
    let response = server.get("/metrics").await;
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    let content_type = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n";
    assert!(response.contains(content_type), "{response}");
    assert!(response.ends_with("\n# EOF\n"), "{response}");
}

#[tokio::test]
async fn paths_and_methods_are_told_apart() {
    let server = Server::start(0, Limits::default()).await;
    let root = server.get("/").await;
    assert!(root.starts_with("HTTP/1.1 200 ") && root.contains("/metrics"), "{root}");
    let other = server.get("/metrics/..").await;
    assert!(other.starts_with("HTTP/1.1 404 "), "{other}");
    let post = server
        .exchange(b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert!(
        post.starts_with("HTTP/1.1 405 ") && post.contains("allow: GET, HEAD\r\n"),
        "{post}"
    );
    let head = server
        .exchange(b"HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert!(
        head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
}

#[tokio::test]
async fn nonsense_is_refused_and_the_next_scrape_served() {
    let server = Server::start(1, Limits::default()).await;
    let nonsense = server.exchange(b"\x16\x03\x01 hello\r\n\r\n").await;
    assert!(nonsense.starts_with("HTTP/1.1 400 "), "{nonsense}");
    let mut endless = b"GET / HTTP/1.1\r\nx: ".to_vec();
    endless.resize(8 * 1024, b'x');
    let endless = server.exchange(&endless).await;
    assert!(endless.starts_with("HTTP/1.1 431 "), "{endless}");
    assert!(server.get("/metrics").await.ends_with("# EOF\n"));
}

#[tokio::test]
async fn idle_connections_give_way() {
    let limits = Limits {
        connections: 2,
        head: Duration::from_millis(50),
        connection: HANG * 2,
    };
    let server = Server::start(1, limits).await;
    let mut idle = Vec::new();
    for _ in 0..limits.connections * 2 {
        idle.push(TcpStream::connect(server.address).await.expect("connected"));
    }
    assert!(server.get("/metrics").await.ends_with("# EOF\n"));
}

#[tokio::test]
async fn a_client_that_does_not_read_gives_way() {
    let limits = Limits {
        connections: 1,
        connection: Duration::from_millis(500),
        ..Limits::default()
    };
    // More than the socket buffers of both sides hold.
    let server = Server::start(10_000, limits).await;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let mut deaf = socket.connect(server.address).await.expect("connected");
    deaf.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .expect("sent");
    deaf.readable().await.expect("its response has begun");
    assert!(server.get("/").await.contains("/metrics"));
    let mut rest = Vec::new();
    let ended = timeout(HANG, deaf.read_to_end(&mut rest)).await;
    ended.expect("closed by the server").ok();
    assert!(!rest.ends_with(b"# EOF\n"), "the response fitted: nothing was tested");
}

#[tokio::test]
async fn a_port_in_use_says_what_to_set() {
    let server = Server::start(0, Limits::default()).await;
    let error = bind(server.address).await.expect_err("in use");
    assert!(matches!(error, BindError::InUse(_)));
    assert!(error.to_string().contains("[metrics] listen"), "{error}");
}
