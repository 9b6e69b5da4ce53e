//! What carries frames through the loaded programs.

use anycast_ebpf::packet::{Direction, Framing};
use aya::{
    Ebpf,
    programs::{CgroupSkb, CgroupSkbAttachType, SchedClassifier, TestRun, TestRunOptions, TestRunResult, Xdp},
};
use aya_obj::programs::XdpAttachType;

use crate::frames::{Egress, Ingress};

const XDP_PASS: u32 = 2;
/// `TC_ACT_UNSPEC` and `TCX_NEXT`.
const TC_NEXT: u32 = u32::MAX;
/// What the program of a cgroup says to let a packet be sent.
const CGROUP_PASS: u32 = 1;
/// A packet that leaves a socket has none yet; the kernel takes it off the bytes of a test run, and gives back an empty one.
const ETHERNET_OF_SENT: [u8; 14] = [2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 0x08, 0x00];

/// Where a program hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    XdpIngress,
    TcIngress,
    TcEgress,
    TcIngressIp,
    TcEgressIp,
    /// Where packets leave sockets.
    CgroupEgress,
}

/// Where packets come in with an Ethernet header.
pub(crate) const INGRESS: [Hook; 2] = [Hook::XdpIngress, Hook::TcIngress];
/// Where packets have an Ethernet header.
pub(crate) const ETHERNET: [Hook; 3] = [Hook::XdpIngress, Hook::TcIngress, Hook::TcEgress];
pub(crate) const ALL: [Hook; 6] = [
    Hook::XdpIngress,
    Hook::TcIngress,
    Hook::TcEgress,
    Hook::TcIngressIp,
    Hook::TcEgressIp,
    Hook::CgroupEgress,
];

impl Hook {
    pub(crate) const fn direction(self) -> Direction {
        match self {
            Self::XdpIngress | Self::TcIngress | Self::TcIngressIp => Ingress,
            Self::TcEgress | Self::TcEgressIp | Self::CgroupEgress => Egress,
        }
    }

    pub(crate) const fn framing(self) -> Framing {
        match self {
            Self::XdpIngress | Self::TcIngress | Self::TcEgress => Framing::Ethernet,
            Self::TcIngressIp | Self::TcEgressIp | Self::CgroupEgress => Framing::Ip,
        }
    }

    /// Whether the kernel takes these bytes for a test run. XDP wants an Ethernet header (as drivers do). tc takes the
    /// first bytes for one, whatever the program takes them for, and wants the fixed IP header too where they say that
    /// there is one; and a page less head- and tailroom has to hold all.
    pub(crate) fn takes(self, frame: &[u8]) -> bool {
        const TC_MAX_BYTES: usize = 3400;
        if self == Self::CgroupEgress {
            return (20..=TC_MAX_BYTES).contains(&frame.len());
        }
        let least = match (self, frame.get(12..14)) {
            (Self::XdpIngress, _) => 14,
            (_, Some([0x08, 0x00])) => 14 + 20,
            (_, Some([0x86, 0xdd])) => 14 + 40,
            _ => 14,
        };
        frame.len() >= least && (self == Self::XdpIngress || frame.len() <= TC_MAX_BYTES)
    }
}

/// Handles of the loaded programs, for test runs from any thread.
#[derive(Debug)]
pub(crate) struct Programs {
    ingress_xdp: Xdp,
    ingress_tc: SchedClassifier,
    egress_tc: SchedClassifier,
    ingress_tc_ip: SchedClassifier,
    egress_tc_ip: SchedClassifier,
    egress_cgroup: CgroupSkb,
    framed: Vec<u8>,
    out: Vec<u8>,
}

impl Programs {
    pub(crate) fn of(ebpf: &Ebpf) -> Self {
        let info = |name| {
            let program = ebpf.program(name).expect("the program");
            program.info().expect("a loaded program")
        };
        let classifier = |name| SchedClassifier::from_program_info(info(name), name.into()).expect("a program for tc");
        Self {
            ingress_xdp: Xdp::from_program_info(info("ingress_xdp"), "ingress_xdp".into(), XdpAttachType::Interface)
                .expect("a program for XDP"),
            ingress_tc: classifier("ingress_tc"),
            egress_tc: classifier("egress_tc"),
            ingress_tc_ip: classifier("ingress_tc_ip"),
            egress_tc_ip: classifier("egress_tc_ip"),
            egress_cgroup: CgroupSkb::from_program_info(
                info("egress_cgroup"),
                "egress_cgroup".into(),
                Some(CgroupSkbAttachType::Egress),
            )
            .expect("a program for cgroups"),
            framed: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Runs a program on a frame, with its context or the usual one, so many times; gives the verdict and the frame as it
    /// was left.
    pub(crate) fn run(&mut self, hook: Hook, frame: &[u8], context: Option<&[u8]>, times: u32) -> (u32, &[u8]) {
        let (header, frame) = if hook == Hook::CgroupEgress {
            self.framed.clear();
            self.framed.extend(ETHERNET_OF_SENT);
            self.framed.extend(frame);
            (ETHERNET_OF_SENT.len(), self.framed.as_slice())
        } else {
            (0, frame)
        };
        let out = &mut self.out;
        out.resize(frame.len() + 64, 0);
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(out),
            ctx_in: context,
            repeat: times,
            ..Default::default()
        };
        let result = match hook {
            Hook::XdpIngress => self.ingress_xdp.test_run(options),
            Hook::TcIngress => self.ingress_tc.test_run(options),
            Hook::TcEgress => self.egress_tc.test_run(options),
            Hook::TcIngressIp => self.ingress_tc_ip.test_run(options),
            Hook::TcEgressIp => self.egress_tc_ip.test_run(options),
            Hook::CgroupEgress => self.egress_cgroup.test_run(options),
        };
        let TestRunResult {
            return_value,
            data_size_out,
            ..
        } = result.unwrap_or_else(|error| panic!("{hook:?} can't be run on {frame:02x?}: {error}"));
        let out = self.out.get(header..data_size_out as usize);
        (return_value, out.unwrap_or_default())
    }

    /// Runs a frame and checks what must hold for every one: passed, and not a byte changed.
    pub(crate) fn pass(&mut self, hook: Hook, frame: &[u8]) {
        self.pass_with(hook, frame, None);
    }

    /// As [`Programs::pass`], with a context of the test's own.
    pub(crate) fn pass_with(&mut self, hook: Hook, frame: &[u8], context: Option<&[u8]>) {
        let (verdict, out) = self.run(hook, frame, context, 1);
        let passed = match hook {
            Hook::XdpIngress => XDP_PASS,
            Hook::CgroupEgress => CGROUP_PASS,
            _ => TC_NEXT,
        };
        assert_eq!(verdict, passed, "{hook:?} must pass {frame:02x?}");
        assert!(
            out == frame,
            "{hook:?} must not change a byte: {frame:02x?} became {out:02x?}"
        );
    }
}
