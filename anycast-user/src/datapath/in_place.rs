//! Whether programs are still where they were put: `bpftool link detach` and `tc filter del` ask nobody, and neither does
//! whoever puts another program in front.

use super::{
    Datapath, DatapathError,
    attach::{attach_error, program_at},
    bpf::tcx_programs,
    hold::{Hold, HoldError, HookPoint},
};
use crate::net::{Link, Netlink};

impl Datapath {
    /// Whether the programs are where [`Datapath::attach`] put them. `uplink` must be what the kernel says now.
    pub fn is_in_place(&self, uplink: &Link) -> Result<bool, DatapathError> {
        let held = |point: HookPoint| self.hooks.get(uplink.index, point);
        let lost = self.lost(uplink).map_err(|error| attach_error(&uplink.name, &error))?;
        let held: Vec<_> = HookPoint::ALL.into_iter().filter_map(held).collect();
        // One that counts nothing, or an earlier process's, is left where changing the hook came to nothing.
        Ok(lost.is_empty() && held.len() == 2 && held.iter().all(|held| held.current))
    }

    /// Whether the program that counts answers sees what leaves by `uplink` before any other one of tc, which might send it
    /// elsewhere. `uplink` must be what the kernel says now.
    pub fn sees_answers_first(&self, uplink: &Link) -> Result<bool, DatapathError> {
        let point = HookPoint::TcEgress;
        let Some(held) = self.hooks.get(uplink.index, point).filter(|held| held.current) else {
            return Ok(false);
        };
        let first = || -> Result<bool, HoldError> {
            let id = self.program_id_at(uplink, point)?;
            let programs = match tcx_programs(uplink.index, point.side()) {
                // The kernel is older than TCX.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Vec::new(),
                programs => programs?,
            };
            if !held.hold.is_filter() {
                return Ok(programs.first() == Some(&id));
            }
            // All of TCX comes before any filter.
            let filters = Netlink::open()?.filters(uplink.index, point.side())?;
            Ok(programs.is_empty() && filters.first().is_some_and(|filter| filter.runs(id)))
        };
        first().map_err(|error| attach_error(&uplink.name, &error))
    }

    /// The points of `uplink` at which a program of this process is held but not to be found.
    pub(super) fn lost(&self, uplink: &Link) -> Result<Vec<HookPoint>, HoldError> {
        let mut lost = Vec::new();
        for point in HookPoint::ALL {
            if let Some(held) = self.hooks.get(uplink.index, point).filter(|held| held.current)
                && !self.is_at(uplink, point, &held.hold)?
            {
                lost.push(point);
            }
        }
        Ok(lost)
    }

    fn is_at(&self, uplink: &Link, point: HookPoint, hold: &Hold) -> Result<bool, HoldError> {
        let id = self.program_id_at(uplink, point)?;
        Ok(match point {
            HookPoint::Xdp | HookPoint::XdpGeneric => uplink.xdp_programs.contains(&id),
            _ if hold.is_filter() => {
                let filters = Netlink::open()?.filters(uplink.index, point.side())?;
                filters.iter().any(|filter| filter.runs(id))
            }
            _ => tcx_programs(uplink.index, point.side())?.contains(&id),
        })
    }

    /// The kernel's number of the program that counts at a point of `uplink`.
    fn program_id_at(&self, uplink: &Link, point: HookPoint) -> Result<u32, HoldError> {
        let name = program_at(point, uplink);
        let program = self.ebpf.program(name).ok_or(DatapathError::Missing(name))?;
        Ok(program.info()?.id())
    }
}
