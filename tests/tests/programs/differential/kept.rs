//! Packets that are kept: the corpus of the fuzz target, and captures.

use std::{
    fs::{self, File},
    io::{BufReader, ErrorKind},
    path::{Path, PathBuf},
};

use anycast_ebpf::packet::{Framing, Tunnels};
use anycast_tests::corpus::{self, Input};
use anycast_user::{
    capture::{Capture, LinkType},
    datapath::LoadSettings,
};

use super::pair::Pair;
use crate::{
    frames::{Egress, Ingress},
    hooks::{ALL, Hook},
    node::settings,
};

/// The captures, by name. None where their directory isn't, as in a virtual machine.
fn captures() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
        Err(error) => panic!("{}: {error}", directory.display()),
    };
    let is_capture = |file: &PathBuf| file.extension().is_some_and(|kind| kind == "pcap" || kind == "pcapng");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(is_capture)
        .collect();
    files.sort();
    files
}

#[test]
fn of_the_corpus_both_count_the_same() {
    let corpus = corpus::read().expect("the corpus");
    let inputs = || {
        let parsed = corpus.iter().map(|(name, bytes)| (name, Input::parse(bytes)));
        parsed.map(|(name, input)| (name, input.expect("an input is not empty")))
    };
    let tunnels = |input: &Input<'_>| Tunnels {
        ip_in_ip: input.looks_through_ip_in_ip(),
        gue_port: input.gue_port().unwrap_or(0),
    };
    for ip_in_ip in [false, true] {
        for gue_port in [0, Input::GUE_PORT] {
            let settings = LoadSettings {
                tunnels: Tunnels { ip_in_ip, gue_port },
                ..settings()
            };
            let Some(mut pair) = Pair::load(&settings) else {
                return;
            };
            for (name, input) in inputs().filter(|(_, input)| tunnels(input) == settings.tunnels) {
                for &hook in hooks(&input) {
                    pair.meet(hook, input.frame);
                    if let Err(disagreement) = pair.compare() {
                        panic!("{name} by {hook:?}: {disagreement}");
                    }
                }
            }
        }
    }
}

/// By which hooks an input is met.
fn hooks(input: &Input<'_>) -> &'static [Hook] {
    match (input.is_egress(), input.starts_with_ip()) {
        (false, false) => &[Hook::XdpIngress, Hook::TcIngress],
        (true, false) => &[Hook::TcEgress],
        (false, true) => &[Hook::TcIngressIp],
        (true, true) => &[Hook::TcEgressIp, Hook::CgroupEgress],
    }
}

#[test]
fn of_captures_both_count_the_same() {
    for file in captures() {
        let Some(mut pair) = Pair::load(&settings()) else {
            return;
        };
        let mut capture = Capture::open(BufReader::new(File::open(&file).expect("a file"))).expect("a capture");
        let mut packets = 0;
        while let Some(packet) = capture.next_packet().expect("a packet") {
            packets = packet.number;
            let is_raw = match packet.link_type {
                LinkType::Ethernet => false,
                LinkType::Ip | LinkType::Ipv4 | LinkType::Ipv6 => true,
                // Their headers are none that a device's packets have.
                LinkType::Loopback | LinkType::LinuxCooked | LinkType::LinuxCooked2 => continue,
            };
            for hook in ALL {
                let fits = (hook.framing() == Framing::Ip) == is_raw
                    && [Ingress, Egress]
                        .iter()
                        .any(|&way| hook.direction() == way && packet.direction.is_none_or(|known| known == way));
                if fits {
                    pair.meet(hook, packet.bytes);
                    if let Err(disagreement) = pair.compare() {
                        panic!("{}, packet {packets} by {hook:?}: {disagreement}", file.display());
                    }
                }
            }
        }
        assert!(packets > 0, "{} has no packet", file.display());
    }
}
