//! The addresses of this host.

use std::collections::HashSet;
use std::net::IpAddr;

use crate::net::{LinkIndex, NetError, Netlink};

/// Addresses that the kernel programs take at most.
pub const LOCAL_ADDRESSES_MAX: usize = 256;

/// The host's own addresses: a packet that arrives from one of them is not a client's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalAddresses {
    /// At most [`LOCAL_ADDRESSES_MAX`], no two the same.
    pub addresses: Vec<IpAddr>,
    /// How many there are more.
    pub left_out: usize,
}

/// Reads the addresses of all links of this network namespace, of `lo` too. Those of `service_links` come last: the
/// programs know service addresses anyway.
pub fn local_addresses(netlink: &mut Netlink, service_links: &[LinkIndex]) -> Result<LocalAddresses, NetError> {
    Ok(choose(netlink.all_addresses()?, service_links))
}

fn choose(mut all: Vec<(LinkIndex, IpAddr)>, service_links: &[LinkIndex]) -> LocalAddresses {
    all.sort_by_key(|(link, _)| service_links.contains(link));
    let mut once = HashSet::new();
    let mut addresses: Vec<IpAddr> = all.into_iter().map(|(_, address)| address).collect();
    addresses.retain(|address| once.insert(*address));
    let left_out = addresses.len().saturating_sub(LOCAL_ADDRESSES_MAX);
    addresses.truncate(LOCAL_ADDRESSES_MAX);
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
            namespace.add_address(&uplink, "192.0.2.53/32");
            namespace.add_address(&uplink, "2001:db8::1/64");
            let found = local_addresses(namespace.netlink(), &[service.index]).unwrap();
            assert_eq!(found.left_out, 0);
            let has = |address: &str| {
                let address: IpAddr = address.parse().unwrap();
                found.addresses.iter().filter(|found| **found == address).count()
            };
            for address in ["127.0.0.1", "::1", "10.0.0.1", "2001:db8::1", "192.0.2.53"] {
                assert_eq!(has(address), 1, "{address} in {found:?}");
            }
            let is_link_local = |address: &IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
            assert!(found.addresses.iter().any(is_link_local), "{found:?}");
        });
    }

    #[test]
    fn what_is_too_much_is_left_out_from_the_end() {
        let service = LinkIndex(2);
        let address = |number: u32| IpAddr::from(number.to_be_bytes());
        let mut all: Vec<_> = (0..200).map(|number| (service, address(number))).collect();
        all.extend((1000..1100).map(|number| (LinkIndex(3), address(number))));
        let found = choose(all, &[service]);
        assert_eq!((found.addresses.len(), found.left_out), (LOCAL_ADDRESSES_MAX, 44));
        assert_eq!(found.addresses[..100], (1000..1100).map(address).collect::<Vec<_>>());
        assert_eq!(found.addresses[100], address(0));
    }
}
