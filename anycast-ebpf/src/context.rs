//! The bytes of a frame as the kernel hands them over.

use anycast_ebpf::packet::Packet;
use aya_ebpf::{
    helpers::bpf_get_socket_cookie,
    programs::{SkBuffContext, TcContext, XdpContext},
};

/// Bytes of a frame that the parser may look at: Ethernet, two VLAN tags, IPv6, extension headers, UDP, DNS.
const HEADERS_MAX_BYTES: u32 = 256;

/// Upper bound of an offset into a frame, for the verifier: it refuses unbounded sums.
const OFFSET_MAX: usize = 0x3fff;

/// The linear part of a frame.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    start: usize,
    end: usize,
}

impl Frame {
    #[inline(always)]
    pub(crate) fn of_xdp(context: &XdpContext) -> Self {
        Self {
            start: context.data(),
            end: context.data_end(),
        }
    }

    #[inline(always)]
    pub(crate) fn of_tc(context: &TcContext) -> Self {
        Self {
            start: context.data(),
            end: context.data_end(),
        }
    }

    /// It starts with the IP header.
    #[inline(always)]
    pub(crate) fn of_sent(context: &SkBuffContext) -> Self {
        let packet = context.skb.skb;
        // SAFETY: the kernel hands a valid `__sk_buff` to every program of a cgroup and translates the access.
        let (start, end) = unsafe { ((*packet).data, (*packet).data_end) };
        Self {
            start: start as usize,
            end: end as usize,
        }
    }
}

/// Pulls the headers of a frame into its linear part, where a driver left some of them in a fragment.
///
/// That moves bytes within the buffer and changes none of them. It costs, and is done for nobody's packets but those
/// that are not of a common shape or whose headers were cut short. When there is no memory for it, all stays as it was.
#[inline(always)]
pub(crate) fn pull_headers(context: &TcContext) {
    let wanted = context.len().min(HEADERS_MAX_BYTES);
    if context.data() + wanted as usize > context.data_end() {
        let _ = context.pull_data(wanted);
    }
}

impl Packet for Frame {
    #[inline(always)]
    fn bytes<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        if offset > OFFSET_MAX {
            return None;
        }
        // Known to the compiler where it is zero: the common shapes are read with plain loads.
        let start = if offset == 0 {
            self.start
        } else {
            add(self.start, offset)
        };
        if start + N > self.end {
            return None;
        }
        // SAFETY: start..start + N lies between the packet's `data` and `data_end`, which the kernel keeps valid until
        // the program returns, and nothing writes to the packet meanwhile. Any byte is a valid u8.
        Some(unsafe { &*(start as *const [u8; N]) })
    }
}

/// `base + offset`, in one register that the compiler doesn't take apart again: it would check one sum and load through
/// another, which the verifier takes for an unchecked pointer.
#[inline(always)]
fn add(base: usize, offset: usize) -> usize {
    #[cfg(target_arch = "bpf")]
    {
        let mut sum = base;
        // SAFETY: adds two registers and touches neither memory nor stack.
        unsafe {
            core::arch::asm!(
                "{0} += {1}",
                inout(reg) sum,
                in(reg) offset,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        sum
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        base + offset
    }
}

/// Whether this host made the packet, rather than forwarding what came in by an interface.
#[inline(always)]
pub(crate) fn is_locally_sent(context: &TcContext) -> bool {
    // SAFETY: the kernel hands a valid `__sk_buff` to every tc program and translates the access.
    unsafe { (*context.skb.skb).ingress_ifindex == 0 }
}

/// The index of the link that a packet is to leave by.
#[inline(always)]
pub(crate) fn link(context: &SkBuffContext) -> u32 {
    // SAFETY: the kernel hands a valid `__sk_buff` to every program of a cgroup and translates the access.
    unsafe { (*context.skb.skb).ifindex }
}

/// The number by which the kernel and `sock_diag` know the socket that a packet leaves; no two sockets have the same as
/// long as the host runs.
#[inline(always)]
pub(crate) fn socket_cookie(context: &SkBuffContext) -> u64 {
    // SAFETY: the helper takes the context of the program and is allowed in those of cgroups.
    unsafe { bpf_get_socket_cookie(context.skb.skb.cast()) }
}
