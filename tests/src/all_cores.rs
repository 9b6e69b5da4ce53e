//! All cores for many short jobs.

use std::{
    num::NonZero,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
};

use anyhow::{Result, anyhow};

use crate::interrupt;

/// Does `work` for each of `jobs` on all cores, and gives the results in order. After each, one of the cores calls
/// `progress` with the number of jobs that were begun.
///
/// Fails when the process was interrupted, or a job panicked.
pub fn on_all_cores<Job: Sync, Done: Send>(
    jobs: &[Job],
    work: impl Fn(&Job) -> Done + Sync,
    progress: impl Fn(usize) + Sync,
) -> Result<Vec<Done>> {
    let next = AtomicUsize::new(0);
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let worker = |core: usize| {
        let mut done = Vec::new();
        while interrupt::check().is_ok() {
            let index = next.fetch_add(1, Relaxed);
            let Some(job) = jobs.get(index) else { break };
            done.push((index, work(job)));
            if core == 0 {
                progress(next.load(Relaxed).min(jobs.len()));
            }
        }
        done
    };
    let parts: Result<Vec<_>> = thread::scope(|scope| {
        let worker = &worker;
        let workers: Vec<_> = (0..cores).map(|core| scope.spawn(move || worker(core))).collect();
        let parts = workers.into_iter().map(thread::ScopedJoinHandle::join);
        parts
            .map(|part| part.map_err(|_| anyhow!("a job panicked; it said why above")))
            .collect()
    });
    interrupt::check()?;
    let mut done: Vec<_> = parts?.into_iter().flatten().collect();
    done.sort_by_key(|(index, _)| *index);
    Ok(done.into_iter().map(|(_, done)| done).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_jobs() {
        let jobs: Vec<u32> = (0..1000).collect();
        let doubled = on_all_cores(&jobs, |job| job * 2, |_| {}).unwrap();
        assert_eq!(doubled, (0..1000).map(|job| job * 2).collect::<Vec<_>>());
    }

    #[test]
    fn a_job_that_panics_is_an_error() {
        assert!(on_all_cores(&[1, 0], |job| assert!(*job > 0), |_| {}).is_err());
    }
}
