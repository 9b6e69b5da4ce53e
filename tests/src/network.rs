//! The lab's network: a client, a router and two nodes, each in a namespace, joined by veth pairs.
//!
//! ```text
//! client ── to-client  router  to-a ── uplink  node a  anycast0: 192.0.2.53, 2001:db8:53::53
//!                              to-b ── uplink  node b  anycast0: 192.0.2.53, 2001:db8:53::53
//! ```
//!
//! All addresses are from ranges kept for documentation (RFC 5737, RFC 3849).

use crate::netns::Namespace;
use crate::node::{Family, Node, PerNode, SERVICE_V4, SERVICE_V6};
use anyhow::{Context, Result, bail};

/// The link of a node that holds the service addresses.
pub const LINK: &str = "anycast0";
/// The interface of a node on which queries arrive and answers leave.
pub const UPLINK: &str = "uplink";
/// The kinds of link that can stand for the anycast link, best first. A dummy is what is used in production; not every
/// kernel has one, and the others go up, go down and carry addresses the same way.
const LINK_KINDS: [&str; 3] = ["dummy", "ifb", "bridge"];

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
        // One kernel: the kind is the same on both.
        let [link_kind, _] = [add_service_link(&nodes.a)?, add_service_link(&nodes.b)?];
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

/// Adds the anycast link with the service addresses on it, and gives its kind.
fn add_service_link(namespace: &Namespace) -> Result<&'static str> {
    let kind = add_link(namespace)?;
    namespace.ip(&format!(
        "address add {SERVICE_V4}/32 dev {LINK}\n\
         address add {SERVICE_V6}/128 dev {LINK} nodad\n"
    ))?;
    Ok(kind)
}

/// Adds [`LINK`], up and without addresses, of the best kind that this kernel has: `dummy`, `ifb` or `bridge`.
pub fn add_link(namespace: &Namespace) -> Result<&'static str> {
    let mut refusals = Vec::new();
    for kind in LINK_KINDS {
        match namespace.ip(&format!("link add {LINK} type {kind}\n")) {
            Ok(()) => {
                namespace.ip(&format!("link set {LINK} up\n"))?;
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
