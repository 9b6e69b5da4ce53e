//! With the loaded programs and real sockets, in a network namespace made for each test. The program of the second proof
//! sees all of the host meanwhile, and lets all of it pass.

use std::{
    net::{Ipv4Addr, Ipv6Addr, UdpSocket as Bound},
    os::fd::{AsRawFd as _, OwnedFd},
};

use anycast_ebpf::classify::Classifier;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, setsockopt, socket as open_socket, sockopt,
};

use super::*;
use crate::{
    datapath::{Datapath, DatapathError, LoadSettings, Service},
    detect::Counts,
    engine::View,
    event::{Names, ServiceName},
    net::{
        LinkIndex,
        testing::{Namespace, in_namespace, skipped},
    },
};

const SERVICE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 53)), 53);
const SERVICE_V6: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0x53, 0, 0, 0, 0x53)),
    53,
);
const CLIENT: (Ipv4Addr, u16) = (Ipv4Addr::new(198, 51, 100, 7), 40_000);
const CLIENT_V6: (Ipv6Addr, u16) = (Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 7), 40_000);
const QUERY: [u8; 12] = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
const ANSWER: [u8; 12] = [0, 1, 0x84, 0, 0, 1, 0, 1, 0, 0, 0, 0];

/// A node whose uplink is a wire on whose other end nobody answers.
struct Node {
    watch: Watch,
    status: Arc<Status>,
    now: MonotonicTime,
    datapath: Datapath,
}

fn set_up(namespace: &mut Namespace) -> LinkIndex {
    let (uplink, _) = namespace.add_wire("up0");
    let link = namespace.service_link("anycast0");
    namespace.add_address(&uplink, "198.51.100.1/24");
    namespace.add_address(&uplink, "2001:db8:1::1/64");
    namespace.add_address(&link, "192.0.2.53/32");
    namespace.add_address(&link, "2001:db8:0:53::53/128");
    uplink.index
}

/// `None`, aloud, where the programs can't be loaded.
fn node(uplink: LinkIndex) -> Option<Node> {
    let services = [SERVICE, SERVICE_V6];
    let planned = services.map(|endpoint| Service::new(endpoint.ip(), endpoint.port(), Classifier::DnsUdp));
    let mut datapath = match Datapath::load(&planned, &LoadSettings::default()) {
        Err(error @ (DatapathError::NotBuilt | DatapathError::NotPermitted)) => {
            skipped(&error.to_string());
            return None;
        }
        loaded => loaded.unwrap(),
    };
    datapath.set_ways_out([uplink]).unwrap();
    let names = Names {
        links: vec!["anycast0".to_owned()],
        services: services
            .map(|endpoint| ServiceName {
                link: 0,
                service: "dns".to_owned(),
                address: endpoint.ip(),
                watch_only: None,
            })
            .into(),
    };
    let status = Arc::new(Status::new(false, Arc::new(names), datapath.bank()));
    let watch = Watch::new(Parts {
        services: services.map(Some).into(),
        status: Arc::clone(&status),
        second_proof: datapath.second_proof().unwrap(),
    });
    Some(Node {
        watch,
        status,
        now: MonotonicTime::default(),
        datapath,
    })
}

impl Node {
    /// Some time later.
    fn turn(&mut self, later: Duration) {
        self.now = self.now.after(later);
        self.watch.turn(self.now);
    }

    fn local_answers(&self) -> [Option<u64>; 2] {
        [0, 1].map(|service| self.status.counts(service).unwrap().local_answers)
    }

    fn doubt(&self, second_proof: bool) {
        let wants_second_proof = [second_proof, false].into_iter();
        let views = self.status.views().zip(wants_second_proof);
        let views: Vec<_> = views
            .map(|(view, wants_second_proof)| View {
                wants_second_proof,
                ..view
            })
            .collect();
        self.status.publish(views.into_iter());
    }

    /// Whether there are sockets, of each service that was looked at since this was asked before.
    fn sockets_seen(&self) -> Vec<(usize, bool)> {
        let seen = |service| Some((service, self.status.take_sockets(service, self.now)?.sockets > 0));
        (0..2).filter_map(seen).collect()
    }

    /// Doubts for so long that answers are counted as they leave sockets, and looks whether they pass the uplinks.
    fn begin_to_count(&mut self) {
        self.doubt(true);
        for _ in 0..=10 {
            self.turn(SUSPECT_LOOK_INTERVAL);
        }
        self.confirm();
    }

    /// Finds that answers pass the uplinks.
    fn confirm(&self) {
        self.status.confirm_sent(|| true);
    }

    fn confirmed_answers(&self) -> [Option<u64>; 2] {
        self.confirm();
        self.local_answers()
    }
}

/// A server's socket, which others may be beside.
fn server(address: SocketAddr) -> Bound {
    let family = if address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let socket: OwnedFd = open_socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).unwrap();
    setsockopt(&socket, sockopt::ReusePort, &true).unwrap();
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address)).unwrap();
    socket.into()
}

#[test]
fn answers_are_counted_as_they_leave_while_that_is_in_doubt() {
    in_namespace(|namespace| {
        let uplink = set_up(namespace);
        let Some(mut node) = node(uplink) else { return };
        let (v4, v6) = (server(SERVICE), server(SERVICE_V6));
        let answer_all = || {
            v4.send_to(&ANSWER, CLIENT).unwrap();
            v6.send_to(&ANSWER, CLIENT_V6).unwrap();
        };
        node.turn(LOOK_INTERVAL);
        answer_all();
        assert_eq!(node.confirmed_answers(), [None; 2], "nobody doubts");
        for round in 0..2 {
            let before = 4 * round;
            node.begin_to_count();
            assert_eq!(node.local_answers(), [Some(before); 2], "from now on");
            answer_all();
            answer_all();
            assert_eq!(
                node.local_answers(),
                [Some(before); 2],
                "who knows whether they were counted?"
            );
            assert_eq!(node.confirmed_answers(), [Some(before + 2); 2]);
            // What says nothing about the way out.
            let here = Bound::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            v4.send_to(&ANSWER, here.local_addr().unwrap()).unwrap();
            v4.send_to(&QUERY, CLIENT).unwrap();
            v6.send_to(&ANSWER, SERVICE_V6).unwrap();
            assert_eq!(node.confirmed_answers(), [Some(before + 2); 2]);
            // It was let pass.
            assert_eq!(here.recv(&mut [0; 64]).unwrap(), ANSWER.len());
            // Until the next look nobody knows where answers went that leave now.
            node.status.confirm_sent(|| false);
            answer_all();
            answer_all();
            assert_eq!(node.local_answers(), [None; 2], "a program is missing");
            assert_eq!(node.confirmed_answers(), [Some(before + 4); 2]);
            node.doubt(false);
            assert_eq!(node.confirmed_answers(), [None; 2], "nobody doubts any more");
            node.turn(Duration::from_secs(5));
            answer_all();
            assert_eq!(node.status.bank().local_answers(0), before + 4, "nothing is attached");
            node.doubt(true);
            assert_eq!(node.confirmed_answers(), [None; 2], "nothing is counted");
        }
    });
}

#[test]
fn only_the_servers_own_sockets_count_and_new_ones_do() {
    in_namespace(|namespace| {
        let uplink = set_up(namespace);
        let Some(mut node) = node(uplink) else { return };
        node.begin_to_count();
        let before = server(SERVICE);
        before.send_to(&ANSWER, CLIENT).unwrap();
        assert_eq!(
            node.confirmed_answers()[0],
            Some(0),
            "a socket that was not looked at yet"
        );
        node.turn(SUSPECT_LOOK_INTERVAL);
        before.send_to(&ANSWER, CLIENT).unwrap();
        assert_eq!(node.confirmed_answers()[0], Some(1));
        // A server with the same address in another network namespace.
        in_namespace(|elsewhere| {
            set_up(elsewhere);
            server(SERVICE).send_to(&ANSWER, CLIENT).unwrap();
        });
        node.turn(SUSPECT_LOOK_INTERVAL);
        assert_eq!(node.confirmed_answers()[0], Some(1), "it proves nothing here");
        drop(before);
        let after = server(SERVICE);
        node.turn(SUSPECT_LOOK_INTERVAL);
        after.send_to(&ANSWER, CLIENT).unwrap();
        assert_eq!(node.confirmed_answers()[0], Some(2), "the server was restarted");
    });
}

#[test]
fn an_answer_that_leaves_by_a_link_that_is_not_watched_proves_nothing() {
    in_namespace(|namespace| {
        let uplink = set_up(namespace);
        let Some(mut node) = node(uplink) else { return };
        let server = server(SERVICE);
        node.begin_to_count();
        server.send_to(&ANSWER, CLIENT).unwrap();
        assert_eq!(node.confirmed_answers()[0], Some(1));
        let (other, _) = namespace.add_wire("up1");
        node.datapath.set_ways_out([other.index]).unwrap();
        server.send_to(&ANSWER, CLIENT).unwrap();
        assert_eq!(node.confirmed_answers()[0], Some(1), "nobody looks whether it passed");
        node.datapath.set_ways_out([other.index, uplink]).unwrap();
        server.send_to(&ANSWER, CLIENT).unwrap();
        assert_eq!(node.confirmed_answers()[0], Some(2));
    });
}

#[test]
fn sockets_are_looked_at_every_second_and_sooner_while_a_service_is_suspect() {
    in_namespace(|namespace| {
        let uplink = set_up(namespace);
        let Some(mut node) = node(uplink) else { return };
        let workers = [server(SERVICE), server(SERVICE)];
        node.turn(LOOK_INTERVAL);
        assert_eq!(node.sockets_seen(), [(0, true)], "and nothing of what has none");
        node.turn(SUSPECT_LOOK_INTERVAL);
        assert_eq!(node.sockets_seen(), []);
        drop(workers);
        node.turn(LOOK_INTERVAL);
        assert_eq!(node.sockets_seen(), [(0, false)]);
        let views: Vec<_> = node.status.views().collect();
        let suspect = |view| View {
            state: State::Suspect,
            ..view
        };
        node.status.publish(views.into_iter().map(suspect));
        node.turn(SUSPECT_LOOK_INTERVAL);
        assert_eq!(node.sockets_seen(), [(0, false)]);
        assert_eq!(node.status.counts(0), Some(Counts::default()));
    });
}
