//! The maps, and the only code that touches their memory.

use anycast_ebpf::layout::{Counters, Slot, Table, UnclassifiedCounters};
use aya_ebpf::{bindings::BPF_F_MMAPABLE, helpers::bpf_get_smp_processor_id, macros::map, maps::Array};

/// The service table, written by user space before a program is attached.
#[map]
static TABLE: Array<Table> = Array::with_max_entries(1, 0);

/// Counters by service and CPU; user space sets the number of entries and maps the memory.
#[map]
static BANK: Array<Counters> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Unclassified packets by CPU; user space sets the number of entries and maps the memory.
#[map]
static UNCLASSIFIED: Array<UnclassifiedCounters> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[inline(always)]
pub(crate) fn table() -> Option<&'static Table> {
    TABLE.get(0)
}

#[inline(always)]
fn cpu() -> u32 {
    // SAFETY: the helper takes nothing and is allowed in every type of program.
    unsafe { bpf_get_smp_processor_id() }
}

/// The counters of a service on this CPU.
#[inline(always)]
pub(crate) fn counters(slot: &Slot) -> Option<&'static mut Counters> {
    let counters = BANK.get_ptr_mut(slot.bank.wrapping_add(cpu()))?;
    // SAFETY: the map's memory lives as long as the program. The element belongs to this CPU, on which bottom halves
    // stay disabled while a program of ours runs (on PREEMPT_RT that takes PREEMPT_RT_NEEDS_BH_LOCK), so no other
    // program holds a reference to it; user space only reads, by loads of whole words.
    Some(unsafe { &mut *counters })
}

/// The counters of unclassified packets on this CPU.
#[inline(always)]
pub(crate) fn unclassified() -> Option<&'static mut UnclassifiedCounters> {
    let counters = UNCLASSIFIED.get_ptr_mut(cpu())?;
    // SAFETY: as for `counters`.
    Some(unsafe { &mut *counters })
}
