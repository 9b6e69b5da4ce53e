//! The file that is written: whole lines only, however it ends.

use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use super::RecorderError;
use crate::clock::MonotonicTime;

/// Written when there is so much …
const BUFFER_BYTES: usize = 1 << 16;
/// … or after so long, for who reads along.
const FLUSH_INTERVAL: Duration = Duration::from_millis(100);

/// A file of lines.
#[derive(Debug)]
pub(super) struct Output {
    path: PathBuf,
    file: File,
    /// Whole lines that are not written yet.
    lines: Vec<u8>,
    written: u64,
    flushed_at: MonotonicTime,
}

impl Output {
    /// Makes the file. One that is there is written over only if `force`.
    pub(super) fn create(path: &Path, force: bool, now: MonotonicTime) -> Result<Self, RecorderError> {
        let mut options = OpenOptions::new();
        options.write(true).create(true);
        if force {
            options.truncate(true);
        } else {
            options.create_new(true);
        }
        let file = options.open(path).map_err(|source| match source.kind() {
            ErrorKind::AlreadyExists => RecorderError::Exists(path.to_owned()),
            _ => RecorderError::Create {
                file: path.to_owned(),
                source,
            },
        })?;
        Ok(Self {
            path: path.to_owned(),
            file,
            lines: Vec::with_capacity(2 * BUFFER_BYTES),
            written: 0,
            flushed_at: now,
        })
    }

    /// Where the next whole lines are to be appended, before [`Output::tick`].
    pub(super) fn lines(&mut self) -> &mut Vec<u8> {
        &mut self.lines
    }

    /// Writes what there is, if it is time.
    pub(super) fn tick(&mut self, now: MonotonicTime) -> Result<(), RecorderError> {
        if self.lines.len() >= BUFFER_BYTES || now.since(self.flushed_at) >= FLUSH_INTERVAL {
            self.flushed_at = now;
            return self.flush();
        }
        Ok(())
    }

    /// Writes all there is. What an error cuts in the middle of a line is taken away again.
    pub(super) fn flush(&mut self) -> Result<(), RecorderError> {
        let mut left = &*self.lines;
        let mut result = Ok(());
        while !left.is_empty() {
            match self.file.write(left) {
                Ok(0) => result = Err(ErrorKind::WriteZero.into()),
                Ok(bytes) => left = left.get(bytes..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => result = Err(error),
            }
            if result.is_err() {
                break;
            }
        }
        let done = self.lines.len() - left.len();
        let whole = self.lines.get(..done).unwrap_or_default();
        let whole = whole.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        self.written += whole as u64;
        if whole < done {
            // Of a pipe there is nothing to be taken back.
            let _ = self.file.set_len(self.written);
        }
        self.lines.clear();
        result.map_err(|source| RecorderError::Write {
            file: self.path.clone(),
            source,
            bytes: self.written,
        })
    }

    /// Bytes of whole lines that are in the file.
    pub(super) fn written(&self) -> u64 {
        self.written
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const START: MonotonicTime = MonotonicTime(0);

    #[test]
    fn an_existing_file_is_left_alone_unless_told_otherwise() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("out.jsonl");
        fs::write(&path, "before").unwrap();
        let error = Output::create(&path, false, START).unwrap_err().to_string();
        assert!(error.contains("--force"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"before");
        let mut output = Output::create(&path, true, START).unwrap();
        output.lines().extend_from_slice(b"after\n");
        output.flush().unwrap();
        assert_eq!((fs::read(&path).unwrap(), output.written()), (b"after\n".to_vec(), 6));
    }

    #[test]
    fn lines_are_written_when_there_are_many_or_after_a_while() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("out.jsonl");
        let mut output = Output::create(&path, false, START).unwrap();
        let length = || fs::metadata(&path).unwrap().len();
        output.lines().extend_from_slice(b"one\n");
        output.tick(START).unwrap();
        assert_eq!(length(), 0);
        output.tick(START.after(FLUSH_INTERVAL)).unwrap();
        assert_eq!(length(), 4);
        output
            .lines()
            .extend(std::iter::repeat_n(b"x\n", BUFFER_BYTES).flatten());
        output.tick(START.after(FLUSH_INTERVAL)).unwrap();
        assert_eq!(length(), 4 + 2 * BUFFER_BYTES as u64);
    }

    #[test]
    fn a_full_disk_is_told_with_what_was_written() {
        let mut output = Output::create(Path::new("/dev/full"), true, START).unwrap();
        output.lines().extend_from_slice(b"line\n");
        let error = output.flush().unwrap_err().to_string();
        assert!(
            error.contains("/dev/full can't be written any further") && error.contains("0 bytes"),
            "{error}"
        );
    }
}
