//! `explain`: why a daemon would have acted, or not, at a moment of a recording.

use std::io::{self, BufWriter, Write as _};

use anyhow::{Result, bail};
use serde_json::json;

use super::{replay_config, told_unless_gone};
use crate::{
    cli::ExplainArgs,
    progress::Progress,
    recording::{Explained, Input, Kind, Recording, Replay},
};

/// Replays up to the moment, and prints what the judgement of each service rests on.
pub fn explain(args: &ExplainArgs) -> Result<()> {
    let ExplainArgs {
        file,
        at,
        service,
        config,
        json,
    } = args;
    let config = replay_config(config.as_deref())?;
    let input = Input::open(file)?;
    if input.kind == Kind::Capture {
        bail!(
            "{} is no recording of samples; `anycast-probe record` makes one",
            file.display()
        );
    }
    let mut recording = Recording::new(file, input.reader);
    let mut replay = Replay::new(&config);
    let mut progress = Progress::on_stderr("samples", 1 << 12, input.length);
    let mut count = 0;
    while recording.replay_next_until(&mut replay, *at)? {
        count += 1;
        // What has happened before is not asked for.
        drop(replay.take_news());
        progress.tell(count, recording.bytes_read());
    }
    replay.finish();
    drop(progress);
    let of = |explained: &Explained| service.as_ref().is_none_or(|wanted| *wanted == explained.service);
    let explained: Vec<Explained> = replay.explain().filter(of).collect();
    if explained.is_empty() {
        let what = service
            .as_ref()
            .map_or_else(String::new, |service| format!(" of {service:?}"));
        bail!(
            "{} has no sample{what} until {} ms; `anycast-probe replay` tells its times and services",
            file.display(),
            at.as_millis_f64()
        );
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let told = if *json {
        let services: Vec<_> = explained.iter().map(Explained::to_json).collect();
        writeln!(out, "{}", json!({ "at_ms": at.as_millis_f64(), "services": services }))
    } else {
        explained.iter().try_for_each(|explained| writeln!(out, "{explained}"))
    };
    told_unless_gone(told.and_then(|()| out.flush()).map_err(Into::into))
}
