//! What the kernel programs and user space share: the layout of the maps, packet parsing, classification and the
//! perfect hash of the service table.
//!
//! Everything here is `no_std`, free of I/O and runs on the host as well, so that tests and captures go through the same
//! code as packets in the kernel. The programs in `main.rs` only fetch bytes, call
//! [`record`](record::record), and pass the packet.

#![no_std]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![expect(
    clippy::inline_always,
    reason = "a BPF program is one function to the verifier; what is left to LLVM's taste may become a call it can't follow"
)]

pub mod atomic;
pub mod classify;
mod exchange;
#[cfg(not(target_arch = "bpf"))]
pub mod host;
pub mod latency;
pub mod layout;
pub mod packet;
pub mod record;
pub mod table;
#[cfg(test)]
mod testing;
