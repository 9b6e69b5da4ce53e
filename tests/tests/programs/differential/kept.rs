//! Packets that are kept: the corpus of the fuzz target, and captures.

use std::{
    fs::{self, File},
    io::{BufReader, ErrorKind},
    path::{Path, PathBuf},
};

use anycast_ebpf::packet::Tunnels;
use anycast_user::{
    capture::{Capture, LinkType},
    datapath::LoadSettings,
};

use super::pair::Pair;
use crate::{
    frames::{Egress, Ingress},
    hooks::{ALL, Hook},
    node::{GUE_PORT, settings},
};

/// The bits of the first byte of a file of the corpus.
const EGRESS: u8 = 1;
const IP: u8 = 1 << 1;
const IP_IN_IP: u8 = 1 << 2;
const GUE: u8 = 1 << 3;

/// The files in a directory, by name; none if it doesn't exist.
fn files(directory: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
        Err(error) => panic!("{}: {error}", directory.display()),
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

#[test]
fn of_the_corpus_both_count_the_same() {
    let files = files("corpus/frame");
    for tunnels in [0, IP_IN_IP, GUE, IP_IN_IP | GUE] {
        let inputs: Vec<(&PathBuf, Vec<u8>)> = files
            .iter()
            .map(|file| (file, fs::read(file).expect("a file")))
            .filter(|(_, input)| input.first().is_some_and(|flags| flags & (IP_IN_IP | GUE) == tunnels))
            .collect();
        if inputs.is_empty() {
            continue;
        }
        let settings = LoadSettings {
            tunnels: Tunnels {
                ip_in_ip: tunnels & IP_IN_IP != 0,
                gue_port: if tunnels & GUE == 0 { 0 } else { GUE_PORT },
            },
            ..settings()
        };
        let Some(mut pair) = Pair::load(&settings) else {
            return;
        };
        for (file, input) in inputs {
            let Some((flags, packet)) = input.split_first() else {
                continue;
            };
            let hooks: &[Hook] = match flags & (EGRESS | IP) {
                0 => &[Hook::XdpIngress, Hook::TcIngress],
                EGRESS => &[Hook::TcEgress],
                IP => &[Hook::TcIngressIp],
                _ => &[Hook::TcEgressIp],
            };
            for &hook in hooks {
                pair.meet(hook, packet);
                if let Err(disagreement) = pair.compare() {
                    panic!("{} by {hook:?}: {disagreement}", file.display());
                }
            }
        }
    }
}

#[test]
fn of_captures_both_count_the_same() {
    let is_capture = |file: &PathBuf| file.extension().is_some_and(|kind| kind == "pcap" || kind == "pcapng");
    for file in files("captures").into_iter().filter(is_capture) {
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
                let fits = matches!(hook, Hook::TcIngressIp | Hook::TcEgressIp) == is_raw
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
