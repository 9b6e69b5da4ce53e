//! The system calls that aya has no words for: a program given as instructions, and what is done with programs by
//! descriptor.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
};

use aya_obj::generated::{bpf_attach_type, bpf_attr, bpf_cmd, bpf_prog_type};
use nix::libc;

/// One instruction as the kernel takes it.
pub(super) type Instruction = [u8; 8];

/// A program of this type.
///
/// `attach_type` and `flags` have to be those of the programs that it goes on to.
pub(super) fn load(
    kind: bpf_prog_type,
    attach_type: u32,
    flags: u32,
    instructions: &[Instruction],
) -> io::Result<OwnedFd> {
    let mut attr = empty();
    attr.__bindgen_anon_3.prog_type = kind as u32;
    attr.__bindgen_anon_3.insn_cnt = instructions.len() as u32;
    attr.__bindgen_anon_3.insns = instructions.as_ptr() as u64;
    attr.__bindgen_anon_3.license = c"Dual MIT/GPL".as_ptr() as u64;
    attr.__bindgen_anon_3.expected_attach_type = attach_type;
    attr.__bindgen_anon_3.prog_flags = flags;
    let fd = bpf(bpf_cmd::BPF_PROG_LOAD, &mut attr)?;
    // SAFETY: the call has just opened it, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Puts an XDP program on the loopback device of the calling thread's network namespace, until what is returned is
/// dropped.
pub(super) fn attach_xdp_to_loopback(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    const LOOPBACK: u32 = 1;
    let mut attr = empty();
    attr.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
    attr.link_create.__bindgen_anon_2.target_ifindex = LOOPBACK;
    attr.link_create.attach_type = bpf_attach_type::BPF_XDP as u32;
    let fd = bpf(bpf_cmd::BPF_LINK_CREATE, &mut attr)?;
    // SAFETY: the call has just opened it, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Runs a program on a frame so many times, and says what it returned the last time.
pub(super) fn test_run(program: BorrowedFd<'_>, frame: &[u8], repeat: u32) -> io::Result<u32> {
    let mut attr = empty();
    attr.test.prog_fd = program.as_raw_fd() as u32;
    attr.test.data_in = frame.as_ptr() as u64;
    attr.test.data_size_in = frame.len() as u32;
    attr.test.repeat = repeat;
    bpf(bpf_cmd::BPF_PROG_TEST_RUN, &mut attr)?;
    // SAFETY: the kernel has filled in this member, of plain numbers.
    Ok(unsafe { attr.test.retval })
}

fn empty() -> bpf_attr {
    // SAFETY: all bytes zero is a valid value of each member of the union.
    unsafe { std::mem::zeroed() }
}

fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i32> {
    // SAFETY: `attr` is a whole `bpf_attr`, and what its pointers point to outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command as u32, &raw mut *attr, size_of::<bpf_attr>()) };
    match i32::try_from(result) {
        Ok(result) if result >= 0 => Ok(result),
        _ => Err(io::Error::last_os_error()),
    }
}
