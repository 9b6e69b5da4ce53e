//! Bytes from a file whose lengths are not to be believed.

use std::io::{self, Read};

use super::{CaptureError, MAX_RECORD_BYTES};

/// Reads a record at a time, and knows which packet that is.
#[derive(Debug)]
pub(super) struct Input<R> {
    reader: R,
    /// The record, as far as it has been read.
    record: Vec<u8>,
    /// Where in the file the record starts.
    start: u64,
    /// How much of the file has been read.
    end: u64,
    /// Packets that have been counted.
    packets: u64,
}

impl<R: Read> Input<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            record: Vec::new(),
            start: 0,
            end: 0,
            packets: 0,
        }
    }

    /// The first four bytes of the file. They stay the start of the first record.
    pub(super) fn magic(&mut self) -> Result<[u8; 4], CaptureError> {
        self.extend(4)?;
        match *self.record {
            [] => Err(CaptureError::Empty),
            [a, b, c, d] => Ok([a, b, c, d]),
            _ => {
                let mut magic = [0; 4];
                magic.iter_mut().zip(&self.record).for_each(|(to, from)| *to = *from);
                Err(CaptureError::NotACapture { magic })
            }
        }
    }

    /// Forgets the record: the next one starts here.
    pub(super) fn next_record(&mut self) {
        self.record.clear();
        self.start = self.end;
    }

    /// Reads on until `bytes` bytes of the record are there.
    pub(super) fn fill(&mut self, bytes: u32) -> Result<(), CaptureError> {
        if bytes > MAX_RECORD_BYTES {
            return Err(CaptureError::TooLong {
                packet: self.packet(),
                start: self.start,
                bytes,
            });
        }
        self.extend(bytes as usize)?;
        if self.record.len() < bytes as usize {
            return Err(self.truncated());
        }
        Ok(())
    }

    /// As [`Input::fill`], but false when the file ends where the record would start.
    pub(super) fn fill_or_end(&mut self, bytes: u32) -> Result<bool, CaptureError> {
        match self.fill(bytes) {
            Err(CaptureError::Truncated { .. }) if self.record.is_empty() => Ok(false),
            filled => filled.map(|()| true),
        }
    }

    /// Reads on until `bytes` bytes of the record have gone by, keeping none that have not been read already.
    pub(super) fn skip(&mut self, bytes: u32) -> Result<(), CaptureError> {
        let left = u64::from(bytes).saturating_sub(self.end - self.start);
        let skipped = io::copy(&mut self.reader.by_ref().take(left), &mut io::sink());
        let skipped = skipped.map_err(|source| self.unreadable(source))?;
        self.end += skipped;
        if skipped < left {
            return Err(self.truncated());
        }
        Ok(())
    }

    /// What has been read of the record.
    pub(super) fn record(&self) -> &[u8] {
        &self.record
    }

    /// How much of the file has been read.
    pub(super) fn bytes_read(&self) -> u64 {
        self.end
    }

    /// Counts a packet; gives its number, from 1.
    pub(super) fn count_packet(&mut self) -> u64 {
        self.packets += 1;
        self.packets
    }

    /// The number of the packet that comes next.
    pub(super) fn packet(&self) -> u64 {
        self.packets + 1
    }

    pub(super) fn malformed(&self, problem: &'static str) -> CaptureError {
        CaptureError::Malformed {
            packet: self.packet(),
            start: self.start,
            problem,
        }
    }

    fn truncated(&self) -> CaptureError {
        CaptureError::Truncated {
            packet: self.packet(),
            end: self.end,
        }
    }

    fn unreadable(&self, source: io::Error) -> CaptureError {
        CaptureError::Read {
            packet: self.packet(),
            source,
        }
    }

    /// Makes the record `bytes` long, or as long as the file lets it be.
    fn extend(&mut self, bytes: usize) -> Result<(), CaptureError> {
        let missing = bytes.saturating_sub(self.record.len()) as u64;
        // It allocates as bytes come, so a length that the file does not live up to costs nothing.
        let read = self.reader.by_ref().take(missing).read_to_end(&mut self.record);
        self.end += read.map_err(|source| self.unreadable(source))? as u64;
        Ok(())
    }
}
