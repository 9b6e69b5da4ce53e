//! How many places the bank needs for the CPUs.

use std::{fs, io};

/// Possible CPUs, not those online now: one may come later. The same in every network namespace.
const POSSIBLE: &str = "/sys/devices/system/cpu/possible";

/// One more than the highest number that a CPU of this machine can have. The numbers may have gaps, and a program
/// counts in the place of its number.
pub(super) fn numbers_in_use() -> io::Result<u32> {
    let list = fs::read_to_string(POSSIBLE)?;
    highest(&list)
        .and_then(|highest| highest.checked_add(1))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("not a list of CPUs: {list:?}")))
}

/// The highest number of a list such as `0-3,8`.
fn highest(list: &str) -> Option<u32> {
    let ends = list
        .trim()
        .split(',')
        .map(|range| range.rsplit('-').next()?.parse().ok());
    ends.collect::<Option<Vec<u32>>>()?.into_iter().max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_count() {
        assert_eq!(highest("0\n"), Some(0));
        assert_eq!(highest("0-3\n"), Some(3));
        assert_eq!(highest("0,2-5,8-11"), Some(11));
        assert_eq!(highest(""), None);
        assert_eq!(highest("0-x"), None);
    }
}
