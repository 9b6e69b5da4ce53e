//! The lab's display: a line for everything that happens, with its time, and a table at the end.

mod table;
mod words;

use crate::clock::Moment;
use crate::node::Family;
use crate::scenario::Summary;
use crate::timeline::{Observation, Progress, What};
// Writing to a string can't fail, so the results of `write!` are dropped here.
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// Observations reach the display by different ways. Each is held back this long, so that they can be shown in order.
const REORDER_WINDOW: Duration = Duration::from_millis(60);

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Plain,
    Dim,
    Good,
    Bad,
    Strong,
}

impl Look {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Dim => "\x1b[2m",
            Self::Good => "\x1b[32m",
            Self::Bad => "\x1b[31m",
            Self::Strong => "\x1b[1m",
        }
    }
}

/// Writes to standard error what it observes; in colour on a terminal, unless `NO_COLOR` is set.
#[derive(Debug)]
pub struct Narrator {
    colour: bool,
    family: Family,
    started: Moment,
    fault: Option<Moment>,
    held: Vec<Observation>,
}

impl Narrator {
    /// A narrator of a lab whose client queries over `family`.
    #[must_use]
    pub fn new(family: Family) -> Self {
        let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            colour: !forbidden && std::io::stderr().is_terminal(),
            family,
            started: Moment::now(),
            fault: None,
            held: Vec::new(),
        }
    }

    /// Shows the table at the end.
    pub fn summarise(&mut self, summary: &Summary) {
        self.flush(Duration::ZERO);
        let mut table = String::new();
        for (what, value) in table::rows(summary) {
            _ = writeln!(table, "  {what:<36}{value:>12}");
        }
        let surprises = summary.surprises();
        self.print(Look::Strong, &format!("\n{}", table::headline(summary)));
        self.print(Look::Plain, table.trim_end());
        if surprises.is_empty() {
            self.print(Look::Good, "As it should be.");
        }
        for surprise in surprises {
            self.print(Look::Bad, &format!("Not as it should be: {surprise}."));
        }
    }

    fn flush(&mut self, window: Duration) {
        self.held.sort_by_key(|observation| observation.at);
        let now = Moment::now();
        let ready = self
            .held
            .partition_point(|observation| now.since(observation.at) >= window);
        for observation in self.held.drain(..ready).collect::<Vec<_>>() {
            self.show(&observation);
        }
    }

    fn show(&mut self, observation: &Observation) {
        if let What::Fault(_) = observation.what {
            self.fault = Some(observation.at);
        }
        let time = self.time(observation.at);
        for (look, words) in self.words(&observation.what) {
            self.print(look, &format!("{time}  {words}"));
        }
    }

    /// Seconds from the start, and from the fault on the time since then.
    fn time(&self, at: Moment) -> String {
        let since_fault = self.fault.map(|fault| at.ms_since(fault));
        match since_fault {
            None => format!("{:>9.3} s ", at.ms_since(self.started) / 1000.0),
            Some(milliseconds) if milliseconds < 1000.0 => format!("+{milliseconds:>8.2} ms"),
            Some(milliseconds) => format!("+{:>8.3} s ", milliseconds / 1000.0),
        }
    }

    fn print(&self, look: Look, words: &str) {
        let mut stderr = std::io::stderr().lock();
        // A display that has gone away is no reason to stop.
        drop(if self.colour && look != Look::Plain {
            writeln!(stderr, "{}{words}\x1b[0m", look.code())
        } else {
            writeln!(stderr, "{words}")
        });
    }
}

impl Progress for Narrator {
    fn observe(&mut self, observation: &Observation) {
        self.held.push(observation.clone());
    }

    fn tick(&mut self) {
        self.flush(REORDER_WINDOW);
    }
}

impl Drop for Narrator {
    fn drop(&mut self) {
        self.flush(Duration::ZERO);
    }
}
