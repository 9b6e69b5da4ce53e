//! What a file is, by how it starts.

use std::{
    fs::File,
    io::{self, Cursor, Read},
    os::fd::AsFd as _,
    path::Path,
};

use super::RecordingError;

/// Bytes that tell: the magic number of a capture.
const HEAD_BYTES: u64 = 4;
/// pcap, in both byte orders, with microseconds or nanoseconds; and pcapng.
const CAPTURES: [[u8; 4]; 5] = [
    [0xa1, 0xb2, 0xc3, 0xd4],
    [0xd4, 0xc3, 0xb2, 0xa1],
    [0xa1, 0xb2, 0x3c, 0x4d],
    [0x4d, 0x3c, 0xb2, 0xa1],
    [0x0a, 0x0d, 0x0d, 0x0a],
];

/// What can be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Packets: a pcap or pcapng file, or something that is neither that nor text.
    Capture,
    /// Samples: lines of text.
    Samples,
}

/// A file that is open, from its first byte on.
#[derive(Debug)]
pub struct Input {
    /// What it holds.
    pub kind: Kind,
    /// Its length in bytes; 0 where that isn't known, as of a pipe.
    pub length: u64,
    /// What it holds.
    pub reader: io::Chain<Cursor<Vec<u8>>, File>,
}

impl Input {
    /// Opens `file` and looks at its first bytes, which a pipe gives only once.
    pub fn open(file: &Path) -> Result<Self, RecordingError> {
        let opened = |source| RecordingError::Open {
            file: file.to_owned(),
            source,
        };
        let mut input = open(file).map_err(opened)?;
        let length = input.metadata().map_err(opened)?.len();
        let mut head = Vec::new();
        input.by_ref().take(HEAD_BYTES).read_to_end(&mut head).map_err(opened)?;
        Ok(Self {
            kind: Kind::of(&head),
            length,
            reader: Cursor::new(head).chain(input),
        })
    }
}

/// Opens `file`. What is there already is not opened anew: a pipe may be somebody else's.
fn open(file: &Path) -> io::Result<File> {
    if file == Path::new("/dev/stdin") {
        return io::stdin().as_fd().try_clone_to_owned().map(File::from);
    }
    File::open(file)
}

impl Kind {
    /// By the first four bytes, or all where there are fewer. An empty file is a recording in which nothing happens.
    #[must_use]
    pub fn of(head: &[u8]) -> Self {
        let is_text = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
        if CAPTURES.iter().any(|magic| head == magic) || !head.iter().all(is_text) {
            Self::Capture
        } else {
            Self::Samples
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captures_are_known_by_their_magic_number() {
        for magic in CAPTURES {
            assert_eq!(Kind::of(&magic), Kind::Capture);
        }
        assert_eq!(
            Kind::of(&[0x1f, 0x8b, 8, 0]),
            Kind::Capture,
            "which says that it is compressed"
        );
        for text in ["{\"t_", "\n{\"t", "\r\n\r\n", "[{", "", "oops"] {
            assert_eq!(Kind::of(text.as_bytes()), Kind::Samples, "{text:?}");
        }
    }
}
