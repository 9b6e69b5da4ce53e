use proptest::prelude::*;

use super::*;

const MILLISECOND: Duration = Duration::from_millis(1);
const SETTINGS: Settings = Settings {
    time_between_false_alarms: Duration::from_secs(316_000_000),
    services: 1,
    arming_answers: 1000,
    arming_time: Duration::from_secs(1),
    parts: Parts::ALL,
};

fn learning(suspicious: bool) -> Learning {
    if suspicious { Learning::Nothing } else { Learning::All }
}

/// A service with constant rates, driven a millisecond at a time.
struct Drive {
    detector: Detector,
    sample: Sample,
    assessment: Assessment,
}

impl Drive {
    fn new() -> Self {
        let sample = Sample {
            at: MonotonicTime(1_000_000_000),
            counts: Counts {
                queries: 7,
                answers: 5,
                packets: 7,
                ..Counts::default()
            },
        };
        Self {
            detector: Detector::new(SETTINGS, sample),
            sample,
            assessment: Assessment::default(),
        }
    }

    fn run(&mut self, milliseconds: u32, queries: u64, answers: u64, suspicious: bool) -> &mut Self {
        for _ in 0..milliseconds {
            self.sample.at = self.sample.at.after(MILLISECOND);
            self.sample.counts.queries += queries;
            self.sample.counts.packets += queries;
            self.sample.counts.answers += answers;
            self.assessment = self.detector.tick(self.sample, learning(suspicious));
        }
        self
    }

    /// 10,000 queries a second, all answered, for two seconds.
    fn healthy() -> Self {
        let mut drive = Self::new();
        drive.run(2000, 10, 10, false);
        drive
    }
}

fn close(left: f64, right: f64) -> bool {
    (left - right).abs() <= 1e-6 * right.abs().max(1.0)
}

#[test]
fn thresholds_follow_the_formula() {
    let Assessment {
        ready,
        threshold,
        suspicion_threshold,
        silence_evidence: evidence,
        ..
    } = Drive::healthy().assessment;
    assert!(ready);
    assert!(close(threshold, (10_000.0 * 3.16e8_f64).ln_1p()), "{threshold}");
    assert!(close(suspicion_threshold, 10_000_f64.ln_1p()), "{suspicion_threshold}");
    assert!(close(evidence, 0.0));
}

#[test]
fn services_share_the_budget_of_false_alarms() {
    let mut drive = Drive::new();
    let settings = Settings {
        services: 8,
        ..SETTINGS
    };
    drive.detector = Detector::new(settings, drive.sample);
    drive.run(2000, 10, 10, false);
    assert!(close(drive.assessment.threshold, (10_000.0 * 3.16e8 * 8.0_f64).ln_1p()));
}

#[test]
fn silence_under_demand_grows_by_the_usual_rate() {
    let mut drive = Drive::healthy();
    let assessment = drive.run(5, 10, 0, true).assessment;
    // By time 5 ms · 10/ms; by queries the youngest millisecond does not count yet.
    assert!(close(assessment.silence_evidence, 40.0), "{assessment:?}");
    assert_eq!(assessment.silence, 5 * MILLISECOND);
}

#[test]
fn an_end_of_demand_is_no_evidence() {
    let mut drive = Drive::healthy();
    let assessment = drive.run(2000, 0, 0, false).assessment;
    assert!(close(assessment.silence_evidence, 0.0), "{assessment:?}");
    assert!(assessment.idle);
}

#[test]
fn a_trickle_is_not_idle_between_two_queries_and_an_idle_service_stays_idle() {
    let mut drive = Drive::new();
    for query in 0..60 {
        drive.run(1, 1, 1, false);
        let idle = drive.run(1999, 0, 0, false).assessment.idle;
        assert!(query < 10 || !idle, "the rate is known by now");
    }
    drive.run(60_000, 0, 0, false);
    for _ in 0..600 {
        assert!(drive.run(1000, 0, 0, false).assessment.idle);
    }
    assert!(!drive.run(1, 1, 0, false).assessment.idle);
}

#[test]
fn a_flood_that_cannot_be_answered_is_capped_by_the_usual_rate() {
    let mut drive = Drive::healthy();
    let assessment = drive.run(5, 100_000, 0, true).assessment;
    assert!(assessment.silence_evidence <= 50.0 + 1e-6, "{assessment:?}");
}

#[test]
fn any_answer_ends_the_silence() {
    let mut drive = Drive::healthy();
    drive.run(5, 10, 0, true);
    let assessment = drive.run(1, 10, 1, true).assessment;
    assert!(close(assessment.silence_evidence, 0.0), "{assessment:?}");
    assert_eq!(assessment.silence, Duration::ZERO);
}

#[test]
fn a_query_weighs_what_its_usual_share_of_answers_makes_likely() {
    let mut drive = Drive::new();
    drive.run(2000, 10, 5, false);
    let assessment = drive.run(3, 1, 0, true).assessment;
    // Two queries older than the lag, each −ln(1 − ½).
    assert!(
        (assessment.silence_evidence - 2.0 * std::f64::consts::LN_2).abs() < 1e-3,
        "{assessment:?}"
    );
}

#[test]
fn a_service_is_ready_after_both_answers_and_time() {
    assert!(
        !Drive::new().run(999, 10, 10, false).assessment.ready,
        "time is missing"
    );
    assert!(!Drive::new().run(5000, 10, 0, false).assessment.ready, "never answered");
    let mut slow = Drive::new();
    slow.run(2000, 1, 0, false).run(999, 1, 1, false);
    assert!(!slow.assessment.ready, "an answer is missing");
    assert!(slow.run(1, 1, 1, false).assessment.ready);
}

#[test]
fn an_answered_flood_does_not_raise_what_is_expected() {
    let mut drive = Drive::healthy();
    let before = drive.assessment.threshold;
    let flooded = drive.run(10_000, 100, 100, false).assessment.threshold;
    // Ten times the answers would be 2.3 nats more.
    assert!(flooded - before < 0.01, "{before} {flooded}");
}

#[test]
fn idleness_freezes_the_baselines_and_demand_that_returns_unanswered_is_evidence() {
    let mut drive = Drive::healthy();
    let before = drive.assessment.threshold;
    let idle = drive.run(600_000, 0, 0, false).assessment;
    assert!(idle.idle && before - idle.threshold < 1.0, "{before} {idle:?}");
    let asked = drive.run(5, 10, 0, false).assessment;
    assert!(asked.silence_evidence > asked.suspicion_threshold, "{asked:?}");
}

#[test]
fn one_unanswered_query_is_far_from_proof_however_little_is_usual() {
    let mut drive = Drive::new();
    for _ in 0..1000 {
        drive.run(1, 1, 1, false).run(4999, 0, 0, false);
    }
    let assessment = drive.run(1, 1, 0, false).run(1000, 0, 0, false).assessment;
    assert!(
        assessment.ready && assessment.silence_evidence <= 1.0 && assessment.threshold > 19.0,
        "{assessment:?}"
    );
}

#[test]
fn a_stall_of_the_daemon_does_not_wipe_the_evidence() {
    let mut drive = Drive::healthy();
    let before = drive.run(5, 10, 0, true).assessment.silence_evidence;
    drive.sample.at = drive.sample.at.after(Duration::from_micros(4900));
    for _ in 0..8 {
        drive.sample.at = drive.sample.at.after(Duration::from_micros(50));
        drive.sample.counts.queries += 1;
        assert!(drive.detector.tick(drive.sample, Learning::Nothing).silence_evidence >= before);
    }
}

#[test]
fn a_service_that_proved_to_be_alive_owes_nothing() {
    let mut drive = Drive::healthy();
    assert!(drive.run(5, 10, 0, false).assessment.silence_evidence > 10.0);
    drive.detector.settle();
    assert!(close(drive.run(1000, 0, 0, false).assessment.silence_evidence, 0.0));
}

#[test]
fn suspicion_freezes_the_baselines() {
    let mut drive = Drive::healthy();
    let before = drive.assessment.threshold;
    assert!(close(drive.run(60_000, 10, 0, true).assessment.threshold, before));
    assert!(drive.run(60_000, 10, 0, false).assessment.threshold < before - 0.1);
}

#[test]
fn what_was_not_observed_is_not_silence() {
    let mut drive = Drive::healthy();
    let pause = Duration::from_millis(500);
    drive.detector.forgive(pause);
    drive.sample.at = drive.sample.at.after(pause);
    drive.sample.counts.queries += 5000;
    let assessment = drive.detector.tick(drive.sample, Learning::All);
    assert!(assessment.silence_evidence < 1.0, "{assessment:?}");
}

/// What was learned before the first query, or from half a step of them, would take minutes to fade.
#[test]
fn a_start_before_demand_teaches_no_dispersion_and_no_lower_rate() {
    for before in [1, 50, 777, 30_000] {
        let mut drive = Drive::new();
        drive.run(before, 0, 0, false).run(1300, 10, 10, false);
        let parameters = drive.detector.in_use();
        assert!(drive.assessment.ready, "{before} ms");
        assert!(close(parameters.dispersion, 1.0), "{before} ms: {parameters:?}");
        assert!(
            (parameters.usual_rate - 10_000.0).abs() < 150.0,
            "{before} ms: {parameters:?}"
        );
    }
}

proptest! {
    #[test]
    fn any_counters_give_finite_evidence(samples: Vec<(u32, [u64; 5], Option<u64>, bool)>) {
        let mut drive = Drive::new();
        for (elapsed, [queries, answers, packets, hints, servfails], local_answers, suspicious) in samples {
            let counts = Counts { queries, answers, packets, hints, servfails, local_answers };
            let sample = Sample { at: drive.sample.at.after(Duration::from_nanos(elapsed.into())), counts };
            drive.sample = sample;
            let assessment = drive.detector.tick(sample, learning(suspicious));
            let Assessment { silence_evidence, residual_evidence, threshold, suspicion_threshold, .. } = assessment;
            prop_assert!(silence_evidence.is_finite() && silence_evidence >= 0.0);
            prop_assert!(residual_evidence.is_finite() && residual_evidence >= 0.0);
            prop_assert!(threshold.is_finite() && threshold >= suspicion_threshold);
        }
    }
}
