//! The services that packets may be for: one of each classifier and more, on both service addresses.

use anycast_ebpf::{
    classify::Classifier,
    layout::{ServiceKey, Services, Settings, Slot, Table},
    table,
};

/// The addresses of the crafted packets in the corpus.
const SERVICE: [u8; 4] = [192, 0, 2, 53];
const SERVICE_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0x53, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53];

const PORTS: [(Classifier, u16); 12] = [
    (Classifier::DnsUdp, 53),
    (Classifier::Ntp, 123),
    (Classifier::Quic, 443),
    (Classifier::WireGuard, 51_820),
    (Classifier::Ike, 500),
    (Classifier::IkeNatTraversal, 4500),
    (Classifier::Udp, 5060),
    (Classifier::UdpOneWay, 514),
    (Classifier::Tcp, 53),
    (Classifier::Tcp, 853),
    (Classifier::Tcp, 389),
    (Classifier::TcpServerFirst, 25),
];

/// Odd, as it has to be.
const SECRET: u64 = 0x5eed_5eed_5eed_5eed;

/// How many services there are.
pub(crate) const COUNT: usize = PORTS.len() * 2;

/// What user space would tell the programs: all services, and that every transaction is sampled.
pub(crate) fn services() -> Box<Services> {
    let mut services = Box::new(Services {
        settings: Settings {
            active: 0.into(),
            sample_mask: 0.into(),
            secret: SECRET.into(),
            numbers_given: 0.into(),
            reserved: [0; 4],
        },
        tables: [Table::EMPTY; 2],
    });
    let keys = PORTS.iter().flat_map(|&(classifier, port)| {
        let protocol = classifier.protocol();
        [
            (classifier, ServiceKey::ipv4(SERVICE, protocol, port)),
            (classifier, ServiceKey::ipv6(SERVICE_V6, protocol, port)),
        ]
    });
    let slots: Vec<Slot> = (0..)
        .zip(keys)
        .map(|(service, (classifier, key))| Slot {
            key,
            classifier: classifier as u16,
            service,
            bank: service.into(),
        })
        .collect();
    let locals = [
        ServiceKey::ipv4(SERVICE, 0, 0).address,
        ServiceKey::ipv6(SERVICE_V6, 0, 0).address,
    ];
    let [active, _] = &mut services.tables;
    table::fill(active, &slots, &locals).expect("a few services have a perfect hash");
    services
}
