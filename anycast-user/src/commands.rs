//! Commands beside `run`: what is attached, and taking it away; recordings.

mod explain;
mod record;
mod replay;

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    path::Path,
};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::{
    cli::{AttachStatusArgs, CleanupArgs},
    config::{Config, ConfigError, PinPlace},
    datapath::{
        Attachment, Cleaned, Detached, Instance, PinnedInstance, PinsError, ProgramSummary, Which, cleanup as clean,
        inventory,
    },
    net::LinkIndex,
};

pub use self::{explain::explain, record::record, replay::replay};

/// Prints what is pinned and attached, by all instances.
pub fn attach_status(args: &AttachStatusArgs) -> Result<()> {
    let config = args.config.as_deref().map(Config::load).transpose()?;
    let found = match bpffs(&place(args.pins.as_ref(), config.as_ref())) {
        Some(bpffs) => or_nothing(inventory(bpffs))?,
        None => Vec::new(),
    };
    print(args.json, &json!({ "instances": found }), || {
        if found.is_empty() {
            return "nothing is pinned\n".to_owned();
        }
        found
            .iter()
            .fold(String::new(), |text, instance| text + &status_words(instance))
    })
}

/// Takes away what is asked for, and prints what that was. An error when anything is left.
pub fn cleanup(args: &CleanupArgs) -> Result<()> {
    let config = args.config.as_deref().map(Config::load).transpose()?;
    let first_link = config.as_ref().and_then(|config| config.links.first());
    let link = args.link.as_ref().or(first_link.map(|link| &link.name));
    let which = match link {
        Some(link) => Which::One(Instance::here(link).map_err(PinsError::Namespace)?),
        None => Which::All,
    };
    let cleaned = match bpffs(&place(args.pins.as_ref(), config.as_ref())) {
        Some(bpffs) => or_nothing(clean(bpffs, &which))?,
        None => Vec::new(),
    };
    print(args.json, &json!({ "cleaned": cleaned }), || {
        if cleaned.is_empty() {
            return "nothing was pinned\n".to_owned();
        }
        cleaned
            .iter()
            .fold(String::new(), |text, cleaned| text + &cleaned_words(cleaned))
    })?;
    let left: Vec<&str> = cleaned.iter().filter_map(|cleaned| cleaned.error.as_deref()).collect();
    if !left.is_empty() {
        bail!("{}", left.join("; "));
    }
    Ok(())
}

/// The configuration that a recording of samples is replayed with; every default when there is none.
fn replay_config(file: Option<&Path>) -> Result<Config, ConfigError> {
    match file {
        Some(file) => Config::load_for_recording(file),
        None => Config::parse_for_recording("", Path::new("")),
    }
}

/// What was told, or that whoever reads it has seen enough, as `head` has.
fn told_unless_gone(told: Result<()>) -> Result<()> {
    let kind = |error: &anyhow::Error| error.downcast_ref().map(io::Error::kind);
    match told {
        Err(error) if kind(&error) == Some(io::ErrorKind::BrokenPipe) => Ok(()),
        told => told,
    }
}

/// The place that was asked for, or that of the configuration, or the usual one.
fn place(asked: Option<&PinPlace>, config: Option<&Config>) -> PinPlace {
    let configured = config.map(|config| &config.pins);
    asked.or(configured).cloned().unwrap_or_default()
}

/// Where to look. `pins = "off"` is nowhere.
fn bpffs(place: &PinPlace) -> Option<&Path> {
    match place {
        PinPlace::Off => None,
        PinPlace::Bpffs(path) => Some(path),
    }
}

/// Where no BPF file system is, nothing is pinned: said, but no error.
fn or_nothing<T>(found: Result<Vec<T>, PinsError>) -> Result<Vec<T>, PinsError> {
    match found {
        Err(error @ PinsError::NotBpffs(_)) => {
            tracing::warn!("{error}");
            Ok(Vec::new())
        }
        found => found,
    }
}

fn print(json: bool, value: &Value, words: impl FnOnce() -> String) -> Result<()> {
    let text = if json { format!("{value}\n") } else { words() };
    match io::stdout().write_all(text.as_bytes()) {
        // A reader that has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

fn status_words(instance: &PinnedInstance) -> String {
    let PinnedInstance {
        instance,
        here,
        layout,
        usable,
        daemon,
        path,
        attachments,
    } = instance;
    let version = if *usable {
        ""
    } else {
        " (of another version: `anycast-probe cleanup --all` removes it)"
    };
    let user = daemon.map_or_else(
        || "no daemon uses it".to_owned(),
        |pid| format!("used by process {pid}"),
    );
    let namespace = if *here { "" } else { ", in another network namespace" };
    let path = path.display();
    let mut text = format!("{instance}: layout {layout}{version}, {user}{namespace}, in {path}\n");
    for Attachment {
        uplink,
        interface,
        direction,
        hook,
        program,
        ..
    } in attachments
    {
        let uplink = interface.map_or_else(
            || "an interface that is gone".to_owned(),
            |index| interface_words(uplink.as_deref(), index),
        );
        let ProgramSummary { id, name, tag } = program;
        let [name, tag] = [name, tag].map(|text| text.as_deref().unwrap_or("?"));
        let _ = writeln!(text, "  {uplink}: {direction} by {hook}, program {id} {name} tag {tag}");
    }
    if attachments.is_empty() {
        text += "  no program is attached\n";
    }
    text
}

fn cleaned_words(cleaned: &Cleaned) -> String {
    let Cleaned {
        instance,
        detached,
        unpinned,
        clsact_removed,
        error,
    } = cleaned;
    let mut text = String::new();
    for Detached {
        uplink,
        interface,
        hook,
    } in detached
    {
        let uplink = interface_words(uplink.as_deref(), *interface);
        let _ = writeln!(text, "{instance}: detached from {uplink}: {}", hook.name());
    }
    for index in clsact_removed {
        let _ = writeln!(text, "{instance}: removed the clsact qdisc of link {index}");
    }
    if !unpinned.is_empty() {
        let _ = writeln!(
            text,
            "{instance}: removed {} maps with what they had counted",
            unpinned.len()
        );
    }
    if error.is_none() {
        let _ = writeln!(text, "{instance}: nothing is left");
    }
    text
}

fn interface_words(name: Option<&str>, index: LinkIndex) -> String {
    name.map_or_else(|| format!("link {index}"), |name| format!("{name} (link {index})"))
}
