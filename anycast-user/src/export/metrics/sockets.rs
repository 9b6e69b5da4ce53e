//! The sockets of the services' servers.

use std::fmt;

use super::{Families, Labelled, ServiceSnapshot};
use crate::export::SocketsSnapshot;

pub(super) fn sockets(out: &mut Families<'_>, services: &[ServiceSnapshot]) -> fmt::Result {
    let labelled = Labelled::new(services);
    let each = || {
        let known = |(labels, service): (_, &ServiceSnapshot)| Some((labels, service.sockets?));
        labelled.each().filter_map(known)
    };
    let gauge =
        |of: fn(&SocketsSnapshot) -> u32| each().map(move |(labels, sockets)| (labels, i64::from(of(&sockets))));
    out.gauge(
        "server_sockets",
        "Sockets that take packets to the service's address and port, over UDP.",
        None,
        gauge(|sockets| sockets.sockets),
    )?;
    out.gauge(
        "full_sockets",
        "Sockets of the service whose receive buffer is more than three quarters full.",
        None,
        gauge(|sockets| sockets.full),
    )?;
    out.gauge(
        "hung_sockets",
        "Full sockets of the service that nobody has read from for a second, while one beside them is read: a worker that hangs.",
        None,
        gauge(|sockets| sockets.hung),
    )?;
    out.counter(
        "receive_drops",
        "Packets that found no room in the sockets of the service, since the probe has looked at them.",
        each().map(|(labels, sockets)| (labels, sockets.receive_drops)),
    )
}
