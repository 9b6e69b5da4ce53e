//! Before anything is attached: do the loaded programs recognise the services?

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anycast_ebpf::layout::PROTOCOL_TCP;
use aya::programs::{CgroupSkb, SchedClassifier, TestRun, TestRunOptions};
use etherparse::PacketBuilder;

use super::{Datapath, DatapathError, EGRESS_CGROUP, SELF_TEST, Service, program_error, program_mut};

/// A DNS query header: ID 0, RD, no record.
const QUERY: [u8; 12] = [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];

impl Datapath {
    /// Sends a query for each of `services`, the ones this was loaded with, through the program that logs what the others
    /// count, and checks that it finds the service with its number. No counter changes.
    ///
    /// What the program saw is in its log.
    pub fn self_test(&mut self, services: &[Service]) -> Result<(), DatapathError> {
        let numbers = self.bank.numbers();
        let program: &mut SchedClassifier = program_mut(&mut self.ebpf, SELF_TEST)?;
        for (service, &number) in services.iter().zip(numbers) {
            let not_found = || DatapathError::SelfTest(format!("{} port {}", service.address, service.port));
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
        self.self_test_of_cgroup(services)
    }

    /// Checks that the program that is only attached when something is wrong would let packets pass then.
    fn self_test_of_cgroup(&mut self, services: &[Service]) -> Result<(), DatapathError> {
        const PASSED: u32 = 1;
        let program: &mut CgroupSkb = program_mut(&mut self.ebpf, EGRESS_CGROUP)?;
        for frame in services.iter().filter_map(query_frame) {
            let result = program
                .test_run(TestRunOptions {
                    data_in: Some(&frame),
                    ..Default::default()
                })
                .map_err(|error| program_error(EGRESS_CGROUP, error))?;
            if result.return_value != PASSED {
                return Err(DatapathError::WouldDrop(EGRESS_CGROUP));
            }
        }
        Ok(())
    }
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
