//! `anycast-lab`: runs the failover scenario. `cargo xtask run` builds and starts it, as root.

use anycast_tests::arguments::LabArguments;
use anycast_tests::binaries::Binaries;
use anycast_tests::interrupt::{self, Interrupted};
use anycast_tests::narrator::Narrator;
use anycast_tests::node::Node;
use anycast_tests::responder;
use anycast_tests::scenario::{Failover, failover};
use anycast_tests::server::ServerKind;
use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use std::io::Write;
use std::process::ExitCode;

#[derive(Parser)]
#[command(version, about, long_about = None)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Stop the nearer node's DNS server and watch the traffic move
    Failover(LabArguments),
    /// Answer DNS queries as a node's server does (the lab starts it where no real server can be had)
    #[command(hide = true)]
    Responder {
        /// The node's name
        node: String,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Failover(arguments) => run(&arguments),
        Command::Responder { node } => respond(&node),
    };
    match result {
        Ok(code) => code,
        // Whatever failed first while all was being taken down: that the user asked for it is what matters.
        Err(_) if interrupt::check().is_err() => {
            say(&Interrupted.to_string());
            ExitCode::from(interrupt::EXIT_CODE as u8)
        }
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Not `eprintln!`, which panics when the terminal has gone away, as on SIGHUP.
fn say(words: &str) {
    _ = writeln!(std::io::stderr(), "{words}");
}

fn run(arguments: &LabArguments) -> Result<ExitCode> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the lab needs root, for network namespaces and BPF; `cargo xtask run` starts it through sudo");
    }
    interrupt::catch().context("can't catch Ctrl-C")?;
    let mut narrator = Narrator::new(arguments.family);
    let options = Failover {
        rate_qps: arguments.rate,
        floor: arguments.floor,
        family: arguments.family,
        duration: arguments.duration,
        server: server(arguments.server),
        fault: arguments.fault,
        binaries: Binaries::find()?,
    };
    let summary = failover(&options, &mut narrator)?;
    narrator.summarise(&summary);
    if arguments.json {
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{}", serde_json::to_string(&summary)?)?;
    }
    Ok(if summary.surprises().is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The server that was asked for, or the built-in one where that doesn't run: better a demonstration with less than none.
fn server(wanted: ServerKind) -> ServerKind {
    if wanted.version().is_some() {
        return wanted;
    }
    say(&format!(
        "there is no {wanted} that runs here: using the built-in responder"
    ));
    ServerKind::Builtin
}

fn respond(node: &str) -> Result<ExitCode> {
    let node = Node::from_name(node.as_bytes()).context("there are only nodes a and b")?;
    responder::serve(node)?;
    Ok(ExitCode::SUCCESS)
}
