//! A hash map of the kernel as a set.

use std::{borrow::BorrowMut, collections::BTreeSet};

use aya::{
    Pod,
    maps::{HashMap, MapData, MapError},
};

/// Makes `wanted` what is in `map`, where nobody else writes; `known` is what was put there before. After an error `known`
/// is still right.
pub(super) fn update<T, K>(
    map: &mut HashMap<T, K, u8>,
    known: &mut BTreeSet<K>,
    wanted: &BTreeSet<K>,
) -> Result<(), MapError>
where
    T: BorrowMut<MapData>,
    K: Pod + Ord,
{
    let gone: Vec<K> = known.difference(wanted).copied().collect();
    for key in gone {
        map.remove(&key)?;
        known.remove(&key);
    }
    let new: Vec<K> = wanted.difference(known).copied().collect();
    for key in new {
        map.insert(key, 1, 0)?;
        known.insert(key);
    }
    Ok(())
}
