//! What load balancers may have wrapped queries in.

use std::num::NonZeroU16;

use anycast_ebpf::packet::Tunnels;

/// One item of the list in the configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item {
    Ipip,
    Gue(NonZeroU16),
}

impl Item {
    /// The item that was written, or what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "ipip" => Ok(Self::Ipip),
            None if text == "gue" => Err("`gue` has no port".to_owned()),
            Some(("gue", port)) => port
                .parse()
                .map(Self::Gue)
                .map_err(|_| format!("{port:?} is not a UDP port")),
            _ => Err(format!("{text:?} is not an encapsulation that can be looked through")),
        }
    }

    /// What can be there once.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Ipip => "ipip",
            Self::Gue(_) => "gue",
        }
    }
}

/// What is looked through, of these items.
pub(super) fn tunnels(items: Vec<Item>) -> Tunnels {
    items.into_iter().fold(Tunnels::default(), |all, item| match item {
        Item::Ipip => Tunnels { ip_in_ip: true, ..all },
        Item::Gue(port) => Tunnels {
            gue_port: port.get(),
            ..all
        },
    })
}
