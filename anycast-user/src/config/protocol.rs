//! Which services can be asked whether they are alive.

use anycast_ebpf::classify::Classifier;

/// Whether this version can probe a service with this classifier. What can't be probed is only watched: it never
/// withdraws a route.
#[must_use]
pub const fn has_probe(classifier: Classifier) -> bool {
    matches!(classifier, Classifier::DnsUdp)
}
