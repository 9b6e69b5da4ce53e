//! The second proof that a server lives: its answers, counted as they leave its sockets.
//!
//! When no answer leaves by an uplink and yet local probes are answered, either the server isn't asked (a firewall drops
//! queries behind the hook that counts them), or what it says is lost on its way out. Only in the second case do answers
//! to other hosts leave its sockets.

use std::{
    collections::BTreeSet,
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd},
    path::PathBuf,
};

use anycast_ebpf::layout::WAYS_OUT_MAX;
use aya::{
    Ebpf,
    maps::{HashMap, Map, MapData, MapError},
    programs::{CgroupSkb, ProgramFd},
};
use procfs::process::Process;

use super::{Datapath, DatapathError, EGRESS_CGROUP, bpf::KernelLink, kernel_set, program_error, program_mut};
use crate::net::LinkIndex;

const SERVER_SOCKETS: &str = "SERVER_SOCKETS";
pub(super) const WAYS_OUT: &str = "WAYS_OUT";

/// Why answers can't be counted as they leave sockets.
#[derive(Debug, thiserror::Error)]
pub enum SecondProofError {
    /// Programs attach to the unified hierarchy only.
    #[error("no cgroup2 file system is mounted: mount one (`mount -t cgroup2 none /sys/fs/cgroup/unified`)")]
    NoCgroup2,
    /// The kernel refused.
    #[error("the program could not be attached to the cgroup {path}: {source}")]
    Attach {
        /// The root of the hierarchy.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The program goes on counting.
    #[error("the program could not be taken off its cgroup: {0}; it goes when this process ends")]
    Detach(#[source] io::Error),
    /// The program doesn't know the server's sockets, or the links.
    #[error("sockets or links could not be told to the program: {0}")]
    Map(#[from] MapError),
}

/// The program that counts answers as they leave the server's sockets: loaded, and attached on demand.
///
/// It is attached to the root of the unified cgroup hierarchy, by a `bpf_link`, beside whatever others have put there and
/// before none of it. It sees all that sockets of the host send, so that it should be there only while it is in doubt
/// whether answers leave; it is never pinned. Minimum kernel version: 6.1.
#[derive(Debug)]
pub struct SecondProof {
    // Detached before the rest goes.
    link: Option<KernelLink>,
    program: ProgramFd,
    sockets: HashMap<MapData, u64, u8>,
    /// What is in the map.
    known: BTreeSet<u64>,
}

impl Datapath {
    /// Makes `links` those by which answers leave for an uplink that is watched. An answer that leaves by another one is not
    /// counted as it leaves its socket: that it isn't seen at an uplink then says nothing.
    pub fn set_ways_out(&mut self, links: impl IntoIterator<Item = LinkIndex>) -> Result<(), SecondProofError> {
        let wanted = ways_out(links);
        if wanted == self.ways_out {
            return Ok(());
        }
        let map = self.ebpf.map_mut(WAYS_OUT).ok_or(MapError::InvalidName {
            name: WAYS_OUT.to_owned(),
        })?;
        let mut map: HashMap<_, u32, u8> = map.try_into()?;
        Ok(kernel_set::update(&mut map, &mut self.ways_out, &wanted)?)
    }

    /// Whether `links` were made those by [`Datapath::set_ways_out`] last.
    #[must_use]
    pub fn has_ways_out(&self, links: impl IntoIterator<Item = LinkIndex>) -> bool {
        ways_out(links) == self.ways_out
    }

    /// What counts answers as they leave sockets, in the [`Bank`](super::Bank) of this datapath; nothing is attached yet.
    /// To be had once.
    pub fn second_proof(&mut self) -> Result<SecondProof, DatapathError> {
        let program: &mut CgroupSkb = program_mut(&mut self.ebpf, EGRESS_CGROUP)?;
        let program = program.fd().map_err(|error| program_error(EGRESS_CGROUP, error))?;
        let program = program.try_clone().map_err(DatapathError::Descriptor)?;
        let sockets = sockets_of(&mut self.ebpf).ok_or(DatapathError::Missing(SERVER_SOCKETS))?;
        Ok(SecondProof {
            link: None,
            program,
            sockets,
            known: BTreeSet::new(),
        })
    }
}

/// As many as there is room for.
fn ways_out(links: impl IntoIterator<Item = LinkIndex>) -> BTreeSet<u32> {
    let links = links.into_iter().map(|link| link.0);
    links.take(WAYS_OUT_MAX as usize).collect()
}

fn sockets_of(ebpf: &mut Ebpf) -> Option<HashMap<MapData, u64, u8>> {
    let map: Map = ebpf.take_map(SERVER_SOCKETS)?;
    map.try_into().ok()
}

impl SecondProof {
    /// Whether it counts now.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.link.is_some()
    }

    /// Counts the answers that leave the server's sockets from now on, of those that [`SecondProof::set_sockets`] told. One
    /// system call, and two files are read.
    pub fn attach(&mut self) -> Result<(), SecondProofError> {
        if self.link.is_some() {
            return Ok(());
        }
        let path = unified_hierarchy().ok_or(SecondProofError::NoCgroup2)?;
        match File::open(&path).and_then(|cgroup| self.attach_to(cgroup.as_fd())) {
            Ok(()) => Ok(()),
            Err(source) => Err(SecondProofError::Attach { path, source }),
        }
    }

    /// As [`SecondProof::attach`], to one cgroup.
    fn attach_to(&mut self, cgroup: BorrowedFd<'_>) -> io::Result<()> {
        self.link = Some(KernelLink::to_cgroup_egress(self.program.as_fd(), cgroup)?);
        Ok(())
    }

    /// Counts no more, from when this returns.
    pub fn detach(&mut self) -> Result<(), SecondProofError> {
        // Closing the link detaches it too, if this doesn't.
        self.link
            .take()
            .map_or(Ok(()), |link| link.detach())
            .map_err(SecondProofError::Detach)
    }

    /// Makes the sockets with these cookies the server's.
    pub fn set_sockets(&mut self, cookies: &BTreeSet<u64>) -> Result<(), SecondProofError> {
        Ok(kernel_set::update(&mut self.sockets, &mut self.known, cookies)?)
    }
}

/// Where the root of the unified hierarchy is mounted: of all of it, or of as much as this process's cgroup namespace shows.
fn unified_hierarchy() -> Option<PathBuf> {
    let mounts = Process::myself().and_then(|process| process.mountinfo()).ok()?;
    let root = mounts
        .into_iter()
        .find(|mount| mount.fs_type == "cgroup2" && mount.root == "/")?;
    Some(root.mount_point)
}
