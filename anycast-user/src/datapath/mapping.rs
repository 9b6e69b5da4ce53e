//! The memory of `BPF_F_MMAPABLE` arrays, mapped into the process.

use std::{
    num::NonZeroUsize,
    os::fd::{AsFd as _, BorrowedFd},
    ptr::NonNull,
    sync::atomic::AtomicU64,
};

use aya::{Ebpf, maps::Map};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

use super::DatapathError;

/// Words that the programs write and this process only reads.
#[derive(Debug)]
pub(super) struct Counted(Mapping);

impl Counted {
    /// The first `words` of the map `name`.
    pub(super) fn of(ebpf: &Ebpf, name: &'static str, words: usize) -> Result<Self, DatapathError> {
        Mapping::of(ebpf, name, words, ProtFlags::PROT_READ).map(Self)
    }

    /// The first `words` of the map behind `descriptor`, which is called `name`.
    pub(super) fn of_descriptor(
        descriptor: BorrowedFd<'_>,
        name: &'static str,
        words: usize,
    ) -> Result<Self, DatapathError> {
        Mapping::of_descriptor(descriptor, name, words, ProtFlags::PROT_READ).map(Self)
    }

    /// Memory of the process's own, all zero, in place of a map.
    pub(super) fn anonymous(words: usize) -> Result<Self, DatapathError> {
        let length = Mapping::length("anonymous", words)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping, at an address of the kernel's choice; nothing else refers to it.
        let start = unsafe { mmap_anonymous(None, length, protection, MapFlags::MAP_PRIVATE | MapFlags::MAP_POPULATE) }
            .map_err(|errno| DatapathError::Mmap(errno.into()))?;
        Ok(Self(Mapping {
            start: start.cast(),
            words,
        }))
    }

    /// Who writes to them while they are read does so a word at a time.
    pub(super) fn words(&self) -> &[AtomicU64] {
        let Mapping { start, words } = self.0;
        // SAFETY: `start` is the page-aligned start of a mapping of `words` words that lives as long as `self`. The kernel
        // writes them as whole words; we only load, which is sound for read-only memory where, as on all 64-bit
        // targets, a relaxed atomic load is a plain one.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), words) }
    }
}

/// Memory that is mapped until this is dropped.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<AtomicU64>,
    words: usize,
}

// SAFETY: the mapping belongs to no thread; who makes references into it sees to it that they may be shared.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// The first `words` of the map `name`.
    pub(super) fn of(
        ebpf: &Ebpf,
        name: &'static str,
        words: usize,
        protection: ProtFlags,
    ) -> Result<Self, DatapathError> {
        let Some(Map::Array(map)) = ebpf.map(name) else {
            return Err(DatapathError::Missing(name));
        };
        Self::of_descriptor(map.fd().as_fd(), name, words, protection)
    }

    /// The first `words` of the map behind `descriptor`, which is called `name`.
    pub(super) fn of_descriptor(
        descriptor: BorrowedFd<'_>,
        name: &'static str,
        words: usize,
        protection: ProtFlags,
    ) -> Result<Self, DatapathError> {
        let length = Self::length(name, words)?;
        let flags = MapFlags::MAP_SHARED | MapFlags::MAP_POPULATE;
        // SAFETY: a new mapping, at an address of the kernel's choice; nothing else refers to it.
        let start = unsafe { mmap(None, length, protection, flags, descriptor, 0) }
            .map_err(|errno| DatapathError::Mmap(errno.into()))?;
        Ok(Self {
            start: start.cast(),
            words,
        })
    }

    fn length(name: &'static str, words: usize) -> Result<NonZeroUsize, DatapathError> {
        NonZeroUsize::new(words * size_of::<u64>()).ok_or(DatapathError::Missing(name))
    }

    /// Where it starts: at a page's start, and readable (writable, if it was made so) for the words that it was made with.
    pub(super) fn start(&self) -> NonNull<AtomicU64> {
        self.start
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: start and length are those of `mmap`, and no reference outlives `self`.
        let unmapped = unsafe { munmap(self.start.cast(), self.words * size_of::<u64>()) };
        debug_assert!(unmapped.is_ok(), "munmap of a mapping of our own");
    }
}
