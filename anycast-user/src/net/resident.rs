//! Who is on the XDP hook of an uplink.

use std::fmt;
use std::io::ErrorKind;

use aya::maps::{MapError, MapInfo, MapType};
use aya::programs::{ProgramError, ProgramInfo, loaded_programs};
use aya::sys::SyscallError;

use super::Link;

/// The name of this tool's XDP program, and of a map that it has.
const OUR_PROGRAM: &[u8] = b"ingress_xdp";
const OUR_MAP: &[u8] = b"BANK";
/// What libxdp calls the program by which several share a hook.
const DISPATCHER: &[u8] = b"xdp_dispatcher";
/// `BPF_PROG_TYPE_EXT`: what a dispatcher calls are programs of this type.
const EXTENSION: u32 = 28;

/// Who is on the XDP hook of an uplink. The later ones matter more.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resident {
    /// Nobody.
    #[default]
    None,
    /// This tool, of this run or an earlier one.
    Ours,
    /// A program of somebody else.
    Program {
        /// The kernel's number for it.
        id: u32,
        /// Its name, at most 15 bytes.
        name: String,
    },
    /// The dispatcher of libxdp, which shares the hook between several programs.
    Dispatcher {
        /// The kernel's number for it.
        id: u32,
    },
    /// A program that this process may not look at: the kernel asks for `CAP_SYS_ADMIN`.
    Hidden {
        /// The kernel's number for it.
        id: u32,
    },
    /// A program that hands packets to an `AF_XDP` server, whose answers leave past the kernel's stack.
    AfXdp {
        /// The kernel's number for it.
        id: u32,
        /// Its name, at most 15 bytes.
        name: String,
    },
}

impl Resident {
    /// Whether answers may leave without passing tc: an `AF_XDP` server sends them itself. What can't be looked at may be
    /// one.
    #[must_use]
    pub fn may_bypass(&self) -> bool {
        matches!(self, Self::AfXdp { .. } | Self::Hidden { .. })
    }

    /// Whether the XDP hook is somebody else's.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        !matches!(self, Self::None | Self::Ours)
    }

    /// The kernel's number for the program, of a stranger.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        match self {
            Self::None | Self::Ours => None,
            Self::Program { id, .. } | Self::Dispatcher { id } | Self::Hidden { id } | Self::AfXdp { id, .. } => {
                Some(*id)
            }
        }
    }

    /// The name of the program, of a stranger that can be looked at.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Program { name, .. } | Self::AfXdp { name, .. } => Some(name),
            Self::Dispatcher { .. } => Some("xdp_dispatcher"),
            Self::None | Self::Ours | Self::Hidden { .. } => None,
        }
    }

    /// What kind it is, in JSON.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Ours => "ours",
            Self::Program { .. } => "program",
            Self::Dispatcher { .. } => "dispatcher",
            Self::Hidden { .. } => "hidden",
            Self::AfXdp { .. } => "af-xdp",
        }
    }
}

/// In words that follow "its XDP hook is taken by".
impl fmt::Display for Resident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("nobody"),
            Self::Ours => f.write_str("anycast-probe"),
            Self::Program { id, name } => write!(f, "the program `{name}` ({id})"),
            Self::Dispatcher { id } => write!(f, "the dispatcher of libxdp ({id})"),
            Self::Hidden { id } => write!(
                f,
                "a program ({id}) that only CAP_SYS_ADMIN may look at (if `anycast-probe attach-status` knows it, \
                 `anycast-probe cleanup --all` takes it off)"
            ),
            Self::AfXdp { id, name } => write!(f, "the program `{name}` ({id}), which serves AF_XDP sockets"),
        }
    }
}

/// Who is on the XDP hook of `link`, as it was read; `ours` are the numbers of programs that are known to be this tool's.
///
/// Looks at every program that the kernel has, once for each on the hook: not for every tick. Tail calls are not followed.
#[must_use]
pub fn resident(link: &Link, ours: &[u32]) -> Resident {
    link.xdp_programs
        .iter()
        .map(|&id| {
            if ours.contains(&id) {
                Resident::Ours
            } else {
                look_at(id)
            }
        })
        .max()
        .unwrap_or_default()
}

fn look_at(id: u32) -> Resident {
    let hidden = Resident::Hidden { id };
    let mut found = None;
    let mut extensions = Vec::new();
    for program in loaded_programs() {
        match program {
            Ok(program) if program.id() == id => found = Some(program),
            Ok(program) if program.program_type() as u32 == EXTENSION => extensions.push(program),
            Ok(_) => {}
            // One that goes while the list is read.
            Err(ProgramError::SyscallError(error)) if is_gone(&error) => {}
            Err(_) => return hidden,
        }
    }
    // It went since the hook was read: the next look shows who came instead.
    let Some(program) = found else {
        return Resident::None;
    };
    let Ok(program) = Program::read(&program) else {
        return hidden;
    };
    let extensions = extensions.iter().filter_map(|extension| Program::read(extension).ok());
    program.judge(extensions)
}

/// What is to be known of a program.
#[derive(Clone, Debug)]
struct Program {
    id: u32,
    name: Vec<u8>,
    /// It has a map of `AF_XDP` sockets.
    serves_af_xdp: bool,
    /// It has a map of the name that one of ours has.
    has_our_map: bool,
}

impl Program {
    fn read(info: &ProgramInfo) -> Result<Self, ProgramError> {
        let maps = info.map_ids()?.unwrap_or_default().into_iter().map(MapInfo::from_id);
        let maps = maps.collect::<Result<Vec<_>, MapError>>()?;
        Ok(Self {
            id: info.id(),
            name: info.name().to_vec(),
            serves_af_xdp: maps.iter().any(|map| matches!(map.map_type(), Ok(MapType::XskMap))),
            has_our_map: maps.iter().any(|map| map.name() == OUR_MAP),
        })
    }

    /// Who that is; `extensions` are all that there are on this host.
    fn judge(self, mut extensions: impl Iterator<Item = Self>) -> Resident {
        if self.serves_af_xdp {
            return self.af_xdp();
        }
        match self.name.as_slice() {
            OUR_PROGRAM if self.has_our_map => Resident::Ours,
            // Which dispatcher calls an extension can't be seen: better one of another interface suspected than this
            // one's missed.
            DISPATCHER => extensions
                .find(|extension| extension.serves_af_xdp)
                .map_or(Resident::Dispatcher { id: self.id }, Self::af_xdp),
            name => Resident::Program {
                id: self.id,
                name: String::from_utf8_lossy(name).into_owned(),
            },
        }
    }

    fn af_xdp(self) -> Resident {
        Resident::AfXdp {
            id: self.id,
            name: String::from_utf8_lossy(&self.name).into_owned(),
        }
    }
}

fn is_gone(error: &SyscallError) -> bool {
    error.io_error.kind() == ErrorKind::NotFound
}

#[cfg(test)]
mod tests;
