//! BIRD on the nodes and the router: an eBGP session for each family, IPv6 routes by the IPv6 one.

use crate::netns::Namespace;
use crate::network::{LINK, Network};
use crate::node::{Family, Node, PerNode, SERVICE_V4, SERVICE_V6};
use crate::process::Process;
use crate::tools::Tool;
use crate::workdir::WorkDirectory;
use anyhow::Result;
use std::fs;

const ROUTER_AS_NUMBER: u32 = 64500;

/// The routing daemons of a lab.
#[derive(Debug)]
pub struct Routing {
    router: Process,
    nodes: PerNode<Process>,
}

impl Routing {
    /// Starts all of them; the sessions come up afterwards.
    pub fn start(bird: &Tool, network: &Network, directory: &WorkDirectory) -> Result<Self> {
        // The router only listens, so it has to be there first for the nodes' first attempt to succeed.
        let router = start(bird, "router", &router_configuration(), &network.router, directory)?;
        let nodes = PerNode::try_new(|node| {
            let name = format!("bird-{}", node.name());
            let configuration = node_configuration(node);
            start(bird, &name, &configuration, network.nodes.get(node), directory)
        })?;
        Ok(Self { router, nodes })
    }

    /// Fails when one of them has ended.
    pub fn check_running(&mut self) -> Result<()> {
        self.router.check_running()?;
        self.nodes.a.check_running()?;
        self.nodes.b.check_running()
    }
}

fn start(
    bird: &Tool,
    name: &str,
    configuration: &str,
    namespace: &Namespace,
    directory: &WorkDirectory,
) -> Result<Process> {
    let path = directory.path().join(format!("{name}.conf"));
    fs::write(&path, configuration)?;
    let mut command = bird.command();
    command
        .arg("-f")
        .arg("-c")
        .arg(&path)
        .arg("-s")
        .arg(directory.path().join(format!("{name}.ctl")));
    let log = directory.path().join(format!("{name}.log"));
    Process::spawn(&format!("BIRD ({name})"), command, namespace, &log)
}

/// The timers are the shortest that BIRD takes: in a lab nobody wants to wait for a session.
const SESSION_TIMERS: &str = "connect delay time 1; connect retry time 1; error wait time 1, 1;";

fn router_configuration() -> String {
    let mut text = String::from(
        "router id 203.0.113.1;\n\
         log stderr all;\n\
         protocol device { scan time 1; }\n\
         protocol kernel { ipv4 { import none; export all; }; }\n\
         protocol kernel { ipv6 { import none; export all; }; }\n",
    );
    for node in Node::ALL {
        for family in Family::ALL {
            text += &router_session(node, family);
        }
    }
    text
}

fn router_session(node: Node, family: Family) -> String {
    let preference = match node {
        Node::A => 200,
        Node::B => 100,
    };
    format!(
        "protocol bgp {session} {{\n\
         \x20 local {router_address} as {ROUTER_AS_NUMBER}; neighbor {address} as {peer};\n\
         \x20 passive yes; {SESSION_TIMERS}\n\
         \x20 {channel} {{\n\
         \x20   import filter {{ if net = {prefix} then {{ bgp_local_pref = {preference}; accept; }} reject; }};\n\
         \x20   export none;\n\
         \x20 }};\n}}\n",
        session = session(node, family),
        router_address = node.router_address(family),
        address = node.address(family),
        peer = node.as_number(),
        channel = channel(family),
        prefix = prefix(family),
    )
}

fn node_configuration(node: Node) -> String {
    let mut text = format!(
        "router id {id};\n\
         log stderr all;\n\
         protocol device {{ scan time 1; }}\n\
         # Addresses on the anycast link are routes for as long as the link is up: that is the whole switch.\n\
         protocol direct {{ ipv4; ipv6; interface \"{LINK}\"; }}\n",
        id = node.address(Family::V4),
    );
    for family in Family::ALL {
        text += &node_session(node, family);
    }
    text
}

fn node_session(node: Node, family: Family) -> String {
    format!(
        "protocol bgp {session} {{\n\
         \x20 local {address} as {own}; neighbor {router_address} as {ROUTER_AS_NUMBER};\n\
         \x20 {SESSION_TIMERS}\n\
         \x20 {channel} {{ import none; export where source = RTS_DEVICE; }};\n}}\n",
        session = session(node, family),
        address = node.address(family),
        own = node.as_number(),
        router_address = node.router_address(family),
        channel = channel(family),
    )
}

fn session(node: Node, family: Family) -> String {
    format!("{}_{}", node.name(), channel(family))
}

fn channel(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    }
}

fn prefix(family: Family) -> String {
    match family {
        Family::V4 => format!("{SERVICE_V4}/32"),
        Family::V6 => format!("{SERVICE_V6}/128"),
    }
}
