//! Before anything is attached: do the loaded programs recognise the services?

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anycast_ebpf::{classify::Classifier, layout::PROTOCOL_TCP};
use aya::programs::{CgroupSkb, SchedClassifier, TestRun, TestRunOptions};
use etherparse::PacketBuilder;

use super::{
    Datapath, DatapathError, EGRESS_CGROUP, LoadSettings, SELF_TEST, Service, program_error, program_mut,
    second_proof::WAYS_OUT,
};
use crate::net::LinkIndex;

/// A DNS query header: ID 0, RD, no record.
const QUERY: [u8; 12] = [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// The header of its answer.
const ANSWER: [u8; 12] = [0, 0, 0x81, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// Addresses that no host has: of class E, and of the prefix of what is to be discarded.
const CLIENT: Ipv4Addr = Ipv4Addr::new(240, 0, 0, 1);
const CLIENT_V6: Ipv6Addr = Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 1);
/// The index of the loopback device in any network namespace, by which packets leave in a test run.
const LOOPBACK: LinkIndex = LinkIndex(1);

impl Datapath {
    /// Sends a query for each of `services`, the ones this was loaded with, through the program that logs what the others
    /// count, and checks that it finds the service with its number. No counter changes.
    ///
    /// What the program saw is in its log.
    pub fn self_test(&mut self, services: &[Service]) -> Result<(), DatapathError> {
        let numbers = self.bank.numbers();
        let program: &mut SchedClassifier = program_mut(&mut self.ebpf, SELF_TEST)?;
        for (service, &number) in services.iter().zip(numbers) {
            let not_found =
                || DatapathError::SelfTest(format!("a query for {} port {}", service.address, service.port));
            let frame = query_frame(service).ok_or_else(not_found)?;
            let result = program
                .test_run(TestRunOptions {
                    data_in: Some(&frame),
                    ..Default::default()
                })
                .map_err(|error| program_error(SELF_TEST, error))?;
            if result.return_value as usize != usize::from(number) + 1 {
                return Err(not_found());
            }
        }
        self_test_of_cgroup(services)
    }
}

/// Checks that the program that is only attached when something is wrong would let packets pass then, and count answers.
///
/// It is a twin, which takes the socket of a test run for the server's: the program itself leaves at once when it meets
/// it. Linux 6.1 shows it no packet in a test run; then it counts none.
fn self_test_of_cgroup(services: &[Service]) -> Result<(), DatapathError> {
    const PASSED: u32 = 1;
    let settings = LoadSettings {
        any_socket: true,
        ..LoadSettings::default()
    };
    let mut twin = Datapath::load(services, &settings)?;
    twin.set_ways_out([LOOPBACK])
        .map_err(|_| DatapathError::Missing(WAYS_OUT))?;
    let bank = twin.bank();
    let program: &mut CgroupSkb = program_mut(&mut twin.ebpf, EGRESS_CGROUP)?;
    let mut shown = None;
    for (index, service) in services.iter().enumerate() {
        // Another service's, over UDP at the same port, would be counted for it.
        if service.classifier.protocol() == PROTOCOL_TCP {
            continue;
        }
        let Some(frame) = answer_frame(service) else { continue };
        let result = program
            .test_run(TestRunOptions {
                data_in: Some(&frame),
                ..Default::default()
            })
            .map_err(|error| program_error(EGRESS_CGROUP, error))?;
        if result.return_value != PASSED {
            return Err(DatapathError::WouldDrop(EGRESS_CGROUP));
        }
        let is_counted = bank.local_answers(index) == 1;
        if service.classifier == Classifier::DnsUdp && *shown.get_or_insert(is_counted) != is_counted {
            return Err(DatapathError::SelfTest(format!(
                "an answer of {} port {}",
                service.address, service.port
            )));
        }
    }
    Ok(())
}

fn query_frame(service: &Service) -> Option<Vec<u8>> {
    let ethernet = PacketBuilder::ethernet2([0; 6], [0; 6]);
    let ip = match service.address {
        IpAddr::V4(address) => ethernet.ipv4(Ipv4Addr::LOCALHOST.octets(), address.octets(), 64),
        IpAddr::V6(address) => ethernet.ipv6(Ipv6Addr::LOCALHOST.octets(), address.octets(), 64),
    };
    let mut frame = Vec::new();
    match service.classifier.protocol() {
        PROTOCOL_TCP => ip.tcp(1024, service.port, 0, 0).write(&mut frame, &QUERY).ok()?,
        _ => ip.udp(1024, service.port).write(&mut frame, &QUERY).ok()?,
    }
    Some(frame)
}

/// An answer over UDP to a client.
fn answer_frame(service: &Service) -> Option<Vec<u8>> {
    let ethernet = PacketBuilder::ethernet2([0; 6], [0; 6]);
    let ip = match service.address {
        IpAddr::V4(address) => ethernet.ipv4(address.octets(), CLIENT.octets(), 64),
        IpAddr::V6(address) => ethernet.ipv6(address.octets(), CLIENT_V6.octets(), 64),
    };
    let mut frame = Vec::new();
    ip.udp(service.port, 1024).write(&mut frame, &ANSWER).ok()?;
    Some(frame)
}
