//! User space of anycast-probe: reads the kernel's counters, decides, withdraws.
//!
//! Data goes one way: [`datapath`] → [`sampler`] → [`detect`] → [`policy`] → [`route`], with [`probe`] asked on
//! suspicion, [`sockets`] looked at and [`export`] looking on. `detect` and `policy` are pure: time is an argument.

pub mod capture;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod daemon;
pub mod datapath;
pub mod detect;
pub mod discover;
pub mod engine;
pub mod event;
pub mod export;
pub mod latency;
pub mod net;
pub mod policy;
pub mod probe;
mod progress;
pub mod recorder;
pub mod recording;
pub mod replay;
pub mod report;
pub mod route;
pub mod sampler;
pub mod sockets;
pub mod status;
mod table;
pub mod window;
