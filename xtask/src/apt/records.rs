//! Reads what apt prints of packages.

use std::collections::BTreeMap;

use serde::Serialize;

/// A package to unpack.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The file name under which apt stores it.
    #[serde(skip)]
    pub(super) file: String,
    /// Size of the download in bytes.
    pub(crate) download_bytes: u64,
    /// Size when unpacked in bytes, as the package says; 0 if it doesn't.
    pub(crate) unpacked_bytes: u64,
}

/// Parses `'URI' FILE SIZE HASH`, where FILE is `name_version_architecture.deb` with the epoch's colon as `%3a`.
pub(super) fn parse_uri_line(line: &str) -> Option<Package> {
    let mut words = line.split_whitespace();
    words.next().filter(|uri| uri.starts_with('\''))?;
    let file = words.next()?;
    let download_bytes = words.next()?.parse().ok()?;
    let mut parts = file.split('_');
    Some(Package {
        name: parts.next()?.to_owned(),
        version: parts.next()?.replace("%3a", ":"),
        file: file.to_owned(),
        download_bytes,
        unpacked_bytes: 0,
    })
}

/// Reads the sizes of unpacked packages, by name, from the records that `apt-cache show` prints.
pub(super) fn parse_unpacked_sizes(records: &str) -> BTreeMap<String, u64> {
    let mut sizes = BTreeMap::new();
    let mut name = "";
    for line in records.lines() {
        if let Some(value) = line.strip_prefix("Package: ") {
            name = value;
        } else if let Some(value) = line.strip_prefix("Installed-Size: ")
            && let Ok(kibibytes) = value.trim().parse::<u64>()
        {
            sizes.insert(name.to_owned(), kibibytes * 1024);
        }
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_print_uris_names_a_package_and_its_size() {
        let package = parse_uri_line(
            "'http://archive/pool/l/llvm-22-dev_22.1.8-1_amd64.deb' llvm-22-dev_1%3a22.1.8-1_amd64.deb 52412280 SHA256:00",
        )
        .unwrap();
        assert_eq!(package.name, "llvm-22-dev");
        assert_eq!(package.version, "1:22.1.8-1");
        assert_eq!(package.download_bytes, 52_412_280);
    }

    #[test]
    fn sizes_belong_to_the_package_named_before() {
        let sizes =
            parse_unpacked_sizes("Package: a\nVersion: 1\nInstalled-Size: 2\n\nPackage: b\nInstalled-Size: x\n");
        assert_eq!(sizes, BTreeMap::from([("a".to_owned(), 2048)]));
    }

    #[test]
    fn other_lines_are_skipped() {
        assert!(parse_uri_line("").is_none());
        assert!(parse_uri_line("Get:1 http://archive bookworm").is_none());
        assert!(parse_uri_line("'http://archive/x.deb' x_1_amd64.deb large").is_none());
    }
}
