//! The withdrawal: takes a link down, which makes the routing daemon withdraw the routes to its addresses, and up
//! again.
//!
//! [`LinkSwitch`] does it; [`Actuator`] is the thread on which it is done, since a netlink request waits for the
//! kernel's RTNL lock for as long as anybody else changes links, and the sampling thread can't.

mod actuator;
mod alias;
mod error;
pub mod ipv6;
mod link_switch;
mod lock;
mod realtime;

pub use actuator::{Action, Actuator, Command, Commands, Outcome};
pub use alias::{Ownership, is_marked, ownership};
pub use error::RouteError;
pub use link_switch::{Done, LinkSwitch};
pub use lock::LinkLock;
pub use realtime::{Scheduling, request_realtime};
