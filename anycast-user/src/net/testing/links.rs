//! Links that only some tests need: pairs, ports, and links on links.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd as _;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo, LinkMessage};

use super::{Link, LinkIndex, Namespace, skipped};
use crate::net::flags::interface_request;

impl Namespace {
    /// Makes two links that are each other's wire, and raises them.
    pub(crate) fn add_pair(&mut self, near: &str, far: &str) -> (Link, Link) {
        let mut peer = LinkMessage::default();
        peer.attributes.push(LinkAttribute::IfName(far.to_owned()));
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(near.to_owned()));
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]));
        self.change(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
            .unwrap();
        let [near, far] = [near, far].map(|name| {
            let index = self.netlink.link(name).unwrap().index;
            self.set_up(index, true);
            self.netlink.link(name).unwrap()
        });
        (near, far)
    }

    /// Makes a link of this kind, which must be available, on another one.
    pub(crate) fn add_link_on(&mut self, name: &str, kind: &str, lower: LinkIndex) -> Link {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        message.attributes.push(LinkAttribute::Link(lower.0));
        message
            .attributes
            .push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Other(
                kind.to_owned(),
            ))]));
        self.change(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
            .unwrap();
        self.netlink.link(name).unwrap()
    }

    /// What an operator does with `ip link set … master`.
    pub(crate) fn set_master(&mut self, port: LinkIndex, master: LinkIndex) {
        let mut message = LinkMessage::default();
        message.header.index = port.0;
        message.attributes.push(LinkAttribute::Controller(master.0));
        self.change(RouteNetlinkMessage::SetLink(message), 0).unwrap();
    }
}

/// A link whose other end is this process: what is written arrives there. It goes when this is dropped.
pub(crate) struct Tun(pub(crate) File);

impl Tun {
    /// `kind` is `IFF_TUN`, whose packets start with the IP header, or `IFF_TAP`. `None`, aloud, without that driver.
    pub(crate) fn open(name: &str, kind: i32) -> Option<Self> {
        let opened = OpenOptions::new().read(true).write(true).open("/dev/net/tun");
        let file = opened
            .inspect_err(|error| skipped(&format!("no tun device: {error}")))
            .ok()?;
        let mut request = interface_request(name).unwrap();
        request.ifr_ifru.ifru_flags = (kind | libc::IFF_NO_PI) as libc::c_short;
        // SAFETY: the descriptor is open, and `request` is a whole `ifreq` that outlives the call.
        let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
        Some(Self(file))
    }
}
