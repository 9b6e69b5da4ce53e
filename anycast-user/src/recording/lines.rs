//! The lines of a file, one at a time, in one buffer.

use std::{
    io::{self, ErrorKind, Read},
    ops::Range,
};

use memchr::memchr;

use super::LINE_BYTES_MAX;

/// Bytes that are read at once. A line that is cut by the end of them is moved to the front: one in thousands.
const READ_BYTES: usize = 1 << 18;

/// Reads lines. Takes bounded memory, whatever there is to read.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    buffer: Box<[u8]>,
    /// What is read and not given out yet.
    start: usize,
    end: usize,
    /// The line that was given out last.
    last: Range<usize>,
    /// Lines given out.
    number: u64,
    bytes_read: u64,
    at_end: bool,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A line; [`Lines::last`] has it.
    Line,
    /// One of more than [`LINE_BYTES_MAX`] bytes; there is nothing to be read after it.
    TooLong,
    /// There is none.
    End,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: vec![0; READ_BYTES].into(),
            start: 0,
            end: 0,
            last: 0..0,
            number: 0,
            bytes_read: 0,
            at_end: false,
        }
    }

    /// The number, from 1, of the line that was given out last, or could not be.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// How much has been read, in bytes.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// The line that was read last, without its end.
    pub(super) fn last(&self) -> &[u8] {
        self.buffer.get(self.last.clone()).unwrap_or_default()
    }

    /// Reads the next line; the last one may lack its end.
    pub(super) fn next(&mut self) -> io::Result<Next> {
        self.number += 1;
        let mut searched = self.start;
        loop {
            let unseen = self.buffer.get(searched..self.end).unwrap_or_default();
            if let Some(length) = memchr(b'\n', unseen) {
                let line = self.start..searched + length;
                self.start = line.end + 1;
                return Ok(self.line(line));
            }
            if self.at_end && self.start < self.end {
                let line = self.start..self.end;
                self.start = self.end;
                return Ok(self.line(line));
            }
            if self.at_end {
                return Ok(Next::End);
            }
            if self.end - self.start > LINE_BYTES_MAX + 1 {
                return Ok(Next::TooLong);
            }
            searched = self.end - self.start;
            self.fill()?;
        }
    }

    fn line(&mut self, line: Range<usize>) -> Next {
        self.last = line;
        if self.last().ends_with(b"\r") {
            self.last.end -= 1;
        }
        if self.last.len() > LINE_BYTES_MAX {
            Next::TooLong
        } else {
            Next::Line
        }
    }

    /// Moves what is there to the front and reads on behind it.
    fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        loop {
            match self.reader.read(room) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(bytes) => {
                    self.end += bytes;
                    self.bytes_read += bytes as u64;
                    self.at_end = bytes == 0;
                    return Ok(());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives out what it has in pieces of `at_once` bytes.
    struct Pieces<'a> {
        bytes: &'a [u8],
        at_once: usize,
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            let length = self.at_once.min(room.len());
            self.bytes.take(length as u64).read(room).inspect(|&read| {
                self.bytes = &self.bytes[read..];
            })
        }
    }

    fn lines(bytes: &[u8], at_once: usize) -> Vec<Option<Vec<u8>>> {
        let mut lines = Lines::new(Pieces { bytes, at_once });
        let mut found = Vec::new();
        loop {
            match lines.next().unwrap() {
                Next::Line => found.push(Some(lines.last().to_vec())),
                Next::TooLong => {
                    found.push(None);
                    return found;
                }
                Next::End => return found,
            }
        }
    }

    #[test]
    fn every_end_of_a_line_is_one_however_the_bytes_come() {
        let some = |text: &str| Some(text.as_bytes().to_vec());
        for at_once in [1, 2, 3, 7, READ_BYTES] {
            let found = lines(b"a\r\n\nbc\nd", at_once);
            assert_eq!(found, [some("a"), some(""), some("bc"), some("d")], "{at_once}");
            assert_eq!(lines(b"", at_once), []);
            assert_eq!(lines(b"a\n", at_once), [some("a")]);
        }
    }

    #[test]
    fn lines_of_many_buffers_are_whole() {
        let text: Vec<String> = (0..100_000)
            .map(|number| format!("{number:>0$}", number % 40))
            .collect();
        let bytes = text.join("\n");
        let found = lines(bytes.as_bytes(), READ_BYTES);
        assert_eq!(found.len(), text.len());
        assert!(
            found
                .iter()
                .zip(&text)
                .all(|(found, text)| found.as_deref() == Some(text.as_bytes()))
        );
    }

    #[test]
    fn a_line_without_an_end_takes_no_more_memory_than_the_longest() {
        for at_once in [1000, READ_BYTES] {
            let longest = vec![b'x'; LINE_BYTES_MAX];
            assert_eq!(lines(&longest, at_once), [Some(longest.clone())]);
            let with_end = [&longest[..], b"\r\n"].concat();
            assert_eq!(lines(&with_end, at_once), [Some(longest.clone())]);
            let too_long = vec![b'x'; 10 * READ_BYTES];
            assert_eq!(lines(&too_long, at_once), [None]);
            assert_eq!(lines(&too_long[..=LINE_BYTES_MAX], at_once), [None]);
        }
    }
}
