//! What is pinned and attached, by whomever.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::{Path, PathBuf},
};

use anycast_ebpf::layout::LAYOUT_VERSION;
use aya::programs::{ProgramInfo, loaded_programs};
use serde::Serialize;

use super::{
    HOME, PinsError,
    entries::{Entry, is_private, names, versions},
    instance::{Instance, this_namespace},
    lock::holder,
    programs, require_bpffs,
};
use crate::{
    datapath::{HookPoint, bpf::KernelLink, hooks::filters_of},
    net::{LinkIndex, Netlink, Side},
};

/// The pins of an instance, in one version of the layout.
#[derive(Debug, Serialize)]
pub struct PinnedInstance {
    /// Whose they are.
    pub instance: String,
    /// It belongs to the network namespace of the calling thread. Of another one, names of uplinks and filters are out of
    /// sight.
    pub here: bool,
    /// The version of the layout.
    pub layout: u32,
    /// Whether this version of the tool can use it.
    pub usable: bool,
    /// The process that uses it. `None` also when that is in another PID namespace.
    pub daemon: Option<i32>,
    /// Where the pins are.
    pub path: PathBuf,
    /// The programs that count into it.
    pub attachments: Vec<Attachment>,
}

/// A program on an uplink.
#[derive(Debug, Serialize)]
pub struct Attachment {
    /// Name of the uplink, where it can be known.
    pub uplink: Option<String>,
    /// The kernel's number for it. `None` when it is gone.
    pub interface: Option<LinkIndex>,
    /// `ingress` or `egress`.
    pub direction: &'static str,
    /// `xdp`, `xdp-generic`, `tcx` or `clsact`.
    pub hook: &'static str,
    /// The program.
    pub program: ProgramSummary,
    /// The kernel's number of the link that keeps it there; none for `clsact`.
    pub link: Option<u32>,
    /// What keeps that link; none for `clsact`.
    pub pin: Option<PathBuf>,
}

/// A program, by what the kernel says of it.
#[derive(Clone, Debug, Serialize)]
pub struct ProgramSummary {
    /// The kernel's number for it.
    pub id: u32,
    /// Its name. `None` without `CAP_SYS_ADMIN`, as the next.
    pub name: Option<String>,
    /// The hash of its instructions, as `bpftool prog` shows it.
    pub tag: Option<String>,
}

impl From<&ProgramInfo> for ProgramSummary {
    fn from(info: &ProgramInfo) -> Self {
        Self {
            id: info.id(),
            name: Some(String::from_utf8_lossy(info.name()).into_owned()),
            tag: Some(format!("{:016x}", info.tag())),
        }
    }
}

/// Looks at all that is pinned on the bpffs at `base`. Changes nothing, and is in nobody's way.
pub fn inventory(base: &Path) -> Result<Vec<PinnedInstance>, PinsError> {
    require_bpffs(base)?;
    let all = base.join(HOME);
    let look = || Looker::new()?.look(&all);
    look().map_err(|source| PinsError::Unusable {
        path: all.clone(),
        source,
    })
}

/// The numbers of the programs that any instance, of any version, has pinned links of on the bpffs at `base`: this tool's,
/// and `CAP_SYS_ADMIN` isn't needed to know it. What can't be read is left out, and so is all where others can pin.
pub(in crate::datapath) fn pinned_programs(base: &Path) -> Vec<u32> {
    let all = base.join(HOME);
    if require_bpffs(base).is_err() || !is_private(&all).unwrap_or(false) {
        return Vec::new();
    }
    let below = |name: String| versions(&all.join(name)).unwrap_or_default();
    let directories = names(&all).unwrap_or_default().into_iter().flat_map(below);
    let links = directories.flat_map(|(_, directory)| {
        let names = names(&directory).unwrap_or_default().into_iter();
        names
            .filter(|name| matches!(Entry::of(name), Some(Entry::Link(..))))
            .map(move |name| directory.join(name))
    });
    links
        .filter_map(|pin| Some(KernelLink::open(&pin).ok()?.info().ok()?.program))
        .collect()
}

/// What is asked for once.
struct Looker {
    netlink: Netlink,
    names: HashMap<LinkIndex, String>,
    programs: HashMap<u32, ProgramSummary>,
    namespace: u64,
}

impl Looker {
    fn new() -> io::Result<Self> {
        let mut netlink = Netlink::open().map_err(io::Error::other)?;
        let links = netlink.links().map_err(io::Error::other)?;
        Ok(Self {
            netlink,
            names: links.into_iter().map(|link| (link.index, link.name)).collect(),
            programs: loaded_programs()
                .filter_map(Result::ok)
                .map(|info| (info.id(), (&info).into()))
                .collect(),
            namespace: this_namespace()?,
        })
    }

    fn look(mut self, all: &Path) -> io::Result<Vec<PinnedInstance>> {
        let mut found = Vec::new();
        for name in names(all)? {
            let Some(instance) = Instance::from_name(&name) else {
                continue;
            };
            let here = instance.namespace == self.namespace;
            let home = all.join(&name);
            for (layout, path) in versions(&home)? {
                let mut attachments = self.links(&path, here)?;
                if here {
                    self.add_filters(&path, &mut attachments)?;
                }
                found.push(PinnedInstance {
                    instance: name.clone(),
                    here,
                    layout,
                    usable: layout == LAYOUT_VERSION,
                    daemon: holder(&home),
                    path,
                    attachments: attachments.into_values().collect(),
                });
            }
        }
        Ok(found)
    }

    fn program(&self, id: u32) -> ProgramSummary {
        let unknown = ProgramSummary {
            id,
            name: None,
            tag: None,
        };
        self.programs.get(&id).cloned().unwrap_or(unknown)
    }

    fn links(&self, directory: &Path, here: bool) -> io::Result<BTreeMap<(LinkIndex, HookPoint), Attachment>> {
        let mut attachments = BTreeMap::new();
        for name in names(directory)? {
            let Some(Entry::Link(index, point)) = Entry::of(&name) else {
                continue;
            };
            let path = directory.join(&name);
            let link = match KernelLink::open(&path) {
                // A daemon has just removed it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                link => link?.info()?,
            };
            let attachment = Attachment {
                uplink: link
                    .interface
                    .filter(|_| here)
                    .and_then(|index| self.names.get(&index).cloned()),
                interface: link.interface,
                direction: direction(point.side()),
                hook: match point {
                    HookPoint::Xdp | HookPoint::XdpGeneric => point.name(),
                    HookPoint::TcIngress | HookPoint::TcEgress => "tcx",
                },
                program: self.program(link.program),
                link: Some(link.id),
                pin: Some(path),
            };
            attachments.insert((index, point), attachment);
        }
        Ok(attachments)
    }

    fn add_filters(
        &mut self,
        directory: &Path,
        attachments: &mut BTreeMap<(LinkIndex, HookPoint), Attachment>,
    ) -> io::Result<()> {
        let links = self.netlink.clsact_links().map_err(io::Error::other)?;
        for filter in filters_of(&mut self.netlink, &links, &programs(directory)?)? {
            let Some(program) = filter.program else { continue };
            let attachment = Attachment {
                uplink: self.names.get(&filter.link).cloned(),
                interface: Some(filter.link),
                direction: direction(filter.side),
                hook: "clsact",
                program: self.program(program.id),
                link: None,
                pin: None,
            };
            attachments.insert((filter.link, HookPoint::of(filter.side)), attachment);
        }
        Ok(())
    }
}

fn direction(side: Side) -> &'static str {
    match side {
        Side::Ingress => "ingress",
        Side::Egress => "egress",
    }
}
