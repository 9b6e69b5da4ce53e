//! What a tick reads, it reads without the kernel: no system call stands between the counters and the daemon.
//!
//! Every system call of the polling thread is turned into a signal (`PR_SET_SYSCALL_USER_DISPATCH`, Linux 5.11), so
//! whatever it is, and however early or late, it would be seen. That needs no privilege.

use std::{
    cell::Cell,
    io,
    sync::atomic::{AtomicU8, Ordering::SeqCst},
};

use anycast_ebpf::classify::Classifier;
use anycast_tests::prerequisite;
use anycast_user::datapath::{Bank, Datapath, LoadSettings, Service};
use rustix::thread::{SysCallUserDispatchFastSwitch, disable_syscall_user_dispatch, enable_syscall_user_dispatch};

thread_local! {
    /// What the kernel looks at when the thread makes a system call.
    static SWITCH: AtomicU8 = const { AtomicU8::new(SysCallUserDispatchFastSwitch::Allow as u8) };
    static SEEN: Cell<bool> = const { Cell::new(false) };
}

/// Instructions in here may make system calls always; there are none.
static NO_INSTRUCTIONS: [u8; 1] = [0];

/// Whether `work` makes a system call; an error where the kernel can't tell.
fn makes_system_call(work: impl FnOnce()) -> io::Result<bool> {
    let note = || {
        // Before the handler returns, which takes a system call.
        SWITCH.with(|switch| switch.store(SysCallUserDispatchFastSwitch::Allow as u8, SeqCst));
        SEEN.set(true);
    };
    // SAFETY: the handler only writes to constants of its thread that need neither set-up nor destruction.
    unsafe { signal_hook::low_level::register(libc::SIGSYS, note) }?;
    SEEN.set(false);
    SWITCH.with(|switch| {
        // SAFETY: the switch lives as long as the thread, and is on for no system call of which somebody wants the result.
        unsafe { enable_syscall_user_dispatch(&NO_INSTRUCTIONS, switch) }?;
        switch.store(SysCallUserDispatchFastSwitch::Block as u8, SeqCst);
        work();
        switch.store(SysCallUserDispatchFastSwitch::Allow as u8, SeqCst);
        // SAFETY: nothing depends on it any more.
        unsafe { disable_syscall_user_dispatch() }
    })?;
    Ok(SEEN.get())
}

/// Reads all that a tick reads, as often as the daemon does in a second.
fn poll(bank: &Bank) {
    for _ in 0..1000 {
        for service in 0..bank.services() {
            std::hint::black_box(bank.counts(service));
            std::hint::black_box(bank.local_answers(service));
        }
    }
}

#[test]
fn a_system_call_would_be_seen() {
    let Some(nothing) = prerequisite("system calls are noticed", makes_system_call(|| {})) else {
        return;
    };
    assert!(!nothing, "where there is none");
    let getpid = || {
        std::hint::black_box(nix::unistd::getpid());
    };
    assert!(makes_system_call(getpid).expect("it worked before"));
    assert!(makes_system_call(getpid).expect("it worked before"), "again");
    assert!(
        !makes_system_call(|| {}).expect("it worked before"),
        "and none after that"
    );
}

#[test]
fn polling_many_services_on_many_processors_makes_no_system_call() {
    let (bank, programs) = Bank::without_programs(256, 128).expect("memory");
    programs.count_everywhere();
    let Some(seen) = prerequisite("system calls of a poll", makes_system_call(|| poll(&bank))) else {
        return;
    };
    assert!(!seen);
    let counts = bank.counts(255).expect("a service");
    assert_eq!((counts.queries, counts.answers), (128, 128), "it read something");
}

#[test]
fn polling_the_kernels_counters_makes_no_system_call() {
    let services: Vec<Service> = (0..64)
        .map(|last| Service::new([192, 0, 2, last], 53, Classifier::DnsUdp))
        .collect();
    let loaded = Datapath::load(&services, &LoadSettings::default());
    let Some(datapath) = prerequisite("polling the kernel's counters", loaded) else {
        return;
    };
    let bank = datapath.bank();
    let Some(seen) = prerequisite("system calls of a poll", makes_system_call(|| poll(&bank))) else {
        return;
    };
    assert!(!seen);
}
