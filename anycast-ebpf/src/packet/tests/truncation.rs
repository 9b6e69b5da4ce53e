use super::*;
use crate::testing::{ACK, Egress, Ingress, NO_TUNNELS, QUERY, with_extensions, with_options};

/// Cuts a packet of the client and the service everywhere: before `needed` bytes it is truncated, from there on it is the
/// same flow, of which less and less is unknown.
fn cut_everywhere(packet: &[u8], needed: usize, view: View) {
    let whole = read(packet, view);
    let Ok(Followed::Flow(flow)) = whole else {
        panic!("a flow, not {whole:?}")
    };
    for length in 0..packet.len() {
        let expected = if length < needed {
            Err(Unclassified::Truncated)
        } else if flow.head.is_known && length < flow.transport + 8 + Head::PAYLOAD_BYTES {
            Ok(Followed::Flow(Flow {
                head: Head::UNKNOWN,
                ..flow
            }))
        } else {
            whole
        };
        assert_eq!(read(&packet[..length], view), expected, "{length} of {packet:02x?}");
    }
}

#[test]
fn a_packet_cut_before_its_ports_is_truncated() {
    let extension: (u8, &[u8]) = (60, &[0, 1, 4, 0, 0, 0, 0]);
    for direction in [Ingress, Egress] {
        for family in Family::ALL {
            let datagram = family.udp(direction, 53, &[QUERY; 3].concat());
            let segment = family.tcp(direction, 53, ACK, &QUERY);
            for (packet, transport_bytes) in [(datagram, 8), (segment, 20)] {
                let more = match family {
                    Family::V4 => with_options(&packet, &[1; 12]),
                    Family::V6 => with_extensions(&packet, &[extension, extension, extension]),
                };
                for packet in [packet, more] {
                    let needed = packet.len() - 36 + if transport_bytes == 8 { 0 } else { 24 };
                    for tags in [&[][..], &[0x8100], &[0x88a8, 0x8100]] {
                        let frame = family.tagged(tags, &packet);
                        cut_everywhere(&frame, 14 + 4 * tags.len() + needed, ethernet(direction));
                    }
                    let view = View {
                        direction,
                        framing: Framing::Ip,
                        tunnels: NO_TUNNELS,
                    };
                    cut_everywhere(&packet, needed, view);
                }
            }
        }
    }
}
