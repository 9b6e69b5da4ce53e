//! Links, their services and service addresses.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use toml::Spanned;

use super::super::error::Problem;
use super::super::file::{LinkTable, Named, ServiceTable, ShareTable, WhenNamed, WhenWritten};
use super::super::{LinkConfig, ServiceConfig};
use super::{Checked, Once, interface, not_empty};
use crate::policy::WithdrawWhen;

/// Longest service name in bytes: it becomes a label of every metric.
const SERVICE_NAME_BYTES: usize = 63;

/// Number of an IP protocol and port.
type Port = (u8, u16);
/// Who answers on the wire: no two services can.
pub(super) type Endpoint = (IpAddr, Port);

pub(super) fn link(table: LinkTable, endpoints: &mut Once<Endpoint>) -> Checked<LinkConfig> {
    let name = interface(table.name)?;
    let mut names = Once::new();
    let mut ports = HashMap::new();
    let mut services = Vec::with_capacity(table.services.len());
    for table in table.services {
        let name_span = table.name.span();
        let port_span = table.port.span();
        let service = service(table, endpoints)?;
        names.take(service.name.clone(), &name_span, || {
            format!("the service `{}` is on link `{name}` twice", service.name)
        })?;
        // A service without addresses has all of the link's, so there is none left for another one on its port.
        let takes_all = service.addresses.is_none();
        let port = (service.protocol.protocol(), service.port);
        if let Some(all_taken) = ports.insert(port, takes_all)
            && (all_taken || takes_all)
        {
            return Err(Problem::new(
                port_span,
                format!("{} is on link `{name}` twice", in_words(port)),
                "remove one of the two, or name the `addresses` of both",
            ));
        }
        services.push(service);
    }
    let withdraw_when = table.withdraw_when.map_or(Ok(WithdrawWhen::default()), withdraw_when)?;
    Ok(LinkConfig {
        name,
        withdraw_when,
        services,
    })
}

fn withdraw_when(written: Spanned<WhenWritten>) -> Checked<WithdrawWhen> {
    let span = written.span();
    match written.into_inner() {
        WhenWritten::Named(WhenNamed::Any) => Ok(WithdrawWhen::Any),
        WhenWritten::Named(WhenNamed::All) => Ok(WithdrawWhen::All),
        WhenWritten::Share(ShareTable { share }) if share > 0.0 && share <= 1.0 => Ok(WithdrawWhen::Share(share)),
        WhenWritten::Share(ShareTable { share }) => Err(Problem::new(
            span,
            format!("a share of {share} is not above 0 and at most 1"),
            "write the share of the services' weight that has to be dead, like { share = 0.5 }",
        )),
    }
}

/// A port as people write it: `UDP port 53`.
fn in_words((protocol, port): Port) -> String {
    let protocol = match i32::from(protocol) {
        libc::IPPROTO_UDP => "UDP".to_owned(),
        libc::IPPROTO_TCP => "TCP".to_owned(),
        other => format!("IP protocol {other}"),
    };
    format!("{protocol} port {port}")
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
    let Named(protocol) = table.protocol;
    let port = *table.port.get_ref();
    if port == 0 {
        return Err(Problem::new(
            table.port.span(),
            "port 0 can't be served",
            "write the port that clients send to: 53 for DNS",
        ));
    }
    let weight = table.weight.as_ref().map_or(1, |weight| *weight.get_ref());
    if let (0, Some(written)) = (weight, &table.weight) {
        return Err(Problem::new(
            written.span(),
            "a service that weighs nothing can't decide anything",
            "write 1 or more, or leave the service out",
        ));
    }
    let mut addresses = None;
    if let Some(list) = table.addresses {
        not_empty(&list, "addresses", "all addresses on the link")?;
        let mut checked = Vec::with_capacity(list.get_ref().len());
        for written in list.into_inner() {
            let address = address(&written)?;
            let port = (protocol.protocol(), port);
            endpoints.take((address, port), &written.span(), || {
                format!("{address}, {}, is configured twice", in_words(port))
            })?;
            checked.push(address);
        }
        addresses = Some(checked);
    }
    Ok(ServiceConfig {
        name,
        protocol,
        port,
        addresses,
        weight,
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
