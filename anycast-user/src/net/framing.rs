//! What a packet of a link starts with where the programs see it.

use anycast_ebpf::packet::Framing;

use super::Link;

/// Hardware types that the C library's headers have not.
const ARPHRD_RAWIP: u16 = 519;
const ARPHRD_IP6GRE: u16 = 823;

/// Why the packets of a link can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// They start with something else.
    #[error(
        "its hardware type is {0} (the kernel's ARPHRD_*), whose packets are not understood: name uplinks that are Ethernet or \
         carry plain IP with `uplinks = [\"eth0\"]` in a configuration file"
    )]
    UnknownHardware(u16),
    /// They start with GRE's headers.
    #[error(
        "it is a GRE tunnel to more than one host, whose packets are not understood: give it one `remote`, or name other \
         uplinks with `uplinks = [\"eth0\"]` in a configuration file"
    )]
    ManyFarEnds,
}

/// What packets of `link` start with, by its hardware type; an error when that is something else.
///
/// What matters is the header that the kernel builds before tc egress (`header_ops->create`) and takes off after tc
/// ingress (up to `skb->mac_len`). Those of the types here build none: PPP puts its own on in the driver, behind
/// the hook, and a tunnel its outer ones. A GRE tunnel is the exception when it has no single far end: then its outer
/// headers are the ones that the kernel builds.
pub fn framing(link: &Link) -> Result<Framing, FramingError> {
    match link.hardware_type {
        libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => Ok(Framing::Ethernet),
        libc::ARPHRD_IPGRE | ARPHRD_IP6GRE if !has_one_far_end(link) => Err(FramingError::ManyFarEnds),
        libc::ARPHRD_NONE
        | ARPHRD_RAWIP
        | libc::ARPHRD_PPP
        | libc::ARPHRD_TUNNEL
        | libc::ARPHRD_TUNNEL6
        | libc::ARPHRD_SIT
        | libc::ARPHRD_IPGRE
        | ARPHRD_IP6GRE => Ok(Framing::Ip),
        hardware_type => Err(FramingError::UnknownHardware(hardware_type)),
    }
}

/// Whether the tunnel leads to one host.
fn has_one_far_end(link: &Link) -> bool {
    let is_multicast = match *link.broadcast {
        [first, _, _, _] => first & 0xf0 == 0xe0,
        // Over IPv6 a group needs no header of the kernel's.
        _ => false,
    };
    link.broadcast.iter().any(|&byte| byte != 0) && !is_multicast
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::UdpSocket;

    use etherparse::PacketBuilder;

    use super::*;
    use crate::net::testing::{self, in_namespace};

    fn of(hardware_type: u16, broadcast: &[u8]) -> Result<Framing, FramingError> {
        framing(&Link {
            hardware_type,
            broadcast: broadcast.to_vec(),
            ..testing::link(1, "up0", None)
        })
    }

    #[test]
    fn hardware_decides() {
        for (hardware_type, expected) in [
            (1, Framing::Ethernet),
            (772, Framing::Ethernet),
            (512, Framing::Ip),
            (519, Framing::Ip),
            (768, Framing::Ip),
            (769, Framing::Ip),
            (776, Framing::Ip),
            (0xfffe, Framing::Ip),
        ] {
            assert_eq!(of(hardware_type, &[]).unwrap(), expected, "{hardware_type}");
        }
        for hardware_type in [0, 32, 513, 801, 824, 0xffff] {
            let error = of(hardware_type, &[0xff; 6]).unwrap_err();
            assert_eq!(error, FramingError::UnknownHardware(hardware_type));
            assert!(error.to_string().contains("uplinks = ["), "{error}");
        }
    }

    #[test]
    fn gre_has_its_own_header_without_one_far_end() {
        let ipv6: [u8; 16] = std::array::from_fn(|index| index as u8);
        assert_eq!(of(778, &[192, 0, 2, 1]).unwrap(), Framing::Ip);
        assert_eq!(of(823, &ipv6).unwrap(), Framing::Ip);
        for (hardware_type, broadcast) in [
            (778, &[0; 4][..]),
            (778, &[224, 66, 66, 66]),
            (778, &[]),
            (823, &[0; 16]),
        ] {
            assert_eq!(of(hardware_type, broadcast), Err(FramingError::ManyFarEnds));
        }
    }

    /// First bytes at tc ingress and egress of a link whose far end is this process, for one UDP packet each way. A frame
    /// that arrives starts with `header`.
    fn first_bytes(namespace: &mut testing::Namespace, name: &str, kind: i32, header: &[u8]) -> Option<[Vec<u8>; 2]> {
        let mut tun = testing::Tun::open(name, kind)?;
        let link = namespace.netlink().link(name).unwrap();
        namespace.set_up(link.index, true);
        namespace.add_address(&link, "192.0.2.1/24");
        let sides = [true, false].map(|ingress| testing::bpf::FirstBytes::attach(link.index, ingress));
        let [Some(ingress), Some(egress)] = sides else {
            // Supported kernels may be without.
            let _ = std::io::stderr().write_all(b"SKIPPED: this kernel has no TCX\n");
            return None;
        };
        let mut frame = header.to_vec();
        let packet = PacketBuilder::ipv4([192, 0, 2, 2], [192, 0, 2, 1], 64).udp(1024, 9);
        packet.write(&mut frame, b"arrives").unwrap();
        tun.0.write_all(&frame).unwrap();
        // Where there are neighbours, a question for one leaves first.
        let socket = UdpSocket::bind("192.0.2.1:0").unwrap();
        socket.send_to(b"leaves", "192.0.2.2:9").unwrap();
        Some([ingress, egress].map(|side| side.seen()))
    }

    #[test]
    fn packets_start_as_framing_says() {
        in_namespace(|namespace| {
            let Some([arrived, left]) = first_bytes(namespace, "up0", libc::IFF_TUN, &[]) else {
                return;
            };
            // An IPv4 header of five words; IPv6 says hello by itself.
            assert_eq!(arrived, [0x45]);
            assert!(
                left.contains(&0x45) && left.iter().all(|byte| [0x45, 0x60].contains(byte)),
                "{left:?}"
            );

            let ethernet = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 1, 8, 0]].concat();
            let [arrived, left] = first_bytes(namespace, "up1", libc::IFF_TAP, &ethernet).unwrap();
            assert_eq!(arrived, [0xff], "a broadcast");
            assert!(left.contains(&0xff) && !left.contains(&0x45), "{left:?}");
        });
    }

    #[test]
    fn real_links_are_told_apart() {
        in_namespace(|namespace| {
            let devices =
                [("up0", libc::IFF_TUN), ("up1", libc::IFF_TAP)].map(|(name, kind)| testing::Tun::open(name, kind));
            if devices.iter().any(Option::is_none) {
                return;
            }
            for (name, expected) in [
                ("up0", Framing::Ip),
                ("up1", Framing::Ethernet),
                ("lo", Framing::Ethernet),
            ] {
                assert_eq!(
                    framing(&namespace.netlink().link(name).unwrap()).unwrap(),
                    expected,
                    "{name}"
                );
            }
        });
    }
}
