//! The addresses of this host.

use std::collections::HashSet;
use std::net::IpAddr;

use anycast_ebpf::layout::LOCAL_ADDRESSES_MAX;

use crate::net::{NetError, Netlink};

/// The host's own addresses but those of its services: a packet that arrives from one of them is not a client's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalAddresses {
    /// No two the same, and together with those of the services at most [`LOCAL_ADDRESSES_MAX`].
    pub addresses: Vec<IpAddr>,
    /// How many there are more.
    pub left_out: usize,
}

/// Reads the addresses of all links of this network namespace, of `lo` too. `services` are the addresses that the kernel
/// programs know anyway.
pub fn local_addresses(
    netlink: &mut Netlink,
    services: impl IntoIterator<Item = IpAddr>,
) -> Result<LocalAddresses, NetError> {
    Ok(choose(netlink.all_addresses()?, services.into_iter().collect()))
}

fn choose(all: Vec<IpAddr>, services: HashSet<IpAddr>) -> LocalAddresses {
    let room = LOCAL_ADDRESSES_MAX.saturating_sub(services.len());
    let mut once = services;
    let mut addresses: Vec<IpAddr> = all.into_iter().filter(|address| once.insert(*address)).collect();
    let left_out = addresses.len().saturating_sub(room);
    addresses.truncate(room);
    LocalAddresses { addresses, left_out }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::testing::in_namespace;

    #[test]
    fn every_address_of_the_host_is_found_once() {
        in_namespace(|namespace| {
            let [uplink, service] = ["up0", "anycast0"].map(|name| namespace.service_link(name));
            namespace.add_address(&service, "192.0.2.53/32");
            namespace.add_address(&uplink, "10.0.0.1/24");
            namespace.add_address(&uplink, "10.0.0.2/24");
            namespace.add_address(&service, "10.0.0.2/32");
            namespace.add_address(&uplink, "2001:db8::1/64");
            let service: IpAddr = "192.0.2.53".parse().unwrap();
            let found = local_addresses(namespace.netlink(), [service]).unwrap();
            assert_eq!(found.left_out, 0);
            let has = |address: &str| {
                let address: IpAddr = address.parse().unwrap();
                found.addresses.iter().filter(|found| **found == address).count()
            };
            for address in ["127.0.0.1", "::1", "10.0.0.1", "10.0.0.2", "2001:db8::1"] {
                assert_eq!(has(address), 1, "{address} in {found:?}");
            }
            assert_eq!(has("192.0.2.53"), 0, "the programs know it");
            let is_link_local = |address: &IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
            assert!(found.addresses.iter().any(is_link_local), "{found:?}");
        });
    }

    #[test]
    fn services_have_their_room() {
        let address = |number: u32| IpAddr::from(number.to_be_bytes());
        let all = || (0..500).chain(0..500).map(address).collect::<Vec<_>>();
        let found = choose(all(), (100..200).map(address).collect());
        assert_eq!((found.addresses.len(), found.left_out), (400, 0));
        let found = choose(all(), (1000..1200).map(address).collect());
        assert_eq!(found.addresses, (0..312).map(address).collect::<Vec<_>>());
        assert_eq!(
            (found.addresses.len() + 200, found.left_out),
            (LOCAL_ADDRESSES_MAX, 188)
        );
        let found = choose(all(), (1000..2000).map(address).collect());
        assert_eq!((found.addresses.len(), found.left_out), (0, 500));
    }
}
