//! The kernel programs: fetch bytes, count, pass. All that can be decided on the host is decided in the library.

#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]
#![expect(
    clippy::inline_always,
    reason = "a BPF program is one function to the verifier; what is left to LLVM's taste may become a call it can't follow"
)]
#![expect(
    clippy::needless_pass_by_value,
    reason = "the signature that the macros of aya-ebpf want"
)]

mod context;
mod maps;

use anycast_ebpf::{
    packet::{Direction, Framing, Tunnels, View},
    record::{active_table, is_udp, recognise, record, record_sent},
};
use aya_ebpf::{
    bindings::{TC_ACT_UNSPEC, xdp_action::XDP_PASS},
    macros::{cgroup_skb, classifier, xdp},
    programs::{SkBuffContext, TcContext, XdpContext},
};
use aya_log_ebpf::{debug, error};

use crate::{context::Frame, maps::Maps};

/// What every XDP program here returns, whatever is in the packet.
const XDP_VERDICT: u32 = XDP_PASS;
/// What every tc program here returns: go on to the next program (`TCX_NEXT` is the same number).
const TC_VERDICT: i32 = TC_ACT_UNSPEC;
/// What the program of a cgroup returns: the packet is sent, as far as this one is concerned.
const CGROUP_VERDICT: i32 = 1;

#[xdp(frags)]
fn ingress_xdp(context: XdpContext) -> u32 {
    if let Some(services) = maps::services() {
        let frame = Frame::of_xdp(&context);
        record(
            &Maps,
            services,
            &frame,
            view(Direction::Ingress, Framing::Ethernet),
            || frame,
        );
    }
    XDP_VERDICT
}

#[classifier]
fn ingress_tc(context: TcContext) -> i32 {
    record_tc(&context, view(Direction::Ingress, Framing::Ethernet));
    TC_VERDICT
}

/// For devices whose packets start with the IP header.
#[classifier]
fn ingress_tc_ip(context: TcContext) -> i32 {
    record_tc(&context, view(Direction::Ingress, Framing::Ip));
    TC_VERDICT
}

/// Counts only what this host sent: an answer that is merely forwarded, forged perhaps, is no evidence of life.
#[classifier]
fn egress_tc(context: TcContext) -> i32 {
    if context::is_locally_sent(&context) {
        record_tc(&context, view(Direction::Egress, Framing::Ethernet));
    }
    TC_VERDICT
}

/// For devices whose packets start with the IP header.
#[classifier]
fn egress_tc_ip(context: TcContext) -> i32 {
    if context::is_locally_sent(&context) {
        record_tc(&context, view(Direction::Egress, Framing::Ip));
    }
    TC_VERDICT
}

/// Counts answers as they leave the server's sockets, behind the firewall's rules for output and before the hooks of any
/// interface. Attached only while it is in doubt whether the answers that the server gives leave the host.
///
/// It sees the packets of every socket of the cgroup, most of which are of TCP, and leaves as early as it can. Headers that the kernel has
/// not put into the linear part of a packet, as it may where a server sends without copying, are not looked for: then
/// nothing is counted, which is no evidence.
#[cgroup_skb(egress)]
fn egress_cgroup(context: SkBuffContext) -> i32 {
    let packet = Frame::of_sent(&context);
    if is_udp(&packet)
        && maps::is_way_out(context::link(&context))
        && maps::is_server_socket(context::socket_cookie(&context))
        && let Some(services) = maps::services()
    {
        record_sent(&Maps, services, &packet);
    }
    CGROUP_VERDICT
}

/// Never attached: the daemon runs it once for each service, with a packet of its own making, before it attaches the
/// others. It takes the same way as they do and logs where that led, instead of counting.
///
/// Returns the service's number plus one, zero when it was not found.
#[classifier]
fn self_test(context: TcContext) -> i32 {
    let Some(table) = maps::services().and_then(active_table) else {
        error!(&context, "the service table can't be reached");
        return 0;
    };
    let view = view(Direction::Ingress, Framing::Ethernet);
    match recognise(table, &Frame::of_tc(&context), view) {
        Ok(Some(slot)) => {
            debug!(
                &context,
                "service found: number {}, classifier {}", slot.service, slot.classifier
            );
            i32::from(slot.service) + 1
        }
        Ok(None) => {
            error!(
                &context,
                "service not found in a table with multiplier {}", table.multiplier
            );
            0
        }
        Err(reason) => {
            error!(&context, "packet not understood, reason {}", reason as u32);
            0
        }
    }
}

/// Never attached: an empty program, for the benchmarks to compare the ones above with.
#[xdp(frags)]
fn baseline_xdp(_: XdpContext) -> u32 {
    XDP_VERDICT
}

/// Never attached: the same for tc.
#[classifier]
fn baseline_tc(_: TcContext) -> i32 {
    TC_VERDICT
}

/// Never attached: the same for cgroups.
#[cgroup_skb(egress)]
fn baseline_cgroup(_: SkBuffContext) -> i32 {
    CGROUP_VERDICT
}

#[inline(always)]
fn view(direction: Direction, framing: Framing) -> View {
    View {
        direction,
        framing,
        tunnels: match direction {
            Direction::Ingress => maps::tunnels(),
            // This host wraps nothing.
            Direction::Egress => Tunnels::default(),
        },
    }
}

#[inline(always)]
fn record_tc(context: &TcContext, view: View) {
    if let Some(services) = maps::services() {
        record(&Maps, services, &Frame::of_tc(context), view, || {
            context::pull_headers(context);
            Frame::of_tc(context)
        });
    }
}

/// The programs' licence: helpers marked `gpl_only` need it.
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// On the host the programs are only compiled, for clippy and the tests; `cargo xtask build-ebpf` makes the real ones.
#[cfg(not(target_arch = "bpf"))]
fn main() {}
