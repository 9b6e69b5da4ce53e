//! How a lab comes up.

use super::watch::ROUTES_TIMEOUT;
use super::{Lab, LabOptions};
use crate::binaries::version_of;
use crate::bird::Routing;
use crate::interrupt;
use crate::network::Network;
use crate::node::{Family, Node, PerNode};
use crate::server::{Server, ServerKind};
use crate::sniffer::Sniffer;
use crate::timeline::{Progress, What};
use crate::tools;
use crate::workdir::WorkDirectory;
use anyhow::{Context, Result};
use std::marker::PhantomData;
use std::sync::mpsc::channel;

impl<'progress> Lab<'progress> {
    /// Builds the network and starts everything but the daemons and the traffic: servers answer and routes are
    /// installed when it returns.
    pub fn start(options: LabOptions, progress: &'progress mut dyn Progress) -> Result<Self> {
        interrupt::check()?;
        let directory = WorkDirectory::new()?;
        let network = Network::new()?;
        let (sender, timeline) = channel();
        let sniffer = Sniffer::start(&network.router, sender.clone())?;
        let mut lab = Self {
            options,
            progress,
            timeline,
            sender,
            history: Vec::new(),
            reported: PerNode::default(),
            measured: None,
            fault: None,
            traffic: None,
            daemons: PerNode::default(),
            servers: PerNode::default(),
            routing: None,
            _sniffer: sniffer,
            network,
            directory,
            _bound_to_its_thread: PhantomData,
        };
        lab.describe_network();
        lab.start_servers()?;
        lab.announce()?;
        Ok(lab)
    }

    fn describe_network(&mut self) {
        let kind = self.network.link_kind;
        let lacking = if kind == "dummy" {
            ""
        } else {
            " (this kernel has no dummy)"
        };
        self.note(format!(
            "network of four namespaces; anycast0 is of kind {kind}{lacking}"
        ));
    }

    fn start_servers(&mut self) -> Result<()> {
        let Some(kind) = self.options.server else {
            return Ok(());
        };
        let version = kind.version();
        let version =
            version.with_context(|| format!("there is no {kind} that runs; `cargo xtask setup` fetches it"))?;
        self.note(format!("DNS server: {version}"));
        for node in Node::ALL {
            let server = self.start_server(kind, node)?;
            *self.servers.get_mut(node) = Some(server);
        }
        for node in Node::ALL {
            if let Some(server) = self.servers.get_mut(node) {
                server.wait_ready(self.network.nodes.get(node))?;
            }
        }
        Ok(())
    }

    pub(super) fn start_server(&self, kind: ServerKind, node: Node) -> Result<Server> {
        Server::start(
            kind,
            node,
            self.network.nodes.get(node),
            &self.directory,
            &self.options.binaries.lab,
        )
    }

    /// Starts BIRD and waits for the routes.
    fn announce(&mut self) -> Result<()> {
        let Some((version, bird)) = version_of("bird", "--version").zip(tools::find("bird")) else {
            self.note("no BIRD runs here: static routes to node a instead, and no withdrawal to be seen");
            for family in Family::ALL {
                let (service, node) = (family.service_address(), Node::A.address(family));
                self.network.router.ip(&format!("route add {service} via {node}\n"))?;
            }
            return Ok(());
        };
        self.note(format!("router: {version}"));
        let mark = self.mark();
        self.routing = Some(Routing::start(&bird, &self.network, &self.directory)?);
        for node in Node::ALL {
            for family in Family::ALL {
                let prefix = (family.service_address(), family.prefix_length());
                self.wait_for(mark, ROUTES_TIMEOUT, |observation| match &observation.what {
                    What::Bgp { node: of, update } if *of == node => update.announced.contains(&prefix).then_some(()),
                    _ => None,
                })?
                .with_context(|| format!("{node} has not announced {} by BGP", prefix.0))?;
            }
        }
        for family in Family::ALL {
            self.wait_for_route(family, Some(Node::A))?;
        }
        Ok(())
    }
}
