//! Tests that need more than every machine has: skipped aloud, or failed where nothing may be skipped.

use std::{
    env,
    error::Error,
    io::{Write as _, stderr},
};

/// What a test needs, or `None` after saying on stderr that `what` is skipped and why.
///
/// # Panics
///
/// When `ANYCAST_PROBE_REQUIRE_ALL=1`, as `cargo xtask test` sets it.
pub fn prerequisite<T, E: Error>(what: &str, needed: Result<T, E>) -> Option<T> {
    let error = match needed {
        Ok(needed) => return Some(needed),
        Err(error) => error,
    };
    let mut why = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        why = format!("{why}: {error}");
        cause = error.source();
    }
    let required = env::var_os("ANYCAST_PROBE_REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(!required, "{what}: required, but {why}");
    // Not `eprintln!`, which the test harness keeps to itself.
    let _ = writeln!(stderr(), "SKIPPED: {what}: {why}");
    None
}
