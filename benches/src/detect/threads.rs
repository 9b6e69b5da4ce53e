//! All cores for many short jobs.

use std::{
    num::NonZero,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use anycast_tests::interrupt;
use anyhow::{Result, anyhow};

/// How often progress is shown.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// Does `work` for each of `jobs` on all cores, and gives the results in order. Says on stderr how far it is.
pub(super) fn on_all_cores<Job: Sync, Done: Send>(
    what: &str,
    jobs: &[Job],
    work: impl Fn(&Job) -> Done + Sync,
) -> Result<Vec<Done>> {
    let next = AtomicUsize::new(0);
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let parts = thread::scope(|scope| {
        let workers: Vec<_> = (0..cores)
            .map(|core| {
                let (next, work) = (&next, &work);
                scope.spawn(move || {
                    let mut done = Vec::new();
                    let mut told = Instant::now();
                    loop {
                        let index = next.fetch_add(1, Relaxed);
                        let Some(job) = jobs.get(index) else { break };
                        if interrupt::check().is_err() {
                            break;
                        }
                        done.push((index, work(job)));
                        if core == 0 && told.elapsed() >= PROGRESS_EVERY {
                            told = Instant::now();
                            eprint!("\r{what}: {} of {} ", next.load(Relaxed).min(jobs.len()), jobs.len());
                        }
                    }
                    done
                })
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().map_err(|_| anyhow!("{what}: a run panicked")))
            .collect::<Result<Vec<_>>>()
    });
    eprintln!("\r{what}: {} of {} ", jobs.len(), jobs.len());
    interrupt::check()?;
    let mut done: Vec<_> = parts?.into_iter().flatten().collect();
    done.sort_by_key(|(index, _)| *index);
    Ok(done.into_iter().map(|(_, done)| done).collect())
}
