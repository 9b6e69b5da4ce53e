//! Which way a packet went: by which of its ends is a service address.

use std::net::IpAddr;

use anycast_ebpf::packet::{self, Direction, Followed, Framing, Tunnels, View};

const ETHERNET_ADDRESSES_BYTES: usize = 12;
const VLAN_ID_BYTES: usize = 2;

/// The direction of a frame: in when its destination is a service address, out when its source is one, `None` when
/// neither is or it can't be told.
///
/// When both are, `recorded` decides, which is what the capture says; else it came in. On an uplink such a packet is one
/// that comes back or is forged: what this node sends to an address of its own takes no uplink.
pub(super) fn of(frame: &[u8], recorded: Option<Direction>, is_service: impl Fn(&IpAddr) -> bool) -> Option<Direction> {
    let (source, destination) = ends(frame)?;
    match (is_service(&source), is_service(&destination)) {
        (true, true) => Some(recorded.unwrap_or(Direction::Ingress)),
        (false, true) => Some(Direction::Ingress),
        (true, false) => Some(Direction::Egress),
        (false, false) => None,
    }
}

/// How the programs that count packets of `direction` read a frame.
pub(super) fn view(direction: Direction, tunnels: Tunnels) -> View {
    View {
        direction,
        framing: Framing::Ethernet,
        tunnels,
    }
}

/// Whether a frame brings a packet for a service through a tunnel that is looked through.
pub(super) fn is_tunnelled(frame: &[u8], tunnels: Tunnels, is_service: impl Fn(&IpAddr) -> bool) -> bool {
    match packet::follow(&frame, view(Direction::Ingress, tunnels)) {
        Ok(Followed::Flow(flow)) => {
            let [high, low] = flow.service.address.map(u64::to_ne_bytes);
            let mut address = [0; 16];
            address
                .iter_mut()
                .zip(high.into_iter().chain(low))
                .for_each(|(to, from)| *to = from);
            is_service(&IpAddr::from(address).to_canonical())
        }
        _ => false,
    }
}

/// Source and destination of an Ethernet frame with an IP packet, tagged or not, whole or not, sound or not: a packet that
/// is broken behind its addresses is a service's all the same.
fn ends(frame: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let mut rest = frame.get(ETHERNET_ADDRESSES_BYTES..)?;
    loop {
        let (ethertype, packet) = rest.split_first_chunk()?;
        match ethertype {
            [0x81, 0x00] | [0x88, 0xa8] => rest = packet.get(VLAN_ID_BYTES..)?,
            [0x08, 0x00] => return addresses::<4>(packet.get(12..)?),
            [0x86, 0xdd] => return addresses::<16>(packet.get(8..)?),
            _ => return None,
        }
    }
}

fn addresses<const N: usize>(bytes: &[u8]) -> Option<(IpAddr, IpAddr)>
where
    IpAddr: From<[u8; N]>,
{
    let (&source, rest) = bytes.split_first_chunk()?;
    let &destination = rest.first_chunk()?;
    Some((IpAddr::from(source), IpAddr::from(destination)))
}

#[cfg(test)]
mod tests {
    use etherparse::{PacketBuilder, VlanId};
    use proptest::prelude::*;

    use super::*;

    const SERVICES: [[u8; 4]; 2] = [[192, 0, 2, 53], [192, 0, 2, 54]];
    const CLIENT: [u8; 4] = [198, 51, 100, 7];
    const SERVICE_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53];
    const CLIENT_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];

    fn services() -> [IpAddr; 3] {
        [SERVICES[0].into(), SERVICES[1].into(), SERVICE_V6.into()]
    }

    fn direction(frame: &[u8], recorded: Option<Direction>) -> Option<Direction> {
        of(frame, recorded, |address| services().contains(address))
    }

    fn v4(source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
        let mut frame = Vec::new();
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(source, destination, 64);
        builder.udp(53, 53).write(&mut frame, &[0; 12]).unwrap();
        frame
    }

    fn v6(source: [u8; 16], destination: [u8; 16]) -> Vec<u8> {
        let mut frame = Vec::new();
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6])
            .double_vlan(VlanId::try_new(5).unwrap(), VlanId::try_new(6).unwrap())
            .ipv6(source, destination, 64);
        builder.tcp(53, 53, 1, 1).write(&mut frame, &[0; 12]).unwrap();
        frame
    }

    #[test]
    fn the_end_that_is_a_service_tells() {
        for recorded in [None, Some(Direction::Ingress), Some(Direction::Egress)] {
            let cases = [
                (v4(CLIENT, SERVICES[0]), Some(Direction::Ingress)),
                (v4(SERVICES[0], CLIENT), Some(Direction::Egress)),
                (v4(CLIENT, CLIENT), None),
                (v6(CLIENT_V6, SERVICE_V6), Some(Direction::Ingress)),
                (v6(SERVICE_V6, CLIENT_V6), Some(Direction::Egress)),
                (v6(CLIENT_V6, CLIENT_V6), None),
            ];
            for (frame, expected) in cases {
                assert_eq!(direction(&frame, recorded), expected, "{recorded:?} {frame:02x?}");
            }
        }
    }

    #[test]
    fn between_two_services_the_capture_tells() {
        let frame = v4(SERVICES[0], SERVICES[1]);
        assert_eq!(direction(&frame, None), Some(Direction::Ingress));
        for recorded in [Direction::Ingress, Direction::Egress] {
            assert_eq!(direction(&frame, Some(recorded)), Some(recorded));
        }
    }

    #[test]
    fn headers_are_enough() {
        let mut frame = v4(SERVICES[0], CLIENT);
        frame.truncate(34);
        assert_eq!(direction(&frame, None), Some(Direction::Egress));
        for (position, value) in [(20, 0x3f), (14, 0x44)] {
            frame[position] = value;
            assert_eq!(direction(&frame, None), Some(Direction::Egress), "a fragment, broken");
        }
        frame.truncate(33);
        assert_eq!(direction(&frame, None), None);
        let mut frame = v6(SERVICE_V6, CLIENT_V6);
        frame.truncate(62);
        assert_eq!(direction(&frame, None), Some(Direction::Egress));
    }

    #[test]
    fn what_a_tunnel_brings_is_seen_where_it_is_looked_through() {
        let inner_frames = [(v4(CLIENT, SERVICES[0]), 4_u8, 14), (v6(CLIENT_V6, SERVICE_V6), 41, 22)];
        for (inner, protocol, start) in inner_frames {
            let mut frame = v4(CLIENT, CLIENT);
            frame.truncate(34);
            frame[23] = protocol;
            frame.extend(&inner[start..]);
            let [high, low] = (frame.len() as u16 - 14).to_be_bytes();
            frame[16..18].copy_from_slice(&[high, low]);
            let is_tunnelled = |tunnels| is_tunnelled(&frame, tunnels, |address| services().contains(address));
            assert_eq!(direction(&frame, None), None);
            assert!(!is_tunnelled(Tunnels::default()));
            assert!(is_tunnelled(Tunnels {
                ip_in_ip: true,
                gue_port: 0
            }));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(frame: Vec<u8>) {
            let _ = direction(&frame, None);
        }
    }
}
