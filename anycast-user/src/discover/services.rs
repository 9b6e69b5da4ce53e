//! The services of a link: those of the configuration at the addresses that are there, or DNS.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use super::{DiscoverError, PlannedLink, PlannedService};
use anycast_ebpf::classify::Classifier;

use crate::config::{LinkConfig, ServiceConfig};

/// The port of DNS.
const DNS_PORT: u16 = 53;

/// The services that the configuration puts on a link; DNS at all of its addresses when it names none.
#[must_use]
pub fn services(link: &LinkConfig) -> Cow<'_, [ServiceConfig]> {
    if !link.services.is_empty() {
        return Cow::Borrowed(&link.services);
    }
    Cow::Owned(vec![ServiceConfig {
        name: "dns".to_owned(),
        protocol: Classifier::DnsUdp,
        port: DNS_PORT,
        addresses: None,
        weight: 1,
    }])
}

/// The services of a link that has these addresses.
pub(super) fn services_of(wanted: &LinkConfig, addresses: &[IpAddr]) -> Result<Vec<PlannedService>, DiscoverError> {
    if addresses.is_empty() {
        return Err(DiscoverError::NoAddress {
            link: wanted.name.clone(),
        });
    }
    let mut planned = Vec::new();
    for service in services(wanted).iter() {
        for &address in service.addresses.as_deref().unwrap_or(addresses) {
            if !addresses.contains(&address) {
                return Err(DiscoverError::AddressNotOnLink {
                    address,
                    link: wanted.name.clone(),
                });
            }
            planned.push(PlannedService {
                name: service.name.clone(),
                protocol: service.protocol,
                address,
                port: service.port,
                weight: service.weight,
            });
        }
    }
    Ok(planned)
}

/// No two services may get the same packets. The configuration can't tell: an address may be on two links.
pub(super) fn check_endpoints(links: &[PlannedLink]) -> Result<(), DiscoverError> {
    let mut taken = HashMap::new();
    for PlannedLink { link, services, .. } in links {
        for service in services {
            let name = format!("`{}` of {}", service.name, link.name);
            let endpoint = (service.address, service.protocol.protocol(), service.port);
            if let Some(first) = taken.insert(endpoint, name.clone()) {
                return Err(DiscoverError::ServedTwice {
                    address: service.address,
                    first,
                    second: name,
                });
            }
        }
    }
    Ok(())
}

/// Whether a socket is there to serve: bound to the service's address and port, and for TCP listening. When the kernel
/// won't tell, it is assumed.
pub(super) fn is_listening(service: &PlannedService) -> bool {
    sockets(service).is_none_or(|sockets| {
        sockets.iter().any(|local| {
            // A wildcard socket of IPv6 takes IPv4 as well, unless it is told not to.
            local.port() == service.port && (local.ip() == service.address || local.ip().is_unspecified())
        })
    })
}

/// The local addresses of the sockets that could serve it.
fn sockets(service: &PlannedService) -> Option<Vec<SocketAddr>> {
    use procfs::net::{TcpState, tcp, tcp6, udp, udp6};
    let is_ipv4 = service.address.is_ipv4();
    if i32::from(service.protocol.protocol()) == libc::IPPROTO_TCP {
        let mut sockets = tcp6().unwrap_or_default();
        if is_ipv4 {
            sockets.extend(tcp().ok()?);
        }
        sockets.retain(|socket| socket.state == TcpState::Listen);
        Some(sockets.into_iter().map(|socket| socket.local_address).collect())
    } else {
        let mut sockets = udp6().unwrap_or_default();
        if is_ipv4 {
            sockets.extend(udp().ok()?);
        }
        Some(sockets.into_iter().map(|socket| socket.local_address).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;
    use crate::net::testing::link;
    use crate::policy::WithdrawWhen;

    fn wanted(services: Vec<ServiceConfig>) -> LinkConfig {
        LinkConfig {
            withdraw_when: WithdrawWhen::Any,
            name: "anycast0".to_owned(),
            services,
        }
    }

    fn addresses() -> Vec<IpAddr> {
        vec!["192.0.2.53".parse().unwrap(), "2001:db8::53".parse().unwrap()]
    }

    fn service(name: &str, protocol: Classifier, address: &str, port: u16) -> PlannedService {
        PlannedService {
            weight: 1,
            name: name.to_owned(),
            protocol,
            address: address.parse().unwrap(),
            port,
        }
    }

    #[test]
    fn a_link_without_services_has_dns_at_all_its_addresses() {
        let services = services_of(&wanted(Vec::new()), &addresses()).unwrap();
        let expected = ["192.0.2.53", "2001:db8::53"].map(|address| service("dns", Classifier::DnsUdp, address, 53));
        assert_eq!(services, expected);
    }

    #[test]
    fn an_address_that_is_not_there_is_refused() {
        let elsewhere = ServiceConfig {
            weight: 1,
            name: "dns".to_owned(),
            protocol: Classifier::DnsUdp,
            port: 53,
            addresses: Some(vec!["192.0.2.99".parse().unwrap()]),
        };
        let error = services_of(&wanted(vec![elsewhere]), &addresses()).unwrap_err();
        assert!(matches!(error, DiscoverError::AddressNotOnLink { .. }));
        let error = services_of(&wanted(Vec::new()), &[]).unwrap_err();
        assert!(matches!(error, DiscoverError::NoAddress { .. }));
    }

    #[test]
    fn an_address_on_two_links_can_be_served_once() {
        let planned = |name: &str, protocol| PlannedLink {
            withdraw_when: WithdrawWhen::Any,
            link: link(2, name, Some("dummy")),
            services: vec![service("dns", protocol, "192.0.2.53", 53)],
        };
        let other = [
            planned("anycast0", Classifier::DnsUdp),
            planned("anycast1", Classifier::Tcp),
        ];
        check_endpoints(&other).unwrap();
        let same = [
            planned("anycast0", Classifier::DnsUdp),
            planned("anycast1", Classifier::Udp),
        ];
        let error = check_endpoints(&same).unwrap_err().to_string();
        assert!(
            error.contains("`dns` of anycast0 and `dns` of anycast1") && error.contains("192.0.2.53"),
            "{error}"
        );
    }

    #[test]
    fn who_listens_is_seen_by_protocol_and_port() {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let (udp_port, tcp_port) = (udp.local_addr().unwrap().port(), tcp.local_addr().unwrap().port());
        let listens = |protocol, address, port| is_listening(&service("s", protocol, address, port));
        assert!(listens(Classifier::DnsUdp, "127.0.0.1", udp_port));
        assert!(listens(Classifier::TcpServerFirst, "127.0.0.1", tcp_port));
        assert!(!listens(Classifier::Quic, "127.0.0.2", udp_port));
        assert!(!listens(Classifier::Tcp, "::1", tcp_port));
        // The port is held, so nobody listens on it: a connected socket is not one that serves.
        let client = std::net::TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
        let client_port = client.local_addr().unwrap().port();
        assert!(!listens(Classifier::Tcp, "127.0.0.1", client_port));
    }
}
