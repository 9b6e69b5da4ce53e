//! Crafted packets, at least one for every branch of the parser and of every classifier.

mod build;
mod messages;
mod shapes;

use super::Input;
use build::{Family, Way, ethernet};
use std::collections::BTreeMap;

pub use build::{CLIENT, CLIENT_V6, SERVICE, SERVICE_V6};

/// All crafted inputs by name: the bytes are for [`Input::parse`]. The services that they are for are at [`SERVICE`]
/// and [`SERVICE_V6`], at the ports that IANA gave their protocols, but for a generic one over UDP at port 5060.
#[must_use]
pub fn seeds() -> BTreeMap<String, Vec<u8>> {
    let mut seeds = Seeds::default();
    for family in Family::ALL {
        messages::add(&mut seeds, family);
        shapes::add(&mut seeds, family);
    }
    shapes::add_others(&mut seeds);
    seeds.0
}

#[derive(Default)]
struct Seeds(BTreeMap<String, Vec<u8>>);

impl Seeds {
    /// Adds a packet; `flags` are of [`Input`], apart from the direction.
    fn add(&mut self, way: Way, name: &str, flags: u8, packet: &[u8]) {
        let flags = match way {
            Way::In => flags,
            Way::Out => flags | Input::EGRESS,
        };
        let name = format!("{}-{name}", way.name());
        self.0.insert(name, [&[flags], packet].concat());
    }

    /// Adds the packet that starts with `ip` on an Ethernet.
    fn add_ethernet(&mut self, way: Way, family: Family, name: &str, ip: &[u8]) {
        let name = format!("{}-{name}", family.name());
        self.add(way, &name, 0, &ethernet(family, &[], ip));
    }
}
