//! Packets through the library as the programs run it: what is counted, and for whom.

extern crate std;
use std::{vec, vec::Vec};

mod latency;
mod node;
mod sent;
mod services;
mod tcp;

use super::*;
use crate::{
    layout::{Counter, PROTOCOL_UDP, RCODES, UNCLASSIFIED_REASONS},
    testing::{Egress, Family, Ingress, QUERY},
};
use node::{Counts, DNS, NTP, Node, ONE_WAY, SIP, SMTP, TCP_DNS, Timed};
