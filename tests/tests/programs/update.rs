//! The services change while packets come.

use std::{
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::channel,
    },
    thread,
};

use anycast_ebpf::classify::Classifier;
use anycast_user::datapath::{Bank, Service};

use crate::{
    frames::{ANSWER, Egress, Family, Ingress, QUERY, SERVICE, SERVICE_V6},
    hooks::{Hook, Programs},
    node::{Node, settings},
};

fn queries_of(bank: &Bank, services: &[Service], service: &Service) -> u64 {
    let place = services.iter().position(|other| other == service);
    bank.read(place.expect("a service")).queries
}

#[test]
fn a_service_that_stays_goes_on_and_one_that_comes_starts() {
    let [staying, leaving, coming] = [
        Service::new(SERVICE, 53, Classifier::DnsUdp),
        Service::new(SERVICE, 123, Classifier::Udp),
        Service::new(SERVICE_V6, 53, Classifier::DnsUdp),
    ];
    let at_start = [leaving.clone(), staying.clone()];
    let Some(mut node) = Node::load(&at_start, &settings()) else {
        return;
    };
    let to_staying = Family::V4.query();
    let to_leaving = Family::V4.frame(&Family::V4.udp(Ingress, 123, &QUERY));
    let to_coming = Family::V6.query();
    let all = |node: &mut Node| {
        for frame in [&to_staying, &to_leaving, &to_coming] {
            node.programs.pass(Hook::XdpIngress, frame);
        }
    };
    all(&mut node);
    let old_bank = node.datapath.bank();
    let services = [staying.clone(), coming.clone()];
    let bank = node
        .datapath
        .update(&services, &settings().local_addresses)
        .expect("an update");
    assert_eq!(queries_of(&bank, &services, &staying), 1, "it keeps its counts");
    assert_eq!(queries_of(&bank, &services, &coming), 0);
    all(&mut node);
    assert_eq!(queries_of(&bank, &services, &staying), 2);
    assert_eq!(queries_of(&bank, &services, &coming), 1);
    assert_eq!(queries_of(&old_bank, &at_start, &leaving), 1, "nobody counts for it");
    assert_eq!(bank.unclassified(), [0; 4]);
    // Addresses that are no clients change too; and answers are counted for those that are there.
    let bank = node
        .datapath
        .update(&services, &[crate::frames::client(7).into()])
        .expect("an update");
    all(&mut node);
    node.programs.pass(Hook::TcEgress, &Family::V4.answer(&ANSWER));
    let reading = bank.read(0);
    assert_eq!((reading.queries, reading.local_sources, reading.answers), (2, 1, 1));
    assert_eq!(queries_of(&bank, &services, &coming), 2);
    let leaving_answer = Family::V4.frame(&Family::V4.udp(Egress, 123, &ANSWER));
    node.programs.pass(Hook::TcEgress, &leaving_answer);
    assert_eq!(old_bank.read(0).answers, 0);
}

#[test]
fn no_count_is_lost_by_a_change() {
    /// Packets in one test run: the kernel counts them without a break.
    const AT_A_TIME: u32 = 1000;
    const CHANGES: u16 = 3;
    let staying = [
        Service::new(SERVICE, 53, Classifier::DnsUdp),
        Service::new(SERVICE_V6, 53, Classifier::DnsUdp),
    ];
    let Some(mut node) = Node::load(&staying, &settings()) else {
        return;
    };
    let done = AtomicBool::new(false);
    let done = &done;
    let (ran, runs) = channel();
    let sender = |hook, frame: Vec<u8>, mut programs: Programs| {
        let ran = ran.clone();
        move || {
            let mut sent = 0;
            while !done.load(Ordering::Relaxed) {
                programs.run(hook, &frame, None, AT_A_TIME);
                sent += u64::from(AT_A_TIME);
                ran.send(hook).expect("somebody counts the runs");
            }
            sent
        }
    };
    let senders = [
        (Hook::XdpIngress, Family::V4.query()),
        (Hook::TcIngress, Family::V6.query()),
    ]
    .map(|(hook, frame)| sender(hook, frame, Programs::of(node.datapath.ebpf_mut())));
    let (sent, bank) = thread::scope(|scope| {
        let running = senders.map(|sender| scope.spawn(sender));
        // Others come and go, and those that stay are at other places.
        let mut bank = node.datapath.bank();
        for change in 0..CHANGES {
            let mut services: Vec<Service> = (0..=change * 50)
                .map(|port| Service::new([192, 0, 2, 1], port, Classifier::Udp))
                .collect();
            services.splice(0..0, staying.clone());
            bank = node.datapath.update(&services, &[]).expect("an update");
            // Each sends with this table before it is changed again; the first run may have begun with another one.
            while runs.try_recv().is_ok() {}
            for hook in [Hook::XdpIngress, Hook::TcIngress] {
                let more = runs.iter().filter(|ran| *ran == hook).take(2).count();
                assert_eq!(more, 2, "{hook:?} goes on");
            }
        }
        done.store(true, Ordering::Relaxed);
        (running.map(|sender| sender.join().expect("a sender")), bank)
    });
    for (service, sent) in sent.into_iter().enumerate() {
        let reading = bank.read(service);
        assert_eq!((reading.queries, reading.packets_in), (sent, sent), "service {service}");
    }
}
