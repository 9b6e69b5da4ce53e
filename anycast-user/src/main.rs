//! `anycast-probe`: see the library for what it does.

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use anycast_user::{
    cli::{Cli, Command, RunArgs},
    commands,
    config::{Config, ConfigError},
    daemon::{self, Telling},
};
use anyhow::Result;
use clap::Parser as _;
use tracing_appender::non_blocking;
use tracing_subscriber::EnvFilter;

/// `EX_CONFIG` of sysexits.h.
const EXIT_BAD_CONFIG: u8 = 78;

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    // Threads that must not wait write to the log too. The guard writes out what is left at the end.
    let (log, _written_out) = non_blocking(io::stderr());
    let filter = EnvFilter::try_from_env("ANYCAST_PROBE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let coloured = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(log)
        .log_internal_errors(false)
        .with_ansi(coloured)
        .with_target(false)
        .init();
    let result = match command {
        Command::Run(args) => run(&args),
        Command::Replay(args) => commands::replay(&args),
        Command::Explain(args) => commands::explain(&args),
        Command::Record(args) => commands::record(&args),
        Command::AttachStatus(args) => commands::attach_status(&args),
        Command::Cleanup(args) => commands::cleanup(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, with the causes.
            let _ = writeln!(io::stderr(), "anycast-probe: {error:#}");
            if error.is::<ConfigError>() {
                ExitCode::from(EXIT_BAD_CONFIG)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

fn run(args: &RunArgs) -> Result<()> {
    let RunArgs {
        link,
        config,
        arm,
        floor,
        report_interval,
        metrics,
        pins,
        json,
    } = args;
    let mut effective = match (config, link) {
        (Some(file), _) => Config::load(file)?,
        (None, Some(link)) => Config::for_link(link),
        (None, None) => anyhow::bail!("name a link (--link) or a configuration file (--config)"),
    };
    if *arm {
        effective.armed = Some(true);
    }
    if let Some(floor) = floor {
        effective.floor = *floor;
    }
    if let Some(metrics) = metrics {
        effective.metrics = *metrics;
    }
    if let Some(pins) = pins {
        effective.pins = pins.clone();
    }
    let (json, _written_out) = json.then(|| non_blocking(io::stdout())).unzip();
    daemon::run(
        &effective,
        &Telling {
            json,
            report_interval: *report_interval,
        },
    )
}
