//! What keeps a program at a place of an uplink.

use std::{fs, io, path::PathBuf};

use aya::{
    pin::PinError,
    programs::{
        ProgramError, SchedClassifier, TcAttachType, Xdp,
        links::{FdLink, LinkError, PinnedLink},
        tc::{SchedClassifierLink, TcError},
        xdp::{XdpError, XdpLink},
    },
};
use serde::Serialize;
use thiserror::Error;

use super::{DatapathError, bpf::KernelLink};
use crate::net::{Filter, LinkIndex, NetError, Netlink, Side};

/// A place on an uplink where a program of ours can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookPoint {
    /// XDP in the driver.
    Xdp,
    /// XDP in the kernel's stack.
    XdpGeneric,
    /// tc, where packets arrive.
    TcIngress,
    /// tc, where they leave.
    TcEgress,
}

impl HookPoint {
    /// All of them, in the order in which they are taken away; they are added in the opposite one. For a moment there may
    /// be answers without their queries, which mean nothing, but never queries without their answers.
    pub const ALL: [Self; 4] = [Self::Xdp, Self::XdpGeneric, Self::TcIngress, Self::TcEgress];

    /// Its name, also in the name of a pin.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Xdp => "xdp",
            Self::XdpGeneric => "xdp-generic",
            Self::TcIngress => "tc-ingress",
            Self::TcEgress => "tc-egress",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|point| point.name() == name)
    }

    pub(super) const fn of(side: Side) -> Self {
        match side {
            Side::Ingress => Self::TcIngress,
            Side::Egress => Self::TcEgress,
        }
    }

    /// The side of the interface.
    pub(super) const fn side(self) -> Side {
        match self {
            Self::Xdp | Self::XdpGeneric | Self::TcIngress => Side::Ingress,
            Self::TcEgress => Side::Egress,
        }
    }
}

pub(super) const fn tc_side(side: Side) -> TcAttachType {
    match side {
        Side::Ingress => TcAttachType::Ingress,
        Side::Egress => TcAttachType::Egress,
    }
}

/// What keeps a program at a [`HookPoint`].
#[derive(Debug)]
pub(super) enum Hold {
    /// An XDP link of this process alone; dropping it detaches.
    Xdp(XdpLink),
    /// A TCX link or a filter of this process alone; dropping it detaches.
    Tc(SchedClassifierLink),
    /// A link that is pinned; dropping it leaves it where it is.
    Pinned(Pinned),
    /// A filter that is to outlive this process: it belongs to its qdisc.
    Filter(Filter),
}

/// A pinned link.
#[derive(Debug)]
pub(super) struct Pinned {
    link: FdLink,
    /// The same link: aya doesn't give the descriptor of its own away, and the pin may be gone when it is to be detached.
    kernel: KernelLink,
    path: PathBuf,
}

/// Why a program could not be put somewhere or taken away.
#[derive(Debug, Error)]
pub(super) enum HoldError {
    #[error(transparent)]
    Datapath(#[from] DatapathError),
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Pin(#[from] PinError),
    #[error(transparent)]
    Net(#[from] NetError),
    #[error(transparent)]
    File(#[from] io::Error),
    /// What was attached can't be held.
    #[error("it was attached without a link, which can't be undone by this program: use `ip link set dev {0} xdp off`")]
    WithoutLink(String),
}

impl HoldError {
    /// The kernel's error number, when it refused a program.
    pub(super) fn errno(&self) -> Option<i32> {
        match self {
            Self::Program(ProgramError::SyscallError(error)) => error.io_error.raw_os_error(),
            Self::Program(
                ProgramError::XdpError(XdpError::NetlinkError(error))
                | ProgramError::TcError(TcError::NetlinkError(error))
                | ProgramError::NetlinkError(error),
            ) => error.raw_os_error(),
            _ => None,
        }
    }
}

/// A program that can be held.
pub(super) enum Runnable<'ebpf> {
    Xdp(&'ebpf mut Xdp),
    Tc(&'ebpf mut SchedClassifier),
}

impl Hold {
    /// Takes over the link that is pinned at `path`.
    pub(super) fn of_pin(path: PathBuf) -> Result<Self, HoldError> {
        let link = FdLink::from(PinnedLink::from_pin(&path)?);
        Self::pinned(link, path)
    }

    fn pinned(link: FdLink, path: PathBuf) -> Result<Self, HoldError> {
        let kernel = KernelLink::open(&path)?;
        Ok(Self::Pinned(Pinned { link, kernel, path }))
    }

    /// Pins what is held, if it is a link. A filter becomes one that outlives the process.
    pub(super) fn pin(
        self,
        path: PathBuf,
        uplink: &str,
        filter: impl FnOnce(u16, u32) -> Filter,
    ) -> Result<Self, HoldError> {
        let link = match self {
            Self::Xdp(link) => FdLink::try_from(link).map_err(|_| HoldError::WithoutLink(uplink.to_owned()))?,
            Self::Tc(link) => {
                if let (Ok(priority), Ok(handle)) = (link.priority(), link.handle()) {
                    let filter = filter(priority, handle.into());
                    // Its drop would detach it; it holds nothing else.
                    std::mem::forget(link);
                    return Ok(Self::Filter(filter));
                }
                FdLink::try_from(link)?
            }
            held @ (Self::Pinned(_) | Self::Filter(_)) => return Ok(held),
        };
        let link = FdLink::from(link.pin(&path)?);
        Self::pinned(link, path)
    }

    /// Exchanges the program for `runnable`, atomically: there is no moment without one.
    pub(super) fn run(self, runnable: Runnable<'_>, uplink: &str) -> Result<Self, HoldError> {
        match (self, runnable) {
            (Self::Xdp(link), Runnable::Xdp(program)) => {
                let id = program.attach_to_link(link)?;
                Ok(Self::Xdp(program.take_link(id)?))
            }
            (Self::Tc(link), Runnable::Tc(program)) => {
                let id = program.attach_to_link(link)?;
                Ok(Self::Tc(program.take_link(id)?))
            }
            (Self::Pinned(Pinned { link, kernel, path }), Runnable::Xdp(program)) => {
                let id = program.attach_to_link(link.try_into()?)?;
                let link = program.take_link(id)?.try_into()?;
                Ok(Self::Pinned(Pinned { link, kernel, path }))
            }
            (Self::Pinned(Pinned { link, kernel, path }), Runnable::Tc(program)) => {
                let id = program.attach_to_link(link.try_into()?)?;
                let link = program.take_link(id)?.try_into()?;
                Ok(Self::Pinned(Pinned { link, kernel, path }))
            }
            (Self::Filter(filter), Runnable::Tc(program)) => {
                let (side, handle) = (tc_side(filter.side), filter.handle.into());
                let link = SchedClassifierLink::attached(uplink, side, filter.priority, handle, None)?;
                match program.attach_to_link(link) {
                    Ok(id) => {
                        std::mem::forget(program.take_link(id)?);
                        Ok(Self::Filter(filter))
                    }
                    Err(error) => {
                        // Nobody would know of it any more, and another one would count the same packets.
                        Netlink::open()?.delete_filter(&filter)?;
                        Err(error.into())
                    }
                }
            }
            (Self::Xdp(_), Runnable::Tc(_)) | (Self::Tc(_) | Self::Filter(_), Runnable::Xdp(_)) => {
                Err(LinkError::InvalidLink.into())
            }
        }
    }

    /// Detaches what outlives this, and has done so when it returns: then it is to be dropped, which detaches the rest. After
    /// an error it is still what keeps the program there.
    pub(super) fn detach(&self) -> Result<(), HoldError> {
        match self {
            Self::Xdp(_) | Self::Tc(_) => {}
            Self::Pinned(Pinned { kernel, path, .. }) => {
                kernel.detach()?;
                kernel.unpin(path)?;
            }
            Self::Filter(filter) => Netlink::open()?.delete_filter(filter)?,
        }
        Ok(())
    }

    /// The number of the program that a pinned link runs.
    pub(super) fn program(&self) -> Option<u32> {
        match self {
            Self::Pinned(Pinned { link, .. }) => Some(link.info().ok()?.program_id()),
            _ => None,
        }
    }

    /// Whether it is one of a clsact qdisc.
    pub(super) fn is_filter(&self) -> bool {
        match self {
            Self::Filter(_) => true,
            Self::Tc(link) => link.priority().is_ok(),
            Self::Xdp(_) | Self::Pinned(_) => false,
        }
    }
}

/// Detaches the link that is pinned at `path`, and removes the pin. It is no error when there is none.
pub(super) fn detach_pin(path: &std::path::Path) -> io::Result<()> {
    match KernelLink::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        link => link?.detach()?,
    }
    fs::remove_file(path)
}

/// The interface that the link pinned at `path` is attached to, as long as that is there.
pub(super) fn interface_of_pin(path: &std::path::Path) -> io::Result<Option<LinkIndex>> {
    Ok(KernelLink::open(path)?.info()?.interface)
}
