//! What aya doesn't offer of bpf(2): what a pinned link is attached to, detaching it at once, a link to a cgroup on its own,
//! and what is at a TCX hook (aya opens each program there, which takes `CAP_SYS_ADMIN`).
//!
//! Closing the last descriptor of a link and removing its pin detach it too, but some time later: the kernel may leave
//! that to a work queue. Where another hook takes over, the old one has to be gone first, or packets count twice.

use std::{
    ffi::CString,
    fs, io,
    os::{
        fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use aya_obj::generated::{bpf_attach_type, bpf_attr, bpf_cmd, bpf_link_info, bpf_link_type};

use crate::net::{LinkIndex, Side};

/// `BPF_MPROG_MAX` of the kernel: no hook takes more.
const TCX_PROGRAMS_MAX: usize = 64;

/// A `bpf_link` of the kernel.
#[derive(Debug)]
pub(super) struct KernelLink(OwnedFd);

/// What the kernel says of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinkInfo {
    /// Its number.
    pub(super) id: u32,
    /// The number of its program.
    pub(super) program: u32,
    /// The interface that it is attached to; `None` when that is gone, or when it is a link of another kind.
    pub(super) interface: Option<LinkIndex>,
}

impl KernelLink {
    /// Opens what is pinned at `path`, which must be a link: the kernel doesn't say what else it may be.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let mut attributes = no_attributes();
        attributes.__bindgen_anon_4.pathname = path.as_ptr() as u64;
        // SAFETY: `pathname` is a string with a closing zero that outlives the call.
        let descriptor = unsafe { bpf(bpf_cmd::BPF_OBJ_GET, &mut attributes) }?;
        // SAFETY: the kernel has just made this descriptor, for us alone.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(descriptor) }))
    }

    /// Attaches `program` where the sockets of `cgroup`, and of those below it, send. Closing the link detaches it.
    ///
    /// The kernel runs it beside other programs there, as with `BPF_F_ALLOW_MULTI`, which it takes for links without being
    /// told, and did not always let itself be told.
    pub(super) fn to_cgroup_egress(program: BorrowedFd<'_>, cgroup: BorrowedFd<'_>) -> io::Result<Self> {
        let mut attributes = no_attributes();
        attributes.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd().cast_unsigned();
        attributes.link_create.__bindgen_anon_2.target_fd = cgroup.as_raw_fd().cast_unsigned();
        attributes.link_create.attach_type = bpf_attach_type::BPF_CGROUP_INET_EGRESS as u32;
        // SAFETY: the command takes the numbers of descriptors and no memory.
        let descriptor = unsafe { bpf(bpf_cmd::BPF_LINK_CREATE, &mut attributes) }?;
        // SAFETY: the kernel has just made this descriptor, for us alone.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(descriptor) }))
    }

    /// What the kernel says of it.
    pub(super) fn info(&self) -> io::Result<LinkInfo> {
        // SAFETY: the structure holds integers only, for which all zeros are valid.
        let mut info: bpf_link_info = unsafe { std::mem::zeroed() };
        let mut attributes = no_attributes();
        attributes.info.bpf_fd = self.0.as_raw_fd().cast_unsigned();
        attributes.info.info_len = size_of::<bpf_link_info>() as u32;
        attributes.info.info = (&raw mut info) as u64;
        // SAFETY: `info` has the length that is told, is not otherwise borrowed and outlives the call.
        unsafe { bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attributes) }?;
        let index = match info.type_ {
            // SAFETY: of a link of this type the kernel has written this member, and any bytes make an integer.
            kind if kind == bpf_link_type::BPF_LINK_TYPE_XDP as u32 => unsafe { info.__bindgen_anon_1.xdp.ifindex },
            // SAFETY: as above.
            kind if kind == bpf_link_type::BPF_LINK_TYPE_TCX as u32 => unsafe { info.__bindgen_anon_1.tcx.ifindex },
            _ => 0,
        };
        Ok(LinkInfo {
            id: info.id,
            program: info.prog_id,
            interface: (index != 0).then_some(LinkIndex(index)),
        })
    }

    /// Removes the pin at `path`, if it is this link's and not another's that was put there since.
    pub(super) fn unpin(&self, path: &Path) -> io::Result<()> {
        let there = match Self::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            there => there?.info()?,
        };
        if there.id == self.info()?.id {
            fs::remove_file(path)?;
        }
        Ok(())
    }

    /// Takes its program off the hook, for whoever else holds the link too. It is no error when the interface is gone.
    pub(super) fn detach(&self) -> io::Result<()> {
        let mut attributes = no_attributes();
        attributes.link_detach.link_fd = self.0.as_raw_fd().cast_unsigned();
        // SAFETY: the command takes a descriptor's number and no memory.
        match unsafe { bpf(bpf_cmd::BPF_LINK_DETACH, &mut attributes) } {
            Err(error) if error.raw_os_error() != Some(libc::ENOLINK) => Err(error),
            _ => Ok(()),
        }
    }
}

/// The programs at a TCX hook of an interface of this network namespace, by the kernel's numbers.
pub(super) fn tcx_programs(link: LinkIndex, side: Side) -> io::Result<Vec<u32>> {
    let mut programs = vec![0_u32; TCX_PROGRAMS_MAX];
    let mut attributes = no_attributes();
    attributes.query.__bindgen_anon_1.target_ifindex = link.0;
    attributes.query.attach_type = match side {
        Side::Ingress => bpf_attach_type::BPF_TCX_INGRESS,
        Side::Egress => bpf_attach_type::BPF_TCX_EGRESS,
    } as u32;
    attributes.query.prog_ids = programs.as_mut_ptr() as u64;
    attributes.query.__bindgen_anon_2.count = TCX_PROGRAMS_MAX as u32;
    // SAFETY: `prog_ids` has room for as many numbers as are told, is not otherwise borrowed and outlives the call.
    unsafe { bpf(bpf_cmd::BPF_PROG_QUERY, &mut attributes) }?;
    // SAFETY: the kernel has written the number of programs here; any bytes make an integer.
    programs.truncate(unsafe { attributes.query.__bindgen_anon_2.count } as usize);
    Ok(programs)
}

/// Attributes with nothing in them: the kernel wants zeros in all that a command doesn't take.
fn no_attributes() -> bpf_attr {
    // SAFETY: every member of the union is made of integers, for which all zeros are valid.
    unsafe { std::mem::zeroed() }
}

/// Calls bpf(2).
///
/// # Safety
///
/// The attributes must be what `command` takes, and the memory that they point to valid for it.
unsafe fn bpf(command: bpf_cmd, attributes: &mut bpf_attr) -> io::Result<libc::c_int> {
    // SAFETY: the kernel reads, and may write, as many bytes as it is told, all of them initialised integers; the caller
    // answers for what they say.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_long,
            std::ptr::from_mut(attributes),
            size_of::<bpf_attr>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result as libc::c_int)
}
