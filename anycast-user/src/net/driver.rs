//! Which driver a link has, by ethtool.

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;

use super::flags::interface_request;

/// Length of the text fields of `struct ethtool_drvinfo`.
const TEXT_BYTES: usize = 32;

/// `struct ethtool_drvinfo` of `linux/ethtool.h`, which never changes: it is part of the kernel's interface.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; TEXT_BYTES],
    version: [u8; TEXT_BYTES],
    firmware_version: [u8; TEXT_BYTES],
    bus: [u8; TEXT_BYTES],
    expansion_rom_version: [u8; TEXT_BYTES],
    reserved: [u8; 12],
    counts: [u32; 5],
}

const ETHTOOL_GDRVINFO: u32 = 0x0000_0003;
const _: () = assert!(size_of::<DriverInfo>() == 196, "the kernel writes this many bytes");

/// The driver of a link of this thread's network namespace, such as `virtio_net`, `veth` or `i40e`; `None` when there
/// is no such link or it has no driver to speak of.
///
/// By ioctl and not from `/sys`, which shows the links of the namespace that mounted it. Needs no privilege.
#[must_use]
pub fn driver(name: &str) -> Option<String> {
    // Any socket will do for an interface ioctl, and this kind needs no address family but AF_UNIX.
    let socket = UnixDatagram::unbound().ok()?;
    let mut info = DriverInfo {
        command: ETHTOOL_GDRVINFO,
        driver: [0; TEXT_BYTES],
        version: [0; TEXT_BYTES],
        firmware_version: [0; TEXT_BYTES],
        bus: [0; TEXT_BYTES],
        expansion_rom_version: [0; TEXT_BYTES],
        reserved: [0; 12],
        counts: [0; 5],
    };
    let mut request = interface_request(name)?;
    request.ifr_ifru.ifru_data = (&raw mut info).cast();
    // SAFETY: the descriptor is open; `request` is a whole `ifreq` whose data pointer is that of `info`, which has the
    // size that ETHTOOL_GDRVINFO writes (asserted above), is not otherwise borrowed and outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    if result != 0 {
        return None;
    }
    let end = info.driver.iter().position(|&byte| byte == 0)?;
    let driver = String::from_utf8_lossy(info.driver.get(..end)?).into_owned();
    Some(driver).filter(|driver| !driver.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::testing::in_namespace;

    #[test]
    fn an_unknown_or_impossible_name_has_no_driver() {
        assert_eq!(driver("no-such-link"), None);
        assert_eq!(driver("a-name-longer-than-a-link-can-have"), None);
        assert_eq!(driver(""), None);
    }

    #[test]
    fn the_link_of_a_namespace_is_seen_from_within_only() {
        in_namespace(|namespace| {
            let link = namespace.add_link("probe-driver0", "bridge");
            assert_eq!(driver(&link.name).as_deref(), Some("bridge"));
        });
        assert_eq!(driver("probe-driver0"), None);
    }
}
