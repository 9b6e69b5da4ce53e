//! Tests that run whole labs, one after the other.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Keeps the other tests of this process waiting until the value is dropped. Labs don't collide, but they compete for
/// processors, and a plain `cargo test` starts as many tests as there are.
pub fn one_at_a_time() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    // A test that failed while it held the lock has taken its lab down all the same.
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}
