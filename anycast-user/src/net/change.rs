//! Requests that change addresses.

use std::net::IpAddr;

use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::{Address, Request};

impl Address {
    /// A request to add this address for good, with `NLM_F_CREATE` in `flags`, or to change its flags, with
    /// `NLM_F_REPLACE`. What isn't in [`Address`] gets the kernel's defaults.
    pub(crate) fn add_request(&self, flags: u16) -> Request {
        let mut message = AddressMessage::default();
        message.header.family = match self.address {
            IpAddr::V4(_) => AddressFamily::Inet,
            IpAddr::V6(_) => AddressFamily::Inet6,
        };
        message.header.index = self.link.0;
        message.header.prefix_len = self.prefix_length;
        message.header.scope = self.scope;
        let settable = AddressFlags::Nodad | AddressFlags::Noprefixroute;
        message.attributes.push(AddressAttribute::Local(self.address));
        message.attributes.push(AddressAttribute::Address(self.address));
        message.attributes.push(AddressAttribute::Flags(self.flags & settable));
        message
            .attributes
            .extend(self.metric.map(AddressAttribute::RoutePriority));
        Request::new("set an address", RouteNetlinkMessage::NewAddress(message), flags)
    }
}
