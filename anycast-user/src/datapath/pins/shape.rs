//! The maps that outlive a process, and whether what is pinned is what the programs expect.

use aya::maps::MapInfo;
use aya_obj::{EbpfSectionKind, Object, generated::bpf_map_type};

use super::{Pins, PinsError};

/// What a map must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shape {
    name: String,
    map_type: u32,
    key_bytes: u32,
    value_bytes: u32,
    entries: u32,
}

impl Pins {
    /// The maps of `object` that are to be pinned, each with its path; `entries` are the numbers of entries that the
    /// object doesn't know.
    ///
    /// aya takes a pinned map for what the object says it is. It is asked here what it is, and refused when that differs.
    pub(in crate::datapath) fn maps(
        &self,
        object: &[u8],
        entries: &[(&str, u32)],
    ) -> Result<Vec<(String, std::path::PathBuf)>, PinsError> {
        let mut maps = Vec::new();
        for wanted in shapes(object, entries)? {
            let path = self.map(&wanted.name);
            if path.exists() {
                let found = found(&path, &wanted.name)?;
                if found != wanted {
                    return Err(PinsError::MapDiffers {
                        path,
                        found: found.to_string(),
                        wanted: wanted.to_string(),
                        link: self.instance.link.clone(),
                    });
                }
            }
            maps.push((wanted.name, path));
        }
        Ok(maps)
    }
}

/// What holds counts, samples and services. Not the constants and the log of one load.
fn shapes(object: &[u8], entries: &[(&str, u32)]) -> Result<Vec<Shape>, PinsError> {
    let object = Object::parse(object).map_err(|error| PinsError::Object(error.to_string()))?;
    let mut shapes: Vec<Shape> = object
        .maps
        .into_iter()
        .filter(|(_, map)| {
            matches!(map.section_kind(), EbpfSectionKind::Maps | EbpfSectionKind::BtfMaps)
                && map.map_type() == bpf_map_type::BPF_MAP_TYPE_ARRAY as u32
        })
        .map(|(name, map)| Shape {
            map_type: map.map_type(),
            key_bytes: map.key_size(),
            value_bytes: map.value_size(),
            entries: entries
                .iter()
                .find(|(of, _)| *of == name)
                .map_or(map.max_entries(), |(_, entries)| *entries),
            name,
        })
        .collect();
    shapes.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(shapes)
}

fn found(path: &std::path::Path, name: &str) -> Result<Shape, PinsError> {
    let info = MapInfo::from_pin(path).map_err(|error| PinsError::Unusable {
        path: path.to_owned(),
        source: std::io::Error::other(error),
    })?;
    Ok(Shape {
        name: name.to_owned(),
        map_type: info.map_type().map_or(u32::MAX, |kind| kind as u32),
        key_bytes: info.key_size(),
        value_bytes: info.value_size(),
        entries: info.max_entries(),
    })
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            entries, value_bytes, ..
        } = self;
        write!(f, "{entries} entries of {value_bytes} bytes")
    }
}
