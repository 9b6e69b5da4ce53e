//! One line for whatever is wrong with the file: where, what, and what to do about it.

use std::fmt::{self, Write as _};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Why there is no configuration. Its text is one line, whatever is in the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read as text.
    #[error("{}: {cause}; name a readable UTF-8 file of at most 1 MiB", OneLine(&.file.to_string_lossy()))]
    Read {
        /// The file, as it was named.
        file: PathBuf,
        /// What the kernel said. It is part of the text, hence no `source`.
        cause: io::Error,
    },
    /// The file was read and refused: `FILE:LINE:COLUMN: what is wrong; what to do`.
    #[error(
        "{}:{line}:{column}: {}; {}",
        OneLine(&.file.to_string_lossy()),
        OneLine(.problem),
        OneLine(.advice)
    )]
    Invalid {
        /// The file, as it was named.
        file: PathBuf,
        /// Line of the value or key, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What is wrong.
        problem: String,
        /// What to do about it.
        advice: String,
    },
}

/// A problem at a range of bytes of the text.
#[derive(Debug)]
pub(super) struct Problem {
    span: Range<usize>,
    what: String,
    advice: String,
}

impl Problem {
    pub(super) fn new(span: Range<usize>, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            span,
            what: what.into(),
            advice: advice.into(),
        }
    }

    /// A problem told as an error of this crate's habit: `what is wrong; what to do`.
    pub(super) fn from_error(span: Range<usize>, error: &impl fmt::Display) -> Self {
        let (what, advice) = translate(&error.to_string());
        Self { span, what, advice }
    }

    pub(super) fn from_toml(error: &toml::de::Error) -> Self {
        let (what, advice) = translate(error.message());
        Self {
            span: error.span().unwrap_or_default(),
            what,
            advice,
        }
    }

    pub(super) fn at(self, text: &str, file: &Path) -> ConfigError {
        let (line, column) = position(text, self.span.start);
        ConfigError::Invalid {
            file: file.to_owned(),
            line,
            column,
            problem: self.what,
            advice: self.advice,
        }
    }
}

/// Line and column, both from 1, of a byte offset; an offset past the end is the end.
fn position(text: &str, offset: usize) -> (usize, usize) {
    text.char_indices()
        .take_while(|(index, _)| *index < offset)
        .fold((1, 1), |(line, column), (_, character)| match character {
            '\n' => (line + 1, 1),
            _ => (line, column + 1),
        })
}

/// Turns a message of serde or the TOML parser into a problem and an advice.
///
/// serde gives its messages no structure, but has kept their wording; a message that is not recognised
/// passes through as it is.
fn translate(message: &str) -> (String, String) {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let named = quoted.next().unwrap_or_default();
    let known: Vec<&str> = quoted.collect();
    if message.starts_with("unknown field") {
        return (
            format!("unknown key `{named}`"),
            suggestion(named, &known, "remove it; keys here are"),
        );
    }
    if message.starts_with("unknown variant") {
        return (
            format!("`{named}` is not a value of this key"),
            suggestion(named, &known, "use"),
        );
    }
    if message.starts_with("missing field") {
        return (
            format!("the key `{named}` is missing in this table"),
            format!("add `{named} = …`"),
        );
    }
    if let Some((what, advice)) = message.split_once("; ") {
        return (what.into(), advice.into());
    }
    let advice = if message.contains("expected a sequence") {
        "write a list as [\"…\"], and the tables `link` and `link.service` with double brackets: [[link]]"
    } else if message.contains("duplicate") {
        "remove one of the two"
    } else if message.starts_with("invalid ") {
        "write it as docs/configuration.md shows"
    } else {
        "correct the TOML here"
    };
    (message.trim().into(), advice.into())
}

/// The nearest of the names that are valid here, or all of them when none is near.
fn suggestion(written: &str, known: &[&str], otherwise: &str) -> String {
    let near = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(written, name), name))
        .filter(|(distance, name)| *distance <= name.len().div_ceil(3))
        .min();
    match near {
        Some((_, name)) => format!("did you mean `{name}`?"),
        None => format!("{otherwise} `{}`", known.join("`, `")),
    }
}

/// Text on one line: names in it come from the file and may hold anything.
struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| {
            if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') {
                write!(f, "{}", character.escape_default())
            } else {
                f.write_char(character)
            }
        })
    }
}
