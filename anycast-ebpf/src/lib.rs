//! What the kernel programs and user space share: the layout of the maps, packet parsing, classification and the
//! perfect hash of the service table.
//!
//! Everything here is `no_std`, free of I/O and runs on the host as well, so that tests and captures go through the same
//! code as packets in the kernel. The programs in `main.rs` only fetch bytes, call [`observe`] and pass the packet.

#![no_std]
#![expect(
    clippy::inline_always,
    reason = "a BPF program is one function to the verifier; what is left to LLVM's taste may become a call it can't follow"
)]

pub mod dns;
pub mod layout;
pub mod observe;
pub mod packet;
pub mod table;
