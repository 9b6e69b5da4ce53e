//! What types can't say: bounds, names, addresses and what must not be there twice.

mod links;

use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use anycast_ebpf::packet::Tunnels;
use toml::Spanned;

use super::duration::Written;
use super::encapsulation::{self, Item};
use super::error::Problem;
use super::file::ConfigFile;
use super::floor::WrittenFloor;
use super::{Arming, Config, Detection, Return};
use crate::event::{AlertKind, AlertSet};
use crate::policy::FloorSettings;

type Checked<T> = Result<T, Problem>;

/// Longest interface name in bytes: the kernel's `IFNAMSIZ` less the closing zero.
const INTERFACE_NAME_BYTES: usize = 15;

/// Names that must not be there twice.
struct Once<T>(HashSet<T>);

impl<T: Hash + Eq> Once<T> {
    fn new() -> Self {
        Self(HashSet::new())
    }

    fn take(&mut self, value: T, span: &Range<usize>, what: impl FnOnce() -> String) -> Checked<()> {
        if self.0.insert(value) {
            Ok(())
        } else {
            Err(Problem::new(span.clone(), what(), "remove one of the two"))
        }
    }
}

pub(super) fn check(file: ConfigFile) -> Checked<Config> {
    if file.links.is_empty() {
        return Err(Problem::new(
            0..0,
            "no [[link]] is configured",
            "add [[link]] with the `name` of the dummy link that holds the service addresses",
        ));
    }
    check_without_links(file)
}

/// The same, where no link need be named.
pub(super) fn check_without_links(file: ConfigFile) -> Checked<Config> {
    let uplinks = file.uplinks.map(uplinks).transpose()?;
    let encapsulation = or(file.encapsulation, Tunnels::default(), tunnels)?;
    let armed = file.armed.unwrap_or_default();
    let mut names = Once::new();
    let mut endpoints = Once::new();
    let mut links = Vec::with_capacity(file.links.len());
    for table in file.links {
        let span = table.name.span();
        let link = links::link(table, &mut endpoints)?;
        names.take(link.name.clone(), &span, || {
            format!("the link `{}` is configured twice", link.name)
        })?;
        if armed && !link.can_be_armed() {
            return Err(Problem::new(
                span,
                format!("no service of `{}` can be probed, so it can't be armed", link.name),
                "add its DNS service (`protocol = \"dns-udp\"`), or watch it without `armed = true`",
            ));
        }
        if uplinks.iter().flatten().any(|uplink| *uplink == link.name) {
            return Err(Problem::new(
                span,
                format!("`{}` is both a link and an uplink", link.name),
                "name in `uplinks` the interfaces that queries arrive on, not the dummy link",
            ));
        }
        links.push(link);
    }
    let defaults = Config::without_links();
    Ok(Config {
        armed: file.armed,
        floor: or(file.floor.as_ref(), defaults.floor, |it| {
            floor(it, file.accept_no_floor)
        })?,
        withdraw_also_on: or(file.withdraw_also_on, defaults.withdraw_also_on, alerts)?,
        hook: file.hook.unwrap_or(defaults.hook),
        uplinks,
        encapsulation,
        pins: or(file.pins.as_ref(), defaults.pins, parsed)?,
        arming: Arming {
            answers: or(file.arming.answers.as_ref(), defaults.arming.answers, answers)?,
            time: file.arming.time.map_or(defaults.arming.time, |it| it.0),
        },
        coming_back: Return {
            hold_down: or(
                file.coming_back.hold_down.as_ref(),
                defaults.coming_back.hold_down,
                hold_down,
            )?,
        },
        detection: Detection {
            node_years_between_false_alarms: or(
                file.detection.node_years_between_false_alarms.as_ref(),
                defaults.detection.node_years_between_false_alarms,
                node_years,
            )?,
        },
        metrics: or(file.metrics.listen.as_ref(), defaults.metrics, parsed)?,
        links,
    })
}

/// The checked value where one was written, otherwise the default.
fn or<W, T>(written: Option<W>, default: T, check: impl FnOnce(W) -> Checked<T>) -> Checked<T> {
    written.map_or(Ok(default), check)
}

fn floor(written: &Spanned<WrittenFloor>, accept_no_floor: bool) -> Checked<FloorSettings> {
    let WrittenFloor(floor) = *written.get_ref();
    if floor.least < Config::NO_FLOOR && !accept_no_floor {
        return Err(Problem::new(
            written.span(),
            "without a floor any pause of the server can withdraw its route",
            "add `accept_no_floor = true` if that is what you want, or write \"site\", \"global\", or \"1ms\" or more",
        ));
    }
    Ok(floor)
}

fn alerts(written: Vec<Spanned<String>>) -> Checked<AlertSet> {
    let alert = |name: Spanned<String>| {
        let known = AlertKind::OF_A_LIVING_SERVICE;
        known
            .into_iter()
            .find(|kind| kind.name() == name.get_ref())
            .ok_or_else(|| {
                let names = known.map(AlertKind::name).join("`, `");
                Problem::new(
                    name.span(),
                    format!("`{}` is no alert that can withdraw", name.get_ref()),
                    format!("name some of `{names}`, or remove the key"),
                )
            })
    };
    written.into_iter().map(alert).collect()
}

fn answers(written: &Spanned<u64>) -> Checked<u64> {
    match *written.get_ref() {
        0 => Err(Problem::new(
            written.span(),
            "a service can't be armed before its first answer",
            "write 1 or more: the default is 1000",
        )),
        answers => Ok(answers),
    }
}

fn hold_down(written: &Spanned<Written>) -> Checked<Duration> {
    let span = written.span();
    let Written(hold_down) = *written.get_ref();
    if hold_down.is_zero() || hold_down > Return::MAX_HOLD_DOWN {
        return Err(Problem::new(
            span,
            format!("a hold-down of {hold_down:?} is not above zero and at most 30m"),
            "write another: the default is \"10s\"",
        ));
    }
    Ok(hold_down)
}

fn node_years(written: &Spanned<f64>) -> Checked<f64> {
    let years = *written.get_ref();
    if (0.01..=1e9).contains(&years) {
        Ok(years)
    } else {
        Err(Problem::new(
            written.span(),
            format!("{years} years between false alarms is not between 0.01 and 1e9"),
            "write another number: the default is 10",
        ))
    }
}

/// What says itself what is wrong with a text.
fn parsed<T: FromStr<Err: fmt::Display>>(written: &Spanned<String>) -> Checked<T> {
    written
        .get_ref()
        .parse()
        .map_err(|error| Problem::from_error(written.span(), &error))
}

fn uplinks(written: Spanned<Vec<Spanned<String>>>) -> Checked<Vec<String>> {
    not_empty(&written, "uplinks", "those of the routing table")?;
    let mut once = Once::new();
    written
        .into_inner()
        .into_iter()
        .map(|name| {
            let span = name.span();
            let name = interface(name)?;
            once.take(name.clone(), &span, || format!("the uplink `{name}` is there twice"))?;
            Ok(name)
        })
        .collect()
}

fn tunnels(written: Spanned<Vec<Spanned<String>>>) -> Checked<Tunnels> {
    not_empty(&written, "encapsulation", "none")?;
    let mut once = Once::new();
    let item = |text: Spanned<String>| {
        let item = Item::parse(text.get_ref()).map_err(|what| {
            Problem::new(
                text.span(),
                what,
                "write \"ipip\", or \"gue:6080\" with the port of yours",
            )
        })?;
        once.take(item.kind(), &text.span(), || {
            format!("`{}` is there twice", item.kind())
        })?;
        Ok(item)
    };
    let items = written.into_inner().into_iter().map(item);
    items.collect::<Checked<Vec<_>>>().map(encapsulation::tunnels)
}

fn not_empty<T>(list: &Spanned<Vec<T>>, key: &str, default: &str) -> Checked<()> {
    if list.get_ref().is_empty() {
        return Err(Problem::new(
            list.span(),
            format!("`{key}` is an empty list"),
            format!("name at least one, or remove the key to take {default}"),
        ));
    }
    Ok(())
}

/// The kernel's rule for interface names (`dev_valid_name`), and no control characters.
fn interface(written: Spanned<String>) -> Checked<String> {
    let span = written.span();
    let name = written.into_inner();
    let refused = |what: String| {
        let advice = "write the name as `ip link` shows it";
        Err(Problem::new(span, what, advice))
    };
    if name.is_empty() {
        return refused("the name of the interface is empty".into());
    }
    if name.len() > INTERFACE_NAME_BYTES {
        return refused(format!("{name:?} is longer than the 15 bytes of an interface name"));
    }
    let bad = |c: char| matches!(c, '/' | ':') || c.is_whitespace() || c.is_control();
    if name == "." || name == ".." || name.contains(bad) {
        return refused(format!("{name:?} can't be the name of an interface"));
    }
    Ok(name)
}
