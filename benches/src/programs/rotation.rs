//! A program in front of another: each packet that passes gets the address of another client.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result, bail};
use aya::{
    maps::{Array, Map, MapData, ProgramArray},
    programs::ProgramFd,
};
use aya_obj::generated::{
    BPF_F_XDP_HAS_FRAGS, bpf_attach_type,
    bpf_map_type::{self, BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_PROG_ARRAY},
    bpf_prog_type,
};

use super::{
    case::Kind,
    kernel::{self, Instruction},
};

/// So many clients there are, a power of two, each with an address of its own.
pub(super) const CLIENTS: u32 = 1 << 16;
/// Odd, so that no two clients get the same address: from the final mix of `MurmurHash3`.
const MULTIPLIERS: (u32, u32) = (0x85eb_ca6b, 0xc2b2_ae35);

/// The program, and the one it goes on to.
pub(super) struct Rotation {
    kind: Kind,
    program: OwnedFd,
    /// How many packets it has seen.
    seen: Array<MapData, u64>,
    /// Kept, as the other program leaves it with its last descriptor.
    _next: ProgramArray<MapData>,
}

impl Rotation {
    /// In front of `program`, for IPv4 frames with the client's address at `client_at`.
    pub(super) fn new(kind: Kind, client_at: u16, program: &ProgramFd) -> Result<Self> {
        let seen = one_entry(BPF_MAP_TYPE_ARRAY, size_of::<u64>())?;
        let next = one_entry(BPF_MAP_TYPE_PROG_ARRAY, size_of::<u32>())?;
        let fd = |map: &MapData| map.fd().as_fd().as_raw_fd();
        let instructions = instructions(kind, i16::try_from(client_at)?, fd(&seen), fd(&next));
        let mut next: ProgramArray<MapData> = Map::ProgramArray(next).try_into()?;
        next.set(0, program, 0)?;
        let (program_type, attach_type, flags) = match kind {
            Kind::Xdp => (
                bpf_prog_type::BPF_PROG_TYPE_XDP,
                bpf_attach_type::BPF_XDP as u32,
                BPF_F_XDP_HAS_FRAGS,
            ),
            Kind::Tc => (bpf_prog_type::BPF_PROG_TYPE_SCHED_CLS, 0, 0),
            Kind::Cgroup => bail!("a program of a cgroup may not write to packets"),
        };
        Ok(Self {
            kind,
            program: kernel::load(program_type, attach_type, flags, &instructions)
                .context("the kernel refused the program that rotates clients")?,
            seen: Map::Array(seen).try_into()?,
            _next: next,
        })
    }

    /// The next packet is the first client's again.
    pub(super) fn rewind(&mut self) -> Result<()> {
        Ok(self.seen.set(0, 0, 0)?)
    }

    pub(super) fn program(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }

    pub(super) const fn kind(&self) -> Kind {
        self.kind
    }
}

fn one_entry(kind: bpf_map_type, value_bytes: usize) -> Result<MapData> {
    let key_bytes = size_of::<u32>() as u32;
    let map = aya_obj::Map::new_from_params(kind as u32, key_bytes, value_bytes as u32, 1, 0);
    Ok(MapData::create(map, "rotation", None)?)
}

/// The addresses are scattered as those of clients are; consecutive ones are a special case to any hash.
///
/// They are written as whole words. A load right after a store takes what it stores only if all of it was stored at once,
/// and else waits until it has reached the cache: no packet from a wire would make the measured program wait.
fn instructions(kind: Kind, client_at: i16, seen: i32, next: i32) -> Vec<Instruction> {
    const LOAD_WORD: u8 = 0x61;
    const LOAD_DOUBLE: u8 = 0x79;
    const STORE_WORD: u8 = 0x63;
    const STORE_DOUBLE: u8 = 0x7b;
    const LOAD_IMMEDIATE: u8 = 0x18;
    const MAP: u8 = 1;
    const MAP_VALUE: u8 = 2;
    const MOVE: u8 = 0xbf;
    const MOVE_IMMEDIATE: u8 = 0xb7;
    const ADD_IMMEDIATE: u8 = 0x07;
    const AND_IMMEDIATE: u8 = 0x57;
    const MOVE_WORD: u8 = 0xbc;
    const MULTIPLY_WORD_IMMEDIATE: u8 = 0x24;
    const SHIFT_WORD_RIGHT_IMMEDIATE: u8 = 0x74;
    const XOR_WORD: u8 = 0xac;
    const JUMP_IF_GREATER: u8 = 0x2d;
    const CALL: u8 = 0x85;
    const TAIL_CALL: i32 = 12;
    const EXIT: u8 = 0x95;
    let (data, data_end) = match kind {
        Kind::Xdp => (0, 4),
        Kind::Tc | Kind::Cgroup => (76, 80),
    };
    let (first, second) = MULTIPLIERS;
    vec![
        // r6 = context; r2 = start of the packet
        instruction(MOVE, 6, 1, 0, 0),
        instruction(LOAD_WORD, 2, 1, data, 0),
        // if the address is not in it, leave
        instruction(LOAD_WORD, 3, 1, data_end, 0),
        instruction(MOVE, 4, 2, 0, 0),
        instruction(ADD_IMMEDIATE, 4, 0, 0, i32::from(client_at) + 4),
        instruction(JUMP_IF_GREATER, 4, 3, 18, 0),
        // r4 = seen++ % clients
        instruction(LOAD_IMMEDIATE, 1, MAP_VALUE, 0, seen),
        Instruction::default(),
        instruction(LOAD_DOUBLE, 4, 1, 0, 0),
        instruction(MOVE, 5, 4, 0, 0),
        instruction(ADD_IMMEDIATE, 5, 0, 0, 1),
        instruction(STORE_DOUBLE, 1, 5, 0, 0),
        instruction(AND_IMMEDIATE, 4, 0, 0, (CLIENTS - 1).cast_signed()),
        // the address: scattered
        instruction(MULTIPLY_WORD_IMMEDIATE, 4, 0, 0, first.cast_signed()),
        instruction(MOVE_WORD, 5, 4, 0, 0),
        instruction(SHIFT_WORD_RIGHT_IMMEDIATE, 5, 0, 0, 16),
        instruction(XOR_WORD, 4, 5, 0, 0),
        instruction(MULTIPLY_WORD_IMMEDIATE, 4, 0, 0, second.cast_signed()),
        instruction(STORE_WORD, 2, 4, client_at, 0),
        // go on to the other program, with the same context
        instruction(MOVE, 1, 6, 0, 0),
        instruction(LOAD_IMMEDIATE, 2, MAP, 0, next),
        Instruction::default(),
        instruction(MOVE_IMMEDIATE, 3, 0, 0, 0),
        instruction(CALL, 0, 0, 0, TAIL_CALL),
        // leave: with a verdict that none of the others has
        instruction(MOVE_IMMEDIATE, 0, 0, 0, 0),
        instruction(EXIT, 0, 0, 0, 0),
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
