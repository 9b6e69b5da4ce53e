//! Packets through the programs without an interface: `BPF_PROG_TEST_RUN`.

use anycast_ebpf::packet::Direction;
use aya::programs::{SchedClassifier, TestRun, TestRunOptions, Xdp};

use super::{Datapath, DatapathError, EGRESS_TC, INGRESS_XDP, program_error, program_mut};

/// The shortest frame that [`Datapath::test_run`] takes: an Ethernet header.
///
/// A frame that leaves has to have its whole fixed IP header too, if its type says that it is IP.
pub const TEST_RUN_MIN_BYTES: usize = 14;

/// The longest frame that [`Datapath::test_run`] takes on any kernel: with 4 KiB pages, they take a page less their own
/// head- and tailroom. Headers that are looked at end before.
pub const TEST_RUN_MAX_BYTES: usize = 2048;

impl Datapath {
    /// Runs the program that counts packets of `direction` on an Ethernet frame, as if it had come by.
    ///
    /// It is counted in the [`Bank`](super::Bank) like any other; so this is for programs that are loaded for the
    /// purpose and never attached. A frame shorter than [`TEST_RUN_MIN_BYTES`] or longer than [`TEST_RUN_MAX_BYTES`]
    /// may be refused by the kernel.
    pub fn test_run(&mut self, direction: Direction, frame: &[u8]) -> Result<(), DatapathError> {
        let options = TestRunOptions {
            data_in: Some(frame),
            ..Default::default()
        };
        let (program, ran) = match direction {
            Direction::Ingress => {
                let xdp: &mut Xdp = program_mut(&mut self.ebpf, INGRESS_XDP)?;
                (INGRESS_XDP, xdp.test_run(options))
            }
            Direction::Egress => {
                let classifier: &mut SchedClassifier = program_mut(&mut self.ebpf, EGRESS_TC)?;
                (EGRESS_TC, classifier.test_run(options))
            }
        };
        ran.map(|_| ()).map_err(|error| program_error(program, error))
    }
}
