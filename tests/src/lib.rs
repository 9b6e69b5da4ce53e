//! The lab as a library: a client, a router with BIRD and two anycast nodes with real DNS servers, each in a network
//! namespace of its own, with `anycast-probe` on the nodes, traffic through it all and faults on demand.
//!
//! `cargo xtask run`, the end-to-end tests and the failover benchmark run the same code: [`scenario::failover`] is the
//! main scenario, [`lab::Lab`] what it and the tests are made of.
//!
//! A lab needs root. It touches nothing outside its namespaces but one temporary directory, and it leaves nothing
//! behind, however it ends: namespaces have no names, children die with the thread that made them.

pub mod all_cores;
pub mod alone;
pub mod arguments;
pub mod bgp;
pub mod binaries;
pub mod bird;
pub mod bpffs;
pub mod capture;
pub mod clock;
pub mod corpus;
pub mod daemon;
pub mod differential;
pub mod dns;
pub mod event;
pub mod fault;
pub mod interrupt;
pub mod lab;
pub mod ledger;
pub mod narrator;
pub mod netns;
pub mod network;
pub mod node;
pub mod process;
pub mod responder;
pub mod scenario;
pub mod server;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod sniffer;
pub mod timeline;
pub mod tools;
pub mod traffic;
pub mod vm;
pub mod workdir;

mod prerequisite;
pub use prerequisite::prerequisite;
