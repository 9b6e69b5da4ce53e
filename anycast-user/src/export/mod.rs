//! What others may read: metrics over HTTP. Nothing here changes anything.

mod families;
pub mod http;
pub mod metrics;
mod snapshot;
#[cfg(test)]
mod tests;

pub use snapshot::{LinkSnapshot, SamplerSnapshot, ServiceSnapshot, Snapshot, SocketsSnapshot};
