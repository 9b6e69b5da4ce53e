//! Reads a recording, a sample at a time.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use super::{
    LineError, RecordingError, Replay, Sample,
    lines::{Lines, Next},
};
use crate::clock::MonotonicTime;

/// A recording that is being read. Takes bounded memory, however long it and its lines are.
#[derive(Debug)]
pub struct Recording<R> {
    file: PathBuf,
    lines: Lines<R>,
    told_unknown: bool,
}

impl<R: Read> Recording<R> {
    /// Reads from `reader`; `file` is only named in errors.
    pub fn new(file: &Path, reader: R) -> Self {
        Self {
            file: file.to_owned(),
            lines: Lines::new(reader),
            told_unknown: false,
        }
    }

    /// The next sample; `None` at the end. Lines without any text are passed over.
    ///
    /// After an error there is nothing more to be read. The first key that is not known is told in the log.
    pub fn next_sample(&mut self) -> Result<Option<Sample<'_>>, RecordingError> {
        let Self {
            file,
            lines,
            told_unknown,
        } = self;
        loop {
            let next = lines.next().map_err(|source| RecordingError::Read {
                file: file.clone(),
                line: lines.number(),
                source,
            })?;
            match next {
                Next::End => return Ok(None),
                Next::TooLong => return Err(refused(file, lines.number(), LineError::TooLong)),
                Next::Line if lines.last().trim_ascii().is_empty() => {}
                Next::Line => break,
            }
        }
        let number = lines.number();
        let sample = Sample::parse(lines.last()).map_err(|problem| refused(file, number, problem))?;
        if let Some(key) = &sample.unknown
            && !*told_unknown
        {
            *told_unknown = true;
            tracing::warn!(
                "{}:{number}: the key {key:?} means nothing in a sample; it is passed over, here and in other lines",
                file.display()
            );
        }
        Ok(Some(sample))
    }

    /// Hands the next sample to `replay`; false at the end.
    pub fn replay_next(&mut self, replay: &mut Replay) -> Result<bool, RecordingError> {
        self.replay_next_until(replay, MonotonicTime(u64::MAX))
    }

    /// The same for samples up to a time; false at the first one after it.
    pub fn replay_next_until(&mut self, replay: &mut Replay, end: MonotonicTime) -> Result<bool, RecordingError> {
        let Some(sample) = self.next_sample()?.filter(|sample| sample.at <= end) else {
            return Ok(false);
        };
        let taken = replay.take(&sample);
        taken.map_err(|problem| refused(&self.file, self.lines.number(), problem))?;
        Ok(true)
    }

    /// How much has been read, in bytes.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.lines.bytes_read()
    }
}

fn refused(file: &Path, line: u64, problem: LineError) -> RecordingError {
    RecordingError::Line {
        file: file.to_owned(),
        line,
        problem,
    }
}

#[cfg(test)]
mod tests;
