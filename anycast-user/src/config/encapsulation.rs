//! What load balancers may have wrapped queries in.

use std::num::NonZeroU16;

/// Encapsulations that are looked through to the query inside. Default: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Encapsulation {
    /// IP in IP, by its protocol numbers: 4 and 41.
    pub ipip: bool,
    /// Generic UDP encapsulation, by the UDP port that it is sent to; never 0.
    pub gue_port: Option<u16>,
}

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

impl FromIterator<Item> for Encapsulation {
    fn from_iter<I: IntoIterator<Item = Item>>(items: I) -> Self {
        items.into_iter().fold(Self::default(), |all, item| match item {
            Item::Ipip => Self { ipip: true, ..all },
            Item::Gue(port) => Self {
                gue_port: Some(port.get()),
                ..all
            },
        })
    }
}
