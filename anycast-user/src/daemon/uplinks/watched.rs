//! What is known of one uplink that is watched.

use crate::{
    clock::MonotonicTime,
    datapath::{Attached, Datapath, Refused},
    net::Link,
};

/// Why the kernel refuses XDP with the same error as for a resident where none is. It does not become free by itself.
const ABOVE: &str = "a device that is made on this interface, such as a macvlan, has an XDP program";

/// An uplink that is watched.
pub(super) struct Watched {
    pub(super) name: String,
    /// XDP is wanted, and the kernel says that its place is taken.
    pub(super) waits_for_xdp: bool,
    /// Another program was seen there since.
    saw_resident: bool,
    /// It can't be seen whether the programs are in place, and that was told.
    pub(super) unseen: bool,
    /// Since when it has been no uplink.
    pub(super) unwanted: Option<MonotonicTime>,
}

impl Watched {
    /// It was attached to just now, as `link` says that it was before.
    pub(super) fn new(link: &Link, attached: &Attached) -> Self {
        Self {
            name: link.name.clone(),
            waits_for_xdp: attached.refused.as_ref().is_some_and(|refused| refused.resident),
            saw_resident: !link.xdp_programs.is_empty(),
            unseen: false,
            unwanted: None,
        }
    }

    /// Whether the place that XDP was refused for has become free; `programs` are there now.
    pub(super) fn may_have_xdp(&mut self, programs: &[u32]) -> bool {
        self.saw_resident |= !programs.is_empty();
        self.waits_for_xdp && self.saw_resident && programs.is_empty()
    }

    /// Whether the programs are where they were put, as far as that can be seen.
    pub(super) fn is_in_place(&mut self, datapath: &Datapath, link: &Link) -> bool {
        let seen = datapath.is_in_place(link);
        if let Err(error) = &seen
            && !self.unseen
        {
            tracing::warn!("it can't be seen whether the programs are still in place: {error}");
        }
        self.unseen = seen.is_err();
        seen.unwrap_or(true)
    }
}

/// Why XDP was refused on `link`, as it was before.
pub(super) fn why_refused<'a>(refused: &'a Refused, link: &Link) -> &'a str {
    if refused.resident && link.xdp_programs.is_empty() {
        ABOVE
    } else {
        &refused.reason
    }
}
