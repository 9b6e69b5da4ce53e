//! Crafted packets through the loaded programs, by `BPF_PROG_TEST_RUN`: each is passed unchanged and counted as the
//! library on the host would count it.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper of tests fails the test"
)]

mod classifiers;
mod differential;
mod dns;
mod exchanges;
mod frames;
mod hints;
mod hooks;
mod latency;
mod node;
mod passing;
mod replay;
mod sent;
mod shapes;
mod survival;
mod tunnels;
mod update;

use anycast_ebpf::classify::Classifier;
use anycast_user::datapath::{Datapath, Service};

use frames::SERVICE;
use node::{Node, services, settings};

#[test]
fn the_self_test_finds_every_service_and_counts_nothing() {
    let Some(mut node) = Node::shared() else { return };
    let before = node.everything();
    node.datapath.self_test(&services()).expect("all services found");
    assert_eq!(node.everything(), before);
    let mut wrong = services();
    wrong.swap(0, 1);
    assert!(
        node.datapath.self_test(&wrong).is_err(),
        "services at each other's place"
    );
}

#[test]
fn a_service_twice_is_refused() {
    let twice = vec![Service::new(SERVICE, 53, Classifier::DnsUdp); 2];
    if Node::shared().is_some() {
        assert!(Datapath::load(&twice, &settings()).is_err());
    }
}
