//! The lab's network: a client, a router and two nodes, each in a namespace, joined by veth pairs.
//!
//! ```text
//! client ── to-client  router  to-a ── uplink  node a  anycast0: 192.0.2.53, 2001:db8:53::53
//!                              to-b ── uplink  node b  anycast0: 192.0.2.53, 2001:db8:53::53
//! ```
//!
//! All addresses are from ranges kept for documentation (RFC 5737, RFC 3849).

use crate::netns::Namespace;
use anyhow::{Context, Result, bail};
use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The link of a node that holds the service addresses.
pub const LINK: &str = "anycast0";
/// The interface of a node on which queries arrive and answers leave.
pub const UPLINK: &str = "uplink";
/// The service address for IPv4, announced as a /32.
pub const SERVICE_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);
/// The service address for IPv6, announced as a /128.
pub const SERVICE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x53, 0, 0, 0, 0, 0x53);

/// The kinds of link that can stand for the anycast link, best first. A dummy is what is used in production; not every
/// kernel has one, and the others go up, go down and carry addresses the same way.
const LINK_KINDS: [&str; 3] = ["dummy", "ifb", "bridge"];

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both families.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The service address of the family.
    #[must_use]
    pub fn service_address(self) -> IpAddr {
        match self {
            Self::V4 => SERVICE_V4.into(),
            Self::V6 => SERVICE_V6.into(),
        }
    }

    /// The length of the prefix that is announced: the address alone.
    #[must_use]
    pub fn prefix_length(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// The family of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

impl Display for Family {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// One of the two nodes that announce the service addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Node {
    /// The node that the router prefers.
    A,
    /// The node that gets the traffic when `A` has withdrawn.
    B,
}

impl Node {
    /// Both nodes, the preferred one first.
    pub const ALL: [Self; 2] = [Self::A, Self::B];

    /// The node's name, which is also what its server answers with.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    /// The node with this name.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|node| node.name().as_bytes() == name)
    }

    /// The node's own address towards the router.
    #[must_use]
    pub fn address(self, family: Family) -> IpAddr {
        self.end(family, 2)
    }

    /// The router's address towards the node.
    #[must_use]
    pub fn router_address(self, family: Family) -> IpAddr {
        self.end(family, 1)
    }

    /// The private AS number that the node announces from.
    #[must_use]
    pub fn as_number(self) -> u32 {
        match self {
            Self::A => 64501,
            Self::B => 64502,
        }
    }

    /// The node whose own address this is.
    #[must_use]
    pub fn with_address(address: IpAddr) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|node| node.address(Family::of(address)) == address)
    }

    /// The router's interface towards the node.
    #[must_use]
    pub fn router_interface(self) -> &'static str {
        match self {
            Self::A => "to-a",
            Self::B => "to-b",
        }
    }

    fn end(self, family: Family, host: u8) -> IpAddr {
        let (subnet, group) = match self {
            Self::A => (0, 0xa),
            Self::B => (4, 0xb),
        };
        match family {
            Family::V4 => Ipv4Addr::new(203, 0, 113, subnet + host).into(),
            Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, group, 0, 0, 0, 0, host.into()).into(),
        }
    }
}

impl Display for Node {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "node {}", self.name())
    }
}

/// A value for each node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PerNode<T> {
    /// What belongs to node a.
    pub a: T,
    /// What belongs to node b.
    pub b: T,
}

impl<T> PerNode<T> {
    /// Makes both values.
    pub fn try_new(mut make: impl FnMut(Node) -> Result<T>) -> Result<Self> {
        Ok(Self {
            a: make(Node::A)?,
            b: make(Node::B)?,
        })
    }

    /// The value of `node`.
    pub fn get(&self, node: Node) -> &T {
        match node {
            Node::A => &self.a,
            Node::B => &self.b,
        }
    }

    /// The value of `node`, to change it.
    pub fn get_mut(&mut self, node: Node) -> &mut T {
        match node {
            Node::A => &mut self.a,
            Node::B => &mut self.b,
        }
    }
}

/// The namespaces, joined and addressed.
#[derive(Debug)]
pub struct Network {
    /// Where queries come from.
    pub client: Namespace,
    /// Where routes are chosen.
    pub router: Namespace,
    /// Where queries are answered.
    pub nodes: PerNode<Namespace>,
    /// What [`LINK`] is on this kernel: `dummy`, `ifb` or `bridge`.
    pub link_kind: &'static str,
}

impl Network {
    /// Makes everything, with the anycast links up.
    pub fn new() -> Result<Self> {
        let router = Namespace::new()?;
        for (name, value) in [
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv6/conf/all/forwarding", "1"),
            // While routes change, answers of one node may arrive when the route points to the other.
            ("net/ipv4/conf/all/rp_filter", "0"),
            ("net/ipv4/conf/default/rp_filter", "0"),
        ] {
            router.set_sysctl(name, value)?;
        }
        let client = Namespace::new()?;
        router.ip(&format!(
            "link add to-client type veth peer name {UPLINK} netns {}\n\
             address add 198.51.100.1/24 dev to-client\n\
             address add 2001:db8:c::1/64 dev to-client nodad\n\
             link set to-client up\n",
            client.path()
        ))?;
        client.ip(&format!(
            "address add 198.51.100.2/24 dev {UPLINK}\n\
             address add 2001:db8:c::2/64 dev {UPLINK} nodad\n\
             link set {UPLINK} up\n\
             route add default via 198.51.100.1\n\
             route add default via 2001:db8:c::1\n"
        ))?;
        let nodes = PerNode::try_new(|node| join_node(&router, node))?;
        let link_kind = add_link(&nodes.a, &LINK_KINDS)?;
        add_link(&nodes.b, &[link_kind])?;
        Ok(Self {
            client,
            router,
            nodes,
            link_kind,
        })
    }

    /// Whether the anycast link of `node` is up by its own flag, as an operator sees it.
    pub fn link_is_up(&self, node: Node) -> Result<bool> {
        let text = self
            .nodes
            .get(node)
            .ip_output(&["-json", "link", "show", "dev", LINK])?;
        let links: serde_json::Value = serde_json::from_str(&text)?;
        let flags = links
            .pointer("/0/flags")
            .and_then(serde_json::Value::as_array)
            .with_context(|| format!("ip shows no flags of {LINK}: {text}"))?;
        Ok(flags.iter().any(|flag| flag == "UP"))
    }

    /// The node to which the router's kernel sends traffic for the service address; `None` when to none.
    pub fn routed_to(&self, family: Family) -> Result<Option<Node>> {
        let address = family.service_address().to_string();
        let shown = self.router.ip_output(&["-json", "route", "get", &address]);
        // No route is an error of `ip`.
        let Ok(text) = shown else { return Ok(None) };
        let routes: serde_json::Value = serde_json::from_str(&text)?;
        let device = routes.pointer("/0/dev").and_then(serde_json::Value::as_str);
        Ok(Node::ALL
            .into_iter()
            .find(|node| device == Some(node.router_interface())))
    }
}

/// Makes the namespace of `node`, its wire to the router and its default routes, by which the daemon finds its uplink.
fn join_node(router: &Namespace, node: Node) -> Result<Namespace> {
    let namespace = Namespace::new()?;
    let interface = node.router_interface();
    let [router_v4, router_v6] = Family::ALL.map(|family| node.router_address(family));
    let [own_v4, own_v6] = Family::ALL.map(|family| node.address(family));
    router.ip(&format!(
        "link add {interface} type veth peer name {UPLINK} netns {}\n\
         address add {router_v4}/30 dev {interface}\n\
         address add {router_v6}/64 dev {interface} nodad\n\
         link set {interface} up\n",
        namespace.path()
    ))?;
    namespace.ip(&format!(
        "address add {own_v4}/30 dev {UPLINK}\n\
         address add {own_v6}/64 dev {UPLINK} nodad\n\
         link set {UPLINK} up\n\
         route add default via {router_v4}\n\
         route add default via {router_v6}\n"
    ))?;
    Ok(namespace)
}

/// Adds the anycast link, of the first of `kinds` that this kernel has, with the service addresses on it.
fn add_link(namespace: &Namespace, kinds: &[&'static str]) -> Result<&'static str> {
    let mut refusals = Vec::new();
    for &kind in kinds {
        match namespace.ip(&format!("link add {LINK} type {kind}\n")) {
            Ok(()) => {
                namespace.ip(&format!(
                    "address add {SERVICE_V4}/32 dev {LINK}\n\
                     address add {SERVICE_V6}/128 dev {LINK} nodad\n\
                     link set {LINK} up\n"
                ))?;
                return Ok(kind);
            }
            Err(error) => refusals.push(error.to_string()),
        }
    }
    bail!(
        "this kernel has no virtual link that can hold the service addresses:\n{}",
        refusals.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_known_by_its_address_and_name() {
        for node in Node::ALL {
            assert_eq!(Node::from_name(node.name().as_bytes()), Some(node));
            for family in Family::ALL {
                assert_eq!(Node::with_address(node.address(family)), Some(node));
                assert_eq!(Node::with_address(node.router_address(family)), None);
            }
        }
        assert_eq!(Node::from_name(b"c"), None);
    }
}
