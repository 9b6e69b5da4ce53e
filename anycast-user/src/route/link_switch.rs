//! Taking one link down and up, with everything prepared beforehand.

use std::net::IpAddr;

use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkFlags, LinkMessage};

use super::{RouteError, alias};
use crate::clock::MonotonicTime;
use crate::net::{Address, AddressFlags, Link, LinkIndex, NetError, Netlink, Request, is_up};

/// A change of a link that the kernel made and that was seen to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Just before the request was handed to the kernel.
    pub sent_at: MonotonicTime,
    /// When the kernel's acknowledgement was read: the link is in its new state, and everybody who listens to netlink
    /// has been told.
    pub acknowledged_at: MonotonicTime,
    /// The state of the link as read back after that: false after a withdrawal, true after an announcement.
    pub read_back_up: bool,
}

/// The switch of one link's announcement.
///
/// Holds an open netlink socket and the serialised requests, so that [`Self::withdraw`] neither allocates nor
/// serialises. It speaks of the link by its index: a link that was deleted and made again needs a new switch.
pub struct LinkSwitch {
    netlink: Netlink,
    link: LinkIndex,
    name: String,
    down: Request,
    down_without_mark: Request,
    up: Request,
    read: Request,
    /// What the link must have again after it was raised.
    ipv6_addresses: Vec<Address>,
}

impl LinkSwitch {
    /// Prepares the switch for `link`, in the network namespace of the calling thread. Changes nothing.
    ///
    /// `link` should be freshly read: its alias is what [`Self::announce`] will restore (without the mark, if it has
    /// one), and its IPv6 addresses at this moment are what it will add where they have gone.
    pub fn open(link: &Link) -> Result<Self, RouteError> {
        let mut netlink = Netlink::open()?;
        let mut ipv6_addresses = netlink.addresses(link.index)?;
        ipv6_addresses.retain(|address| address.address.is_ipv6());
        let announced = alias::announced(link);
        Ok(Self {
            netlink,
            link: link.index,
            name: link.name.clone(),
            down: set_link(
                "take a link down",
                link.index,
                false,
                Some(&alias::withdrawn(announced)),
            ),
            down_without_mark: set_link("take a link down", link.index, false, None),
            up: set_link("bring a link up", link.index, true, Some(announced)),
            read: read_link(link.index),
            ipv6_addresses,
        })
    }

    /// The name of the link when the switch was made.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes the link down, marks it, waits for the kernel's word and reads the link back. Harmless when it is down
    /// already.
    ///
    /// Blocks while somebody else holds the kernel's RTNL lock. An error doesn't mean that the link is up: after a
    /// timeout the request may still be carried out. Trying again is always right.
    pub fn withdraw(&mut self) -> Result<Done, RouteError> {
        let sent_at = MonotonicTime::now();
        // The alias needs memory in the kernel, and is set first. The withdrawal is worth more than the mark.
        self.netlink
            .exchange(&mut self.down, |_| Ok(()))
            .or_else(|_| self.netlink.exchange(&mut self.down_without_mark, |_| Ok(())))?;
        self.read_back(sent_at, false)
    }

    /// The reverse of [`Self::withdraw`]: takes the mark off, brings the link up, and adds the IPv6 addresses that it
    /// had and has no more. Harmless when it is up already.
    pub fn announce(&mut self) -> Result<Done, RouteError> {
        let sent_at = MonotonicTime::now();
        self.netlink.exchange(&mut self.up, |_| Ok(()))?;
        let done = self.read_back(sent_at, true)?;
        self.restore_ipv6_addresses()?;
        Ok(done)
    }

    fn read_back(&mut self, sent_at: MonotonicTime, wanted_up: bool) -> Result<Done, RouteError> {
        let acknowledged_at = MonotonicTime::now();
        let mut up = None;
        self.netlink.exchange(&mut self.read, |reply| {
            up = Some(is_up(reply.payload)?);
            Ok(())
        })?;
        match up {
            Some(read_back_up) if read_back_up == wanted_up => Ok(Done {
                sent_at,
                acknowledged_at,
                read_back_up,
            }),
            _ => Err(RouteError::ReadBack {
                link: self.name.clone(),
                up: !wanted_up,
            }),
        }
    }

    fn restore_ipv6_addresses(&mut self) -> Result<(), RouteError> {
        if self.ipv6_addresses.is_empty() {
            return Ok(());
        }
        let present = self.netlink.addresses(self.link)?;
        for wanted in &self.ipv6_addresses {
            let IpAddr::V6(address) = wanted.address else { continue };
            if present.iter().any(|other| other.address == wanted.address) {
                continue;
            }
            // A second host on a link that holds nothing but this address would be a surprise; waiting for one to
            // speak up would only delay the first answer.
            let wanted = Address {
                flags: wanted.flags | AddressFlags::Nodad,
                ..wanted.clone()
            };
            match self
                .netlink
                .exchange(&mut wanted.add_request(NLM_F_CREATE | NLM_F_EXCL), |_| Ok(()))
            {
                Ok(()) => {}
                Err(NetError::Kernel { source, .. }) if source.raw_os_error() == Some(libc::EEXIST) => {}
                Err(source) => {
                    return Err(RouteError::AddressLost {
                        link: self.name.clone(),
                        address,
                        source,
                    });
                }
            }
        }
        Ok(())
    }
}

/// A request that sets the state of a link and its alias (empty: none) at once.
fn set_link(operation: &'static str, link: LinkIndex, up: bool, alias: Option<&str>) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = link.0;
    message.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
    message.header.change_mask = LinkFlags::Up;
    // Not `LinkAttribute::IfAlias`, which adds a zero byte: the kernel counts it as part of the alias, so that one of
    // 255 bytes is refused and an empty one is kept as an empty text.
    let attribute = |alias: &str| LinkAttribute::Other(DefaultNla::new(libc::IFLA_IFALIAS, alias.as_bytes().to_vec()));
    message.attributes.extend(alias.map(attribute));
    Request::new(operation, RouteNetlinkMessage::SetLink(message), 0)
}

fn read_link(link: LinkIndex) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = link.0;
    message
        .attributes
        .push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    Request::new("read a link back", RouteNetlinkMessage::GetLink(message), 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::testing::in_namespace;
    use crate::route::{Ownership, has_stale_mark, ownership};

    #[test]
    fn withdraw_and_announce_are_seen_by_everybody_and_may_be_repeated() {
        in_namespace(|namespace| {
            let mut link = namespace.service_link("anycast0");
            namespace.add_address(&link, "192.0.2.53/32");
            namespace.set_alias(link.index, "rack 7");
            link = namespace.netlink().link("anycast0").unwrap();
            let mut switch = LinkSwitch::open(&link).unwrap();
            for _ in 0..3 {
                let done = switch.withdraw().unwrap();
                assert!(!done.read_back_up && done.sent_at <= done.acknowledged_at);
                let down = namespace.netlink().link("anycast0").unwrap();
                assert!(!down.up);
                assert_eq!(
                    down.alias.as_deref(),
                    Some("anycast-probe withdrew this link | was: rack 7")
                );
                assert_eq!(ownership(&down), Ownership::Ours);
                // A daemon that starts again finds the alias under the mark.
                let mut successor = LinkSwitch::open(&down).unwrap();
                assert!(!successor.withdraw().unwrap().read_back_up);
                assert!(successor.announce().unwrap().read_back_up);
                assert!(switch.announce().unwrap().read_back_up);
                assert_eq!(namespace.netlink().link("anycast0").unwrap(), link);
            }
        });
    }

    #[test]
    fn an_alias_of_any_length_comes_back_and_none_stays_none() {
        in_namespace(|namespace| {
            let link = namespace.service_link("anycast0");
            assert_eq!(link.alias, None);
            for alias in [None, Some("ä".repeat(127))] {
                let link = Link { alias, ..link.clone() };
                let mut switch = LinkSwitch::open(&link).unwrap();
                switch.withdraw().unwrap();
                assert_eq!(
                    ownership(&namespace.netlink().link("anycast0").unwrap()),
                    Ownership::Ours
                );
                switch.announce().unwrap();
                assert_eq!(namespace.netlink().link("anycast0").unwrap(), link);
            }
        });
    }

    #[test]
    fn a_link_raised_by_an_operator_is_not_ours_any_more() {
        in_namespace(|namespace| {
            let link = namespace.service_link("anycast0");
            let mut switch = LinkSwitch::open(&link).unwrap();
            let done = switch.withdraw().unwrap();
            namespace.set_up(link.index, true);
            // Had somebody been that quick, the withdrawal would have been reported as failed.
            let error = switch.read_back(done.sent_at, false).unwrap_err();
            assert!(matches!(error, RouteError::ReadBack { up: true, .. }));
            let raised = namespace.netlink().link("anycast0").unwrap();
            assert_eq!(ownership(&raised), Ownership::NotOurs);
            assert!(has_stale_mark(&raised));
            switch.announce().unwrap();
            namespace.set_up(link.index, false);
            assert_eq!(
                ownership(&namespace.netlink().link("anycast0").unwrap()),
                Ownership::NotOurs
            );
        });
    }

    #[test]
    fn an_ipv6_address_that_was_flushed_is_put_back() {
        in_namespace(|namespace| {
            let link = namespace.service_link("anycast0");
            namespace.add_address(&link, "2001:db8::53/128");
            let mut switch = LinkSwitch::open(&link).unwrap();
            switch.withdraw().unwrap();
            // Nothing was prepared, so the kernel drops it.
            assert_eq!(namespace.netlink().addresses(link.index).unwrap(), []);
            switch.announce().unwrap();
            let addresses = namespace.netlink().addresses(link.index).unwrap();
            let seen: Vec<_> = addresses
                .iter()
                .map(|address| (address.address, address.prefix_length))
                .collect();
            assert_eq!(seen, [("2001:db8::53".parse().unwrap(), 128)]);
            assert!(
                addresses[0]
                    .flags
                    .contains(AddressFlags::Nodad | AddressFlags::Permanent)
            );
        });
    }

    #[test]
    fn a_link_that_is_gone_is_an_error_that_says_so() {
        in_namespace(|namespace| {
            let link = namespace.service_link("anycast0");
            let mut switch = LinkSwitch::open(&link).unwrap();
            namespace.delete_link(link.index);
            let error = switch.withdraw().unwrap_err();
            assert!(!error.is_transient());
            assert!(error.to_string().contains("gone"), "{error}");
        });
    }
}
