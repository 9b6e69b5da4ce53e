//! Whatever an uplink is made of, each query and each answer is counted once: by the whole daemon, which finds its uplinks
//! itself.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of tests fails the test"
)]

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    os::fd::AsRawFd as _,
    path::PathBuf,
    process::Command,
    sync::mpsc::Receiver,
    thread,
    time::{Duration, Instant},
};

use anycast_ebpf::classify::Classifier;
use anycast_tests::{
    binaries::{Binaries, prerequisites},
    daemon::METRICS,
    dns,
    netns::Namespace,
    network::add_link,
    node::Node,
    prerequisite,
    process::{Process, lines},
    responder,
};
use anycast_user::datapath::{Datapath, LoadSettings, Service};
use etherparse::PacketBuilder;
use serde_json::Value;
use tempfile::TempDir;

/// Ample for a daemon to start, or an answer to come.
const PATIENCE: Duration = Duration::from_secs(20);
/// Queries of each test, by each family.
const QUERIES: u64 = 20;
const SERVICES: [&str; 2] = ["192.0.2.53", "2001:db8:53::53"];

/// A node with the service's addresses, where everything else is yet to be made.
fn node(what: &str) -> Option<(Namespace, Binaries)> {
    let binaries = prerequisite(what, prerequisites(&[]))?;
    let service = Service::new([192, 0, 2, 53], 53, Classifier::DnsUdp);
    prerequisite(what, Datapath::load(&[service], &LoadSettings::default()))?;
    let namespace = Namespace::new().unwrap();
    add_link(&namespace).unwrap();
    let [v4, v6] = SERVICES;
    namespace
        .ip(&format!(
            "address add {v4}/32 dev anycast0\naddress add {v6}/128 dev anycast0 nodad\n"
        ))
        .unwrap();
    Some((namespace, binaries))
}

/// A daemon that observes.
struct Daemon {
    events: Receiver<String>,
    directory: TempDir,
    _process: Process,
}

impl Daemon {
    fn start(namespace: &Namespace, binaries: &Binaries) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(&binaries.daemon);
        command.args(["run", "--json", "--link", "anycast0"]);
        let log = directory.path().join("log");
        let mut process = Process::spawn_piped("anycast-probe", command, namespace, &log).unwrap();
        Self {
            events: lines(process.take_stdout().unwrap()),
            directory,
            _process: process,
        }
    }

    /// The uplinks that it watches, each with its hook, once it has started.
    fn attached(&self) -> Vec<(String, String)> {
        let deadline = Instant::now() + PATIENCE;
        let mut attached = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.events.recv_timeout(left) else {
                panic!("it did not start: {}", self.log());
            };
            let event: Value = serde_json::from_str(&line).unwrap();
            let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
            match text("event").as_str() {
                "attached" => attached.push((text("uplink"), text("ingress"))),
                "started" => return attached,
                _ => {}
            }
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

/// Answers what comes to both services, in the background, for as long as the test runs.
fn serve(namespace: &Namespace) {
    for address in SERVICES {
        let socket = namespace.run(|| Ok(UdpSocket::bind((address, dns::PORT))?)).unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut buffer) {
                let answer = responder::answer(&buffer[..length], Node::A).unwrap();
                socket.send_to(&answer, client).unwrap();
            }
        });
    }
}

/// Asks both services from `namespace` and waits for each answer.
fn ask(namespace: &Namespace) {
    for address in SERVICES {
        let service: IpAddr = address.parse().unwrap();
        let any: IpAddr = if service.is_ipv4() {
            [0; 4].into()
        } else {
            [0; 16].into()
        };
        let socket = namespace.run(|| Ok(UdpSocket::bind((any, 0))?)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect(SocketAddr::new(service, dns::PORT)).unwrap();
        let query = dns::query().unwrap();
        for _ in 0..QUERIES {
            socket.send(&query).unwrap();
            socket.recv(&mut [0; 512]).unwrap();
        }
    }
}

/// Queries and answers that the daemon counted for each service.
fn counted(namespace: &Namespace) -> Vec<(u64, u64)> {
    let mut stream = namespace.run(|| Ok(TcpStream::connect(METRICS)?)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: node\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let sample = |name: &str, address: &str| {
        let label = format!("address=\"{address}\"");
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("anycast_probe_{name}_total{{")) && line.contains(&label));
        let value = line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok());
        value.unwrap_or_else(|| panic!("no {name} of {address} in {text}"))
    };
    SERVICES
        .map(|address| (sample("queries", address), sample("answers", address)))
        .to_vec()
}

const EACH_ONCE: [(u64, u64); 2] = [(QUERIES, QUERIES); 2];

/// A client, joined to `node` by a veth pair whose end there is `up0`.
fn join(node: &Namespace) -> Namespace {
    let client = Namespace::new().unwrap();
    // Each interface answers for its own addresses only, or the wrong one might be asked.
    node.set_sysctl("net/ipv4/conf/all/arp_ignore", "1").unwrap();
    node.ip(&format!(
        "link add up0 type veth peer name peer0 netns {}\nlink set up0 up\n",
        client.path()
    ))
    .unwrap();
    client.ip("link set peer0 up\n").unwrap();
    client
}

#[test]
fn on_a_link_and_a_macvlan_on_it_that_routes_lead_to() {
    let Some((node, binaries)) = node("macvlan") else {
        return;
    };
    let client = join(&node);
    node.ip(
        "link add up0.1 link up0 type macvlan mode bridge\nlink set up0.1 up\n\
         address add 198.51.100.2/24 dev up0\naddress add 203.0.113.2/24 dev up0.1\n\
         address add 2001:db8:1::2/64 dev up0 nodad\naddress add 2001:db8:2::2/64 dev up0.1 nodad\n\
         route add default via 203.0.113.1 dev up0.1 metric 1\nroute add default via 198.51.100.1 dev up0 metric 2\n\
         route add default via 2001:db8:2::1 dev up0.1 metric 1\nroute add default via 2001:db8:1::1 dev up0 metric 2\n",
    )
    .unwrap();
    client
        .ip(
            "address add 203.0.113.1/24 dev peer0\naddress add 2001:db8:2::1/64 dev peer0 nodad\n\
             route add 192.0.2.53 via 203.0.113.2\nroute add 2001:db8:53::53 via 2001:db8:2::2\n",
        )
        .unwrap();
    serve(&node);
    let daemon = Daemon::start(&node, &binaries);
    assert_eq!(daemon.attached(), [("up0".to_owned(), "xdp".to_owned())]);
    ask(&client);
    assert_eq!(counted(&node), EACH_ONCE);
    assert!(
        daemon.log().contains("up0 sees the packets of both"),
        "{}",
        daemon.log()
    );
}

#[test]
fn on_a_bridge() {
    let Some((node, binaries)) = node("bridge") else { return };
    let client = join(&node);
    node.ip("link add br0 type bridge\nlink set br0 up\nlink set up0 master br0\n\
         address add 198.51.100.2/24 dev br0\naddress add 2001:db8:1::2/64 dev br0 nodad\n\
         route add default via 198.51.100.1\nroute add default via 2001:db8:1::1\n")
        .unwrap();
    client
        .ip(
            "address add 198.51.100.1/24 dev peer0\naddress add 2001:db8:1::1/64 dev peer0 nodad\n\
             route add 192.0.2.53 via 198.51.100.2\nroute add 2001:db8:53::53 via 2001:db8:1::2\n",
        )
        .unwrap();
    serve(&node);
    let daemon = Daemon::start(&node, &binaries);
    assert_eq!(daemon.attached(), [("br0".to_owned(), "tc".to_owned())]);
    ask(&client);
    assert_eq!(counted(&node), EACH_ONCE);
}

#[test]
fn on_a_device_without_an_ethernet_header() {
    let Some((node, binaries)) = node("tun") else { return };
    let Some(mut tun) = prerequisite("tun", open_tun(&node)) else {
        return;
    };
    node.ip(
        "address add 10.0.0.1/24 dev up0\naddress add 2001:db8:1::1/64 dev up0 nodad\nlink set up0 up\n\
         route add default dev up0\nroute add ::/0 dev up0\n",
    )
    .unwrap();
    serve(&node);
    let daemon = Daemon::start(&node, &binaries);
    assert_eq!(daemon.attached(), [("up0".to_owned(), "tc".to_owned())]);
    let query = dns::query().unwrap();
    let service_v6 = "2001:db8:53::53".parse::<std::net::Ipv6Addr>().unwrap().octets();
    let client_v6 = "2001:db8:1::2".parse::<std::net::Ipv6Addr>().unwrap().octets();
    for _ in 0..QUERIES {
        let mut v4 = Vec::new();
        let packet = PacketBuilder::ipv4([10, 0, 0, 2], [192, 0, 2, 53], 64).udp(1024, dns::PORT);
        packet.write(&mut v4, &query).unwrap();
        let mut v6 = Vec::new();
        let packet = PacketBuilder::ipv6(client_v6, service_v6, 64).udp(1024, dns::PORT);
        packet.write(&mut v6, &query).unwrap();
        // An answer leaves from port 53, which is where its UDP header begins.
        for (packet, source_port) in [(v4, 20), (v6, 40)] {
            tun.write_all(&packet).unwrap();
            let mut answer = [0; 2048];
            loop {
                let length = tun.read(&mut answer).unwrap();
                let is_same_version = answer[0] >> 4 == packet[0] >> 4;
                // The kernel's own IPv6 chatter leaves here too.
                if length > source_port + 8 && is_same_version && answer[source_port..source_port + 2] == [0, 53] {
                    break;
                }
            }
        }
    }
    assert_eq!(counted(&node), EACH_ONCE);
}

/// A link `up0` of this node whose packets start with the IP header, and whose other end is the file.
fn open_tun(node: &Namespace) -> Result<File, std::io::Error> {
    let made = node.run(|| {
        let open = || {
            let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
            let mut request = libc::ifreq {
                ifr_name: [0; libc::IFNAMSIZ],
                ifr_ifru: libc::__c_anonymous_ifr_ifru {
                    ifru_flags: (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short,
                },
            };
            for (to, from) in request.ifr_name.iter_mut().zip(b"up0") {
                *to = libc::c_char::from_ne_bytes([*from]);
            }
            // SAFETY: the descriptor is open, and `request` is a whole `ifreq` that outlives the call.
            match unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) } {
                0 => Ok(file),
                _ => Err(std::io::Error::last_os_error()),
            }
        };
        Ok(open())
    });
    made.unwrap()
}
