//! Atomic operations on memory that several CPUs and user space share.
//!
//! The compiler offers none for BPF, although the machine has them from Linux 5.12 on: there each is one instruction, and
//! those that read and write order what stands before and after them. Elsewhere they are those of `core`.

use core::sync::atomic::AtomicU64;

/// Reads, in one piece and without any order.
#[cfg(target_arch = "bpf")]
#[inline(always)]
pub(crate) fn load(number: &AtomicU64) -> u64 {
    // SAFETY: an aligned u64 that the reference keeps valid; BPF loads it by one instruction.
    unsafe { number.as_ptr().read_volatile() }
}

/// Writes, in one piece and without any order.
#[cfg(target_arch = "bpf")]
#[inline(always)]
pub(crate) fn store(number: &AtomicU64, value: u64) {
    // SAFETY: as in `load`.
    unsafe { number.as_ptr().write_volatile(value) }
}

/// Adds, and wraps.
#[cfg(target_arch = "bpf")]
#[inline(always)]
pub fn add(number: &AtomicU64, addend: u64) {
    // SAFETY: an aligned u64 that the reference keeps valid, changed by an atomic instruction.
    unsafe {
        core::arch::asm!(
            "lock *(u64 *)({0} + 0) += {1}",
            in(reg) number.as_ptr(),
            in(reg) addend,
            options(nostack)
        );
    }
}

/// Stores `new` and returns what was there.
#[cfg(target_arch = "bpf")]
#[inline(always)]
pub(crate) fn swap(number: &AtomicU64, new: u64) -> u64 {
    let mut value = new;
    // SAFETY: as in `add`.
    unsafe {
        core::arch::asm!(
            "{1} = xchg_64({0} + 0, {1})",
            in(reg) number.as_ptr(),
            inout(reg) value,
            options(nostack)
        );
    }
    value
}

/// Stores `new` if `expected` is there, and returns whether it was.
#[cfg(target_arch = "bpf")]
#[inline(always)]
pub(crate) fn replace(number: &AtomicU64, expected: u64, new: u64) -> bool {
    let found: u64;
    // SAFETY: as in `add`.
    unsafe {
        core::arch::asm!(
            "r0 = cmpxchg_64({0} + 0, r0, {1})",
            in(reg) number.as_ptr(),
            in(reg) new,
            inout("r0") expected => found,
            options(nostack)
        );
    }
    found == expected
}

#[cfg(not(target_arch = "bpf"))]
mod host {
    use core::sync::atomic::Ordering::{Relaxed, SeqCst};

    use super::AtomicU64;

    /// Reads, in one piece and without any order.
    pub(crate) fn load(number: &AtomicU64) -> u64 {
        number.load(Relaxed)
    }

    /// Writes, in one piece and without any order.
    pub(crate) fn store(number: &AtomicU64, value: u64) {
        number.store(value, Relaxed);
    }

    /// Adds, and wraps.
    pub fn add(number: &AtomicU64, addend: u64) {
        number.fetch_add(addend, Relaxed);
    }

    /// Stores `new` and returns what was there.
    pub(crate) fn swap(number: &AtomicU64, new: u64) -> u64 {
        number.swap(new, SeqCst)
    }

    /// Stores `new` if `expected` is there, and returns whether it was.
    pub(crate) fn replace(number: &AtomicU64, expected: u64, new: u64) -> bool {
        number.compare_exchange(expected, new, SeqCst, SeqCst).is_ok()
    }
}

#[cfg(not(target_arch = "bpf"))]
pub use host::add;
#[cfg(not(target_arch = "bpf"))]
pub(crate) use host::{load, replace, store, swap};
