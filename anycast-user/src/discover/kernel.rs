//! Whether the kernel is a realtime one.

use std::fs;

/// Holds `1` on realtime kernels that have it.
const FLAG: &str = "/sys/kernel/realtime";
/// What `uname -v` prints.
const VERSION: &str = "/proc/sys/kernel/version";

/// Whether the kernel was built with `PREEMPT_RT`. There, what counts packets can be preempted by another that counts in
/// the same place, and counters have to be atomic.
#[must_use]
pub fn is_realtime_kernel() -> bool {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    is_realtime(&read(FLAG), &read(VERSION))
}

fn is_realtime(flag: &str, version: &str) -> bool {
    flag.trim() == "1"
        || ["PREEMPT_RT", "PREEMPT RT", "PREEMPT_{RT"]
            .iter()
            .any(|name| version.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn realtime_kernels_say_so() {
        assert!(is_realtime("1\n", ""));
        for version in [
            "#1 SMP PREEMPT_RT Debian 6.1.90-1 (2024-05-03)\n",
            "#1 SMP PREEMPT RT Mon Jan 1\n",
            "#1 SMP PREEMPT_{RT,LAZY} Mon Jan 1\n",
        ] {
            assert!(is_realtime("", version), "{version}");
        }
        for version in ["#1 SMP PREEMPT_DYNAMIC @0\n", "#1 SMP PREEMPT Mon Jan 1\n", ""] {
            assert!(!is_realtime("0\n", version) && !is_realtime("", version), "{version}");
        }
    }
}
