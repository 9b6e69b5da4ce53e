//! Classifiers of the clsact qdisc, which hold programs where the kernel has no TCX.

use netlink_packet_core::{NLM_F_DUMP, NlasIterator, parse_string, parse_u32};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcFilterBpf, TcHandle, TcHeader, TcMessage};

use super::decode::malformed;
use super::message::{Reply, Request};
use super::{LinkIndex, NetError, Netlink};

/// `struct tcmsg`.
const TC_HEADER_BYTES: usize = 20;
/// Attributes of `linux/rtnetlink.h` and `linux/pkt_cls.h`.
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_ID: u16 = 11;
const CLSACT: &str = "clsact";

/// A side of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Where packets arrive.
    Ingress,
    /// Where they leave.
    Egress,
}

/// A classifier at a clsact qdisc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The interface.
    pub link: LinkIndex,
    /// The side of it.
    pub side: Side,
    /// Its place: lower ones come first.
    pub priority: u16,
    /// What tells it from others of the same priority.
    pub handle: u32,
    /// Upper half: priority; lower half: the protocol, in network order.
    info: u32,
    /// The BPF program that it runs, when it is of that kind.
    pub program: Option<FilterProgram>,
}

/// The program of a [`Filter`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterProgram {
    /// The kernel's number for it.
    pub id: u32,
    /// The name that whoever attached it gave.
    pub name: String,
}

impl Filter {
    /// One that sees packets of every protocol.
    pub(crate) const fn of_all_packets(link: LinkIndex, side: Side, priority: u16, handle: u32) -> Self {
        let protocol = (libc::ETH_P_ALL as u16).to_be();
        Self {
            link,
            side,
            priority,
            handle,
            info: (priority as u32) << 16 | protocol as u32,
            program: None,
        }
    }

    /// Whether its program is the one with the kernel's number `id`.
    #[must_use]
    pub fn runs(&self, id: u32) -> bool {
        self.program.as_ref().is_some_and(|program| program.id == id)
    }
}

impl Side {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Ingress, Self::Egress];

    fn parent(self) -> TcHandle {
        TcHandle {
            major: TcHandle::CLSACT.major,
            minor: match self {
                Self::Ingress => TcHandle::MIN_INGRESS,
                Self::Egress => TcHandle::MIN_EGRESS,
            },
        }
    }
}

impl Netlink {
    /// The interfaces that have a clsact qdisc.
    pub fn clsact_links(&mut self) -> Result<Vec<LinkIndex>, NetError> {
        let message = RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default());
        let mut request = Request::new("list queueing disciplines", message, NLM_F_DUMP);
        self.dump(&mut request, clsact)
    }

    /// The classifiers on one side of an interface; none when it has no clsact qdisc.
    pub fn filters(&mut self, link: LinkIndex, side: Side) -> Result<Vec<Filter>, NetError> {
        let message = RouteNetlinkMessage::GetTrafficFilter(message(link, TcHandle::UNSPEC, side.parent(), 0));
        let mut request = Request::new("list classifiers", message, NLM_F_DUMP);
        match self.dump(&mut request, |reply| filter(reply, link, side)) {
            // The kernel has no classifiers at all; the interface has just gone.
            Err(error) if matches!(error.errno(), Some(libc::EOPNOTSUPP | libc::ENODEV)) => Ok(Vec::new()),
            filters => filters,
        }
    }

    /// Removes a classifier. It is no error when it is gone.
    pub fn delete_filter(&mut self, filter: &Filter) -> Result<(), NetError> {
        let message = message(filter.link, filter.handle.into(), filter.side.parent(), filter.info);
        let message = RouteNetlinkMessage::DelTrafficFilter(message);
        let mut request = Request::new("remove a classifier", message, 0);
        match self.exchange(&mut request, |_| Ok(())) {
            // Gone by itself, with its interface, or (EINVAL) with its qdisc.
            Err(error) if matches!(error.errno(), Some(libc::ENOENT | libc::ENODEV | libc::EINVAL)) => Ok(()),
            outcome => outcome,
        }
    }

    /// Removes the clsact qdisc of an interface, with all classifiers on it. It is no error when it is gone.
    pub fn delete_clsact(&mut self, link: LinkIndex) -> Result<(), NetError> {
        let handle = TcHandle {
            major: TcHandle::CLSACT.major,
            minor: 0,
        };
        let mut message = message(link, handle, TcHandle::CLSACT, 0);
        message.attributes.push(TcAttribute::Kind(CLSACT.to_owned()));
        let message = RouteNetlinkMessage::DelQueueDiscipline(message);
        let mut request = Request::new("remove a clsact qdisc", message, 0);
        match self.exchange(&mut request, |_| Ok(())) {
            Err(error) if matches!(error.errno(), Some(libc::ENOENT | libc::ENODEV)) => Ok(()),
            outcome => outcome,
        }
    }
}

fn message(link: LinkIndex, handle: TcHandle, parent: TcHandle, info: u32) -> TcMessage {
    let mut message = TcMessage::with_index(link.0.cast_signed());
    message.header.handle = handle;
    message.header.parent = parent;
    message.header.info = info;
    message
}

fn clsact(reply: &Reply<'_>) -> Result<Option<LinkIndex>, NetError> {
    if reply.kind != libc::RTM_NEWQDISC {
        return Ok(None);
    }
    let failed = |error| malformed("read a queueing discipline", &error);
    let header = TcHeader::parse(reply.payload).map_err(failed)?;
    for attribute in NlasIterator::new(reply.payload.get(TC_HEADER_BYTES..).unwrap_or_default()) {
        let attribute = attribute.map_err(failed)?;
        if attribute.kind() == TCA_KIND {
            let is_clsact = parse_string(attribute.value()).map_err(failed)? == CLSACT;
            return Ok(is_clsact.then_some(LinkIndex(header.index.cast_unsigned())));
        }
    }
    Ok(None)
}

/// A filter; `None` for other messages, and for the heads of lists that some kinds of classifier show as well.
pub(super) fn filter(reply: &Reply<'_>, link: LinkIndex, side: Side) -> Result<Option<Filter>, NetError> {
    if reply.kind != libc::RTM_NEWTFILTER {
        return Ok(None);
    }
    let failed = |error| malformed("read a classifier", &error);
    let header = TcHeader::parse(reply.payload).map_err(failed)?;
    let handle = u32::from(header.handle);
    if handle == 0 {
        return Ok(None);
    }
    let (mut is_bpf, mut id, mut name) = (false, None, String::new());
    for attribute in NlasIterator::new(reply.payload.get(TC_HEADER_BYTES..).unwrap_or_default()) {
        let attribute = attribute.map_err(failed)?;
        match attribute.kind() {
            TCA_KIND => is_bpf = parse_string(attribute.value()).map_err(failed)? == TcFilterBpf::KIND,
            TCA_OPTIONS if is_bpf => {
                for option in NlasIterator::new(attribute.value()) {
                    let option = option.map_err(failed)?;
                    match option.kind() {
                        TCA_BPF_NAME => name = parse_string(option.value()).map_err(failed)?,
                        TCA_BPF_ID => id = Some(parse_u32(option.value()).map_err(failed)?),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(Some(Filter {
        link,
        side,
        priority: (header.info >> 16) as u16,
        handle,
        info: header.info,
        program: id.map(|id| FilterProgram { id, name }),
    }))
}
