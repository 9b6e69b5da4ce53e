//! Links, their services and service addresses.

use std::net::{IpAddr, Ipv4Addr};

use toml::Spanned;

use super::super::error::Problem;
use super::super::file::{LinkTable, ServiceTable};
use super::super::{LinkConfig, Protocol, ServiceConfig};
use super::{Checked, Once, interface, not_empty};

/// Longest service name in bytes: it becomes a label of every metric.
const SERVICE_NAME_BYTES: usize = 63;

/// Who answers on the wire: no two services can.
pub(super) type Endpoint = (IpAddr, Protocol, u16);

pub(super) fn link(table: LinkTable, endpoints: &mut Once<Endpoint>) -> Checked<LinkConfig> {
    let name = interface(table.name)?;
    let mut names = Once::new();
    let mut ports = Once::new();
    let mut services = Vec::with_capacity(table.services.len());
    for table in table.services {
        let name_span = table.name.span();
        let port_span = table.port.span();
        let service = service(table, endpoints)?;
        names.take(service.name.clone(), &name_span, || {
            format!("the service `{}` is on link `{name}` twice", service.name)
        })?;
        ports.take((service.protocol, service.port), &port_span, || {
            let ServiceConfig { protocol, port, .. } = service;
            format!("{protocol} on port {port} is on link `{name}` twice")
        })?;
        services.push(service);
    }
    Ok(LinkConfig { name, services })
}

fn service(table: ServiceTable, endpoints: &mut Once<Endpoint>) -> Checked<ServiceConfig> {
    let name_span = table.name.span();
    let name = table.name.into_inner();
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > SERVICE_NAME_BYTES || !name.chars().all(valid) {
        return Err(Problem::new(
            name_span,
            format!("{name:?} can't be the name of a service"),
            "use 1 to 63 letters, digits, '-', '_' and '.', like \"dns\"",
        ));
    }
    let port = *table.port.get_ref();
    if port == 0 {
        return Err(Problem::new(
            table.port.span(),
            "port 0 can't be served",
            "write the port that clients send to: 53 for DNS",
        ));
    }
    let mut addresses = None;
    if let Some(list) = table.addresses {
        not_empty(&list, "addresses", "all addresses on the link")?;
        let mut checked = Vec::with_capacity(list.get_ref().len());
        for written in list.into_inner() {
            let address = address(&written)?;
            endpoints.take((address, table.protocol, port), &written.span(), || {
                format!("{address}, {} port {port}, is configured twice", table.protocol)
            })?;
            checked.push(address);
        }
        addresses = Some(checked);
    }
    Ok(ServiceConfig {
        name,
        protocol: table.protocol,
        port,
        addresses,
    })
}

fn address(written: &Spanned<String>) -> Checked<IpAddr> {
    let text = written.get_ref();
    let refused = |what: String, advice: &str| Err(Problem::new(written.span(), what, advice));
    let Ok(address) = text.parse::<IpAddr>() else {
        return refused(
            format!("{text:?} is not an IP address"),
            "write it without prefix length, like \"192.0.2.53\" or \"2001:db8::53\"",
        );
    };
    let kind = match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => "an IPv4-mapped address",
        _ if address.is_unspecified() => "the unspecified address",
        _ if address.is_loopback() => "a loopback address",
        _ if address.is_multicast() => "a multicast address",
        IpAddr::V4(Ipv4Addr::BROADCAST) => "the broadcast address",
        _ => return Ok(address),
    };
    refused(
        format!("{address} is {kind}, which no service can be announced on"),
        "write a unicast address of the link, as `ip address` shows it",
    )
}
