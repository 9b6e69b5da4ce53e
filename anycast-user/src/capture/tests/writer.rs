//! Writes captures by hand, broken ones too.

/// Byte order of a file or section.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    Little,
    Big,
}

pub(super) const ORDERS: [Order; 2] = [Order::Little, Order::Big];

impl Order {
    pub(super) fn u16(self, number: u16) -> [u8; 2] {
        match self {
            Self::Little => number.to_le_bytes(),
            Self::Big => number.to_be_bytes(),
        }
    }

    pub(super) fn u32(self, number: u32) -> [u8; 4] {
        match self {
            Self::Little => number.to_le_bytes(),
            Self::Big => number.to_be_bytes(),
        }
    }

    fn u64(self, number: u64) -> [u8; 8] {
        match self {
            Self::Little => number.to_le_bytes(),
            Self::Big => number.to_be_bytes(),
        }
    }
}

pub(super) const MICROSECONDS: u32 = 0xa1b2_c3d4;
pub(super) const NANOSECONDS: u32 = 0xa1b2_3c4d;

/// The header of a pcap file.
pub(super) fn pcap(order: Order, magic: u32, link_type: u32) -> Vec<u8> {
    let numbers = [magic, 0, 0, 0, 262_144, link_type].map(|number| order.u32(number));
    let mut file = numbers.concat();
    file[4..6].copy_from_slice(&order.u16(2));
    file[6..8].copy_from_slice(&order.u16(4));
    file
}

/// A packet of a pcap file.
pub(super) fn record(order: Order, seconds: u32, fraction: u32, bytes: &[u8]) -> Vec<u8> {
    let length = bytes.len() as u32;
    let header = [seconds, fraction, length, length].map(|number| order.u32(number));
    [&header.concat(), bytes].concat()
}

/// A block of a pcapng file.
pub(super) fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let body = padded(body);
    let length = order.u32(body.len() as u32 + 12);
    [&order.u32(kind)[..], &length, &body, &length].concat()
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(4), 0);
    padded
}

/// An option of a block.
pub(super) fn option(order: Order, code: u16, value: &[u8]) -> Vec<u8> {
    [&order.u16(code)[..], &order.u16(value.len() as u16), &padded(value)].concat()
}

pub(super) fn section(order: Order) -> Vec<u8> {
    let body = [
        &order.u32(0x1a2b_3c4d)[..],
        &order.u16(1),
        &order.u16(0),
        &order.u64(u64::MAX),
    ];
    block(order, 0x0a0d_0d0a, &body.concat())
}

pub(super) fn interface(order: Order, link_type: u16, snap_length: u32, options: &[u8]) -> Vec<u8> {
    let body = [&order.u16(link_type)[..], &[0, 0], &order.u32(snap_length), options];
    block(order, 1, &body.concat())
}

pub(super) fn enhanced(order: Order, interface: u32, time: u64, bytes: &[u8], options: &[u8]) -> Vec<u8> {
    let length = bytes.len() as u32;
    let numbers = [interface, (time >> 32) as u32, time as u32, length, length].map(|number| order.u32(number));
    block(order, 6, &[&numbers.concat(), &padded(bytes)[..], options].concat())
}

pub(super) fn simple(order: Order, original_length: u32, bytes: &[u8]) -> Vec<u8> {
    block(order, 3, &[&order.u32(original_length), bytes].concat())
}
