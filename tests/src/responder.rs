//! The built-in responder: a DNS server that is just large enough for the lab, for where no real one can be had.

use crate::dns::{PORT, QUESTION};
use crate::node::{Family, Node};
use anyhow::{Context, Result};
use domain::base::iana::{Class, Rcode};
use domain::base::{Message, MessageBuilder, Name, Rtype, Ttl};
use domain::rdata::Txt;
use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

/// How long to wait before trying again to bind an address that isn't there: an IPv6 address leaves with its link.
const BIND_RETRY: Duration = Duration::from_millis(50);

/// Answers queries to both service addresses as `node` does, until the process ends.
pub fn serve(node: Node) -> Result<()> {
    thread::scope(|scope| {
        let threads = Family::ALL.map(|family| scope.spawn(move || serve_family(node, family)));
        for thread in threads {
            thread
                .join()
                .unwrap_or_else(|_| anyhow::bail!("a responder thread panicked"))?;
        }
        Ok(())
    })
}

fn serve_family(node: Node, family: Family) -> Result<()> {
    let socket = loop {
        match UdpSocket::bind((family.service_address(), PORT)) {
            Ok(socket) => break socket,
            Err(error) if error.kind() == std::io::ErrorKind::AddrNotAvailable => {
                thread::sleep(BIND_RETRY);
            }
            Err(error) => return Err(error).context("can't bind the service address"),
        }
    };
    let mut buffer = [0; 512];
    loop {
        // Errors of a datagram socket are about one datagram, such as a client's closed port.
        let Ok((length, client)) = socket.recv_from(&mut buffer) else {
            continue;
        };
        if let Some(answer) = buffer.get(..length).and_then(|query| answer(query, node)) {
            _ = socket.send_to(&answer, client);
        }
    }
}

/// The answer of `node` to `query`: its name for the lab's question, REFUSED for any other; `None` for what isn't a
/// query.
#[must_use]
pub fn answer(query: &[u8], node: Node) -> Option<Vec<u8>> {
    let query = Message::from_octets(query).ok()?;
    if query.header().qr() {
        return None;
    }
    let expected: Name<Vec<u8>> = QUESTION.parse().ok()?;
    let known = query
        .sole_question()
        .is_ok_and(|question| *question.qname() == expected && question.qtype() == Rtype::TXT);
    let rcode = if known { Rcode::NOERROR } else { Rcode::REFUSED };
    let mut builder = MessageBuilder::new_vec().start_answer(&query, rcode).ok()?;
    if known {
        builder.header_mut().set_aa(true);
        let data = Txt::<Vec<u8>>::build_from_slice(node.name().as_bytes()).ok()?;
        builder.push((expected, Class::IN, Ttl::ZERO, data)).ok()?;
    }
    Some(builder.finish())
}
