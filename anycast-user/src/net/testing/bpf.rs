//! Programs of other people, a few instructions long, to be found on hooks.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use aya_obj::generated::{bpf_attach_type, bpf_attr, bpf_cmd, bpf_map_type, bpf_prog_type};

use super::LinkIndex;

/// One instruction as the kernel takes it.
type Instruction = [u8; 8];

const MOV_R0: u8 = 0xb7;
const EXIT: u8 = 0x95;
const XDP_PASS: i32 = 2;

/// A program on a hook; it goes when this is dropped.
pub(crate) struct Attached {
    /// The kernel's number for it.
    pub(crate) id: u32,
    _link: OwnedFd,
}

/// Puts a program of this name that passes everything on the XDP hook.
pub(crate) fn attach_xdp(link: LinkIndex, name: &str) -> Attached {
    attach_xdp_program(link, name, &[])
}

/// The same, of an `AF_XDP` server: it refers to a map of sockets.
pub(crate) fn attach_af_xdp(link: LinkIndex, name: &str) -> Attached {
    let sockets = make_map(bpf_map_type::BPF_MAP_TYPE_XSKMAP, "sockets", 4, 1);
    attach_xdp_program(link, name, &load_map(1, &sockets))
}

/// The same, of a map of this name.
pub(crate) fn attach_xdp_with_map(link: LinkIndex, name: &str, map: &str) -> Attached {
    let map = make_map(bpf_map_type::BPF_MAP_TYPE_ARRAY, map, 8, 1);
    attach_xdp_program(link, name, &load_map(1, &map))
}

fn attach_xdp_program(link: LinkIndex, name: &str, first: &[Instruction]) -> Attached {
    let program = [
        first,
        &[instruction(MOV_R0, 0, 0, 0, XDP_PASS), instruction(EXIT, 0, 0, 0, 0)],
    ]
    .concat();
    let program = load(bpf_prog_type::BPF_PROG_TYPE_XDP, name, &program);
    attach(&program, link, bpf_attach_type::BPF_XDP).unwrap()
}

/// Counts what passes a tc hook by its first byte.
pub(crate) struct FirstBytes {
    counts: OwnedFd,
    _attached: Attached,
}

impl FirstBytes {
    /// `None` where the kernel has no TCX.
    pub(crate) fn attach(link: LinkIndex, ingress: bool) -> Option<Self> {
        let counts = make_map(bpf_map_type::BPF_MAP_TYPE_ARRAY, "counts", 8, 256);
        let [count_low, count_high] = load_map(1, &counts);
        let program = load(
            bpf_prog_type::BPF_PROG_TYPE_SCHED_CLS,
            "first_bytes",
            &[
                instruction(0xbf, 6, 1, 0, 0),   // r6 = context
                instruction(0x30, 0, 0, 0, 0),   // r0 = packet[0]
                instruction(0x63, 10, 0, -4, 0), // key = r0
                count_low,                       // r1 = counts
                count_high,
                instruction(0xbf, 2, 10, 0, 0),  // r2 = frame
                instruction(0x07, 2, 0, 0, -4),  // r2 = &key
                instruction(0x85, 0, 0, 0, 1),   // r0 = map_lookup_elem(r1, r2)
                instruction(0x15, 0, 0, 2, 0),   // if r0 != 0
                instruction(0xb7, 1, 0, 0, 1),   //   r1 = 1
                instruction(0xdb, 0, 1, 0, 0),   //   *r0 += r1
                instruction(MOV_R0, 0, 0, 0, 0), // pass
                instruction(EXIT, 0, 0, 0, 0),
            ],
        );
        let side = if ingress {
            bpf_attach_type::BPF_TCX_INGRESS
        } else {
            bpf_attach_type::BPF_TCX_EGRESS
        };
        let attached = attach(&program, link, side).ok()?;
        Some(Self {
            counts,
            _attached: attached,
        })
    }

    /// The first bytes that were seen.
    pub(crate) fn seen(&self) -> Vec<u8> {
        (0..=u8::MAX).filter(|&byte| self.of(byte) > 0).collect()
    }

    fn of(&self, byte: u8) -> u64 {
        let (key, mut count) = (u32::from(byte), 0_u64);
        let mut attr = empty();
        attr.__bindgen_anon_2.map_fd = self.counts.as_raw_fd() as u32;
        attr.__bindgen_anon_2.key = (&raw const key) as u64;
        attr.__bindgen_anon_2.__bindgen_anon_1.value = (&raw mut count) as u64;
        bpf(bpf_cmd::BPF_MAP_LOOKUP_ELEM, &mut attr).unwrap();
        count
    }
}

fn make_map(kind: bpf_map_type, name: &str, value_bytes: u32, entries: u32) -> OwnedFd {
    let mut attr = empty();
    attr.__bindgen_anon_1.map_type = kind as u32;
    attr.__bindgen_anon_1.key_size = 4;
    attr.__bindgen_anon_1.value_size = value_bytes;
    attr.__bindgen_anon_1.max_entries = entries;
    attr.__bindgen_anon_1.map_name = object_name(name);
    descriptor(bpf_cmd::BPF_MAP_CREATE, &mut attr).unwrap()
}

fn load(kind: bpf_prog_type, name: &str, program: &[Instruction]) -> OwnedFd {
    let mut attr = empty();
    attr.__bindgen_anon_3.prog_type = kind as u32;
    attr.__bindgen_anon_3.insn_cnt = program.len() as u32;
    attr.__bindgen_anon_3.insns = program.as_ptr() as u64;
    attr.__bindgen_anon_3.license = c"Dual MIT/GPL".as_ptr() as u64;
    attr.__bindgen_anon_3.prog_name = object_name(name);
    descriptor(bpf_cmd::BPF_PROG_LOAD, &mut attr).unwrap()
}

fn attach(program: &OwnedFd, link: LinkIndex, hook: bpf_attach_type) -> io::Result<Attached> {
    let mut attr = empty();
    attr.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
    attr.link_create.__bindgen_anon_2.target_ifindex = link.0;
    attr.link_create.attach_type = hook as u32;
    let attached = descriptor(bpf_cmd::BPF_LINK_CREATE, &mut attr)?;
    Ok(Attached {
        id: id_of(program),
        _link: attached,
    })
}

/// The kernel's number for a program.
fn id_of(program: &OwnedFd) -> u32 {
    // The first two fields of `bpf_prog_info` are type and number.
    let mut info = [0_u32; 2];
    let mut attr = empty();
    attr.info.bpf_fd = program.as_raw_fd() as u32;
    attr.info.info_len = size_of_val(&info) as u32;
    attr.info.info = info.as_mut_ptr() as u64;
    bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr).unwrap();
    info[1]
}

/// Puts a map into a register.
fn load_map(register: u8, map: &OwnedFd) -> [Instruction; 2] {
    const BPF_PSEUDO_MAP_FD: u8 = 1;
    [
        instruction(0x18, register, BPF_PSEUDO_MAP_FD, 0, map.as_raw_fd()),
        Instruction::default(),
    ]
}

fn instruction(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Instruction {
    let registers = if cfg!(target_endian = "little") {
        source << 4 | destination
    } else {
        destination << 4 | source
    };
    let ([offset_0, offset_1], [a, b, c, d]) = (offset.to_ne_bytes(), immediate.to_ne_bytes());
    [code, registers, offset_0, offset_1, a, b, c, d]
}

fn object_name(name: &str) -> [libc::c_char; 16] {
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().take(15).zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    bytes
}

fn empty() -> bpf_attr {
    // SAFETY: all bytes zero is a valid value of each member of the union.
    unsafe { std::mem::zeroed() }
}

fn descriptor(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    let fd = bpf(command, attr)?;
    // SAFETY: the call has just opened it, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i32> {
    // SAFETY: `attr` is a whole `bpf_attr`, and what its pointers point to outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command as u32, &raw mut *attr, size_of::<bpf_attr>()) };
    match i32::try_from(result) {
        Ok(result) if result >= 0 => Ok(result),
        _ => Err(io::Error::last_os_error()),
    }
}
