//! Taking one link down and up, with everything prepared beforehand.

use netlink_packet_core::DefaultNla;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};

use super::{RouteError, alias, is_marked};
use crate::clock::MonotonicTime;
use crate::net::{Link, LinkIndex, Netlink, Request, UpState, get_link, is_up};

/// A change of a link that the kernel made and that was seen to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Just before the request was handed to the kernel.
    pub sent_at: MonotonicTime,
    /// When the kernel's acknowledgement was read: the link is in its new state, and everybody who listens to netlink
    /// has been told.
    pub acknowledged_at: MonotonicTime,
}

/// The switch of one link's announcement.
///
/// Holds an open netlink socket and the serialised requests, so that [`Self::withdraw`] neither allocates nor
/// serialises. It speaks of the link by its index: a link that was deleted and made again needs a new switch.
pub struct LinkSwitch {
    netlink: Netlink,
    up_state: UpState,
    link: LinkIndex,
    name: String,
    /// The alias without the mark, whole: within the mark the end of a very long one is cut off.
    alias: String,
    down: Request,
    down_without_mark: Request,
    mark: Request,
    up: Request,
    read: Request,
}

impl LinkSwitch {
    /// Prepares the switch for `link`, in the network namespace of the calling thread. Changes nothing.
    ///
    /// `link` should be freshly read: its alias is kept within the mark. (A change of the alias while the link is up is
    /// noticed at the next [`Self::announce`] or [`Self::unmark`]: reading it before a withdrawal would delay that.)
    pub fn open(link: &Link) -> Result<Self, RouteError> {
        let alias = alias::announced(link).to_owned();
        let marked = alias::withdrawn(&alias);
        Ok(Self {
            netlink: Netlink::open()?,
            up_state: UpState::of(&link.name).map_err(RouteError::UpState)?,
            link: link.index,
            name: link.name.clone(),
            alias,
            down: set_link("take a link down", link.index, Some(false), Some(&marked)),
            down_without_mark: set_link("take a link down", link.index, Some(false), None),
            mark: set_link("mark a link", link.index, None, Some(&marked)),
            up: set_link("bring a link up", link.index, Some(true), None),
            read: Request::new("read a link back", get_link(link.index, None), 0),
        })
    }

    /// Takes the link down, marks it, waits for the kernel's word and reads the link back. Harmless when it is down
    /// already.
    ///
    /// Blocks while somebody else holds the kernel's RTNL lock. An error doesn't mean that the link is up: after a
    /// timeout the request may still be carried out. Trying again is always right.
    ///
    /// A link that is down already, and without the mark, is refused: it is an operator's, and the mark would make it
    /// ours to raise.
    pub fn withdraw(&mut self) -> Result<Done, RouteError> {
        if self.up_state.is_up() == Some(false) {
            let link = self.read()?;
            if !link.up && !is_marked(&link) {
                return Err(RouteError::NotOurs { link: link.name });
            }
        }
        let sent_at = MonotonicTime::now();
        if self.netlink.exchange(&mut self.down, |_| Ok(())).is_ok() {
            return self.read_back(sent_at, false);
        }
        // The alias needs memory in the kernel, and is set first. The withdrawal is worth more than the mark.
        self.netlink.exchange(&mut self.down_without_mark, |_| Ok(()))?;
        let done = self.read_back(sent_at, false)?;
        if let Err(error) = self.netlink.exchange(&mut self.mark, |_| Ok(())) {
            tracing::error!(
                "`{0}` is down but could not be marked ({error}), so it stays down until you raise it: \
                 `ip link set {0} up`",
                self.name
            );
        }
        Ok(done)
    }

    /// The reverse of [`Self::withdraw`]: brings the link up and takes the mark off, which leaves the alias that the
    /// mark holds now. Harmless when it is up already.
    ///
    /// A link that is down without the mark is refused: an operator who took the mark off took the link over.
    pub fn announce(&mut self) -> Result<Done, RouteError> {
        let link = self.read()?;
        if !link.up && !is_marked(&link) {
            return Err(RouteError::NotOurs { link: link.name });
        }
        let sent_at = MonotonicTime::now();
        // The mark goes last: a link that the kernel could not raise must be known as ours when that is tried again.
        self.netlink.exchange(&mut self.up, |_| Ok(()))?;
        let done = self.read_back(sent_at, true)?;
        self.unmark()?;
        Ok(done)
    }

    /// Takes the mark off a link that is up, and does nothing else: for one that somebody else raised. Harmless when
    /// there is none.
    pub fn unmark(&mut self) -> Result<Done, RouteError> {
        let link = self.read()?;
        if !link.up {
            // It was withdrawn meanwhile: the mark is right.
            let now = MonotonicTime::now();
            return Ok(Done {
                sent_at: now,
                acknowledged_at: now,
            });
        }
        if link.alias.as_deref() != Some(&alias::withdrawn(&self.alias)) {
            // Somebody wrote another one, with or without the mark: from now on it is the one to keep.
            alias::announced(&link).clone_into(&mut self.alias);
            let marked = alias::withdrawn(&self.alias);
            self.down = set_link("take a link down", self.link, Some(false), Some(&marked));
            self.mark = set_link("mark a link", self.link, None, Some(&marked));
        }
        let sent_at = MonotonicTime::now();
        if is_marked(&link) {
            let mut unmark = set_link("take the mark off a link", self.link, None, Some(&self.alias));
            self.netlink.exchange(&mut unmark, |_| Ok(()))?;
        }
        Ok(Done {
            sent_at,
            acknowledged_at: MonotonicTime::now(),
        })
    }

    fn read(&mut self) -> Result<Link, RouteError> {
        Ok(self.netlink.read_link(&mut self.read)?)
    }

    fn read_back(&mut self, sent_at: MonotonicTime, wanted_up: bool) -> Result<Done, RouteError> {
        let acknowledged_at = MonotonicTime::now();
        let mut up = None;
        self.netlink.exchange(&mut self.read, |reply| {
            up = Some(is_up(reply.payload)?);
            Ok(())
        })?;
        if up == Some(wanted_up) {
            Ok(Done {
                sent_at,
                acknowledged_at,
            })
        } else {
            Err(RouteError::ReadBack {
                link: self.name.clone(),
                up: !wanted_up,
            })
        }
    }
}

/// A request that sets the state of a link or its alias (empty: none), or both at once.
fn set_link(operation: &'static str, link: LinkIndex, up: Option<bool>, alias: Option<&str>) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = link.0;
    if let Some(up) = up {
        message.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
        message.header.change_mask = LinkFlags::Up;
    }
    // Not `LinkAttribute::IfAlias`, which adds a zero byte: the kernel counts it as part of the alias, so that one of
    // 255 bytes is refused and an empty one is kept as an empty text.
    let attribute = |alias: &str| LinkAttribute::Other(DefaultNla::new(libc::IFLA_IFALIAS, alias.as_bytes().to_vec()));
    message.attributes.extend(alias.map(attribute));
    Request::new(operation, RouteNetlinkMessage::SetLink(message), 0)
}

#[cfg(test)]
mod tests;
