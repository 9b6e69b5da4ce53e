//! Progress of many simulated runs.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use anycast_tests::all_cores;
use anyhow::{Context as _, Result};

/// How often progress is shown.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// Does `work` for each of `jobs` on all cores, and gives the results in order. Says on stderr how far it is.
pub(super) fn on_all_cores<Job: Sync, Done: Send>(
    what: &str,
    jobs: &[Job],
    work: impl Fn(&Job) -> Done + Sync,
) -> Result<Vec<Done>> {
    let all = jobs.len();
    let told = Mutex::new(Instant::now());
    let progress = |begun: usize| {
        if let Ok(mut told) = told.lock()
            && told.elapsed() >= PROGRESS_EVERY
        {
            *told = Instant::now();
            eprint!("\r{what}: {begun} of {all} ");
        }
    };
    let done = all_cores::on_all_cores(jobs, work, progress).with_context(|| what.to_owned());
    eprintln!("\r{what}: {all} of {all} ");
    done
}
