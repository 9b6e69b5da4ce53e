//! `replay`: what a daemon would have done with a recording, or what its programs count of a capture.

use std::io::{self, BufWriter, Read, Write};

use anyhow::Result;
use clap::{CommandFactory as _, error::ErrorKind as Usage};

use super::{replay_config, told_unless_gone};
use crate::{
    cli::{Cli, ReplayArgs},
    config::Config,
    progress::Progress,
    recording::{Input, Kind, Recording, Replay},
    replay as capture,
};

/// Replays a file, which kind of recording it is shows in how it starts. An error when it is broken; what is decided is none.
pub fn replay(args: &ReplayArgs) -> Result<()> {
    let ReplayArgs { file, config, json } = args;
    let input = Input::open(file)?;
    let mut stdout = BufWriter::new(io::stdout().lock());
    let told = match input.kind {
        Kind::Samples => {
            let config = replay_config(config.as_deref())?;
            let mut recording = Recording::new(file, input.reader);
            samples(&mut recording, input.length, &config, *json, &mut stdout)
        }
        Kind::Capture => {
            let Some(config) = config else {
                let text = "a capture needs --config <CONFIG>, which says what services there are";
                Cli::command().error(Usage::MissingRequiredArgument, text).exit();
            };
            let outcome = capture::run(file, input.reader, input.length, &Config::load(config)?)?;
            let written = if *json {
                writeln!(stdout, "{}", outcome.to_json())
            } else {
                writeln!(stdout, "{outcome}")
            };
            written.and_then(|()| stdout.flush()).map_err(Into::into)
        }
    };
    told_unless_gone(told)
}

/// Tells what happens as it does, and at the end what became of it.
fn samples(
    recording: &mut Recording<impl Read>,
    length: u64,
    config: &Config,
    json: bool,
    out: &mut impl Write,
) -> Result<()> {
    let mut replay = Replay::new(config);
    let mut progress = Progress::on_stderr("samples", 1 << 12, length);
    let mut count = 0;
    while recording.replay_next(&mut replay)? {
        count += 1;
        if replay.has_news() {
            progress.clear();
            tell(&mut replay, json, out)?;
        }
        progress.tell(count, recording.bytes_read());
    }
    replay.finish();
    drop(progress);
    tell(&mut replay, json, out)?;
    let summary = replay.summary();
    if json {
        writeln!(out, "{}", summary.to_json())?;
    } else {
        write!(out, "\n{summary}")?;
    }
    Ok(out.flush()?)
}

/// At once: there may be somebody at the other end of a pipe that goes on.
fn tell(replay: &mut Replay, json: bool, out: &mut impl Write) -> io::Result<()> {
    for happened in replay.take_news() {
        let Some(names) = replay.names(happened.link) else {
            continue;
        };
        if json {
            writeln!(out, "{}", happened.to_json(names))?;
        } else {
            writeln!(out, "{}", happened.to_words(names))?;
        }
    }
    out.flush()
}
