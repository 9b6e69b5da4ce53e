use super::*;
use crate::detect::Findings;

const FLOOR: Duration = Duration::from_millis(30);
const HEALTHY: Assessment = Assessment {
    ready: true,
    tail_too_heavy: false,
    silence_evidence: 0.0,
    residual_evidence: 0.0,
    loss_before_silence: 0.0,
    threshold: 28.0,
    suspicion_threshold: 9.0,
    silence: Duration::ZERO,
    last_answer: MonotonicTime(0),
    answers: 1000,
    idle: false,
    overload: false,
    overload_silence: Duration::from_millis(250),
    block: Duration::from_millis(50),
    unasked: Duration::ZERO,
    waiting: 1,
    has_socket: false,
    hint: false,
    local_answers: None,
    findings: Findings {
        partial_loss: false,
        servfail: false,
        slow: false,
    },
};
const DEAD: Verdict = Verdict::Blackholed(Proof::Silence);
const SUSPECT: Verdict = Verdict::Suspect(Cause::Evidence);

fn evidence(nats: Nats) -> Assessment {
    Assessment {
        silence_evidence: nats,
        silence: Duration::from_millis(10),
        ..HEALTHY
    }
}

fn at(milliseconds: u64) -> MonotonicTime {
    MonotonicTime(milliseconds * 1_000_000)
}

fn burst(started: u64, answered: u8, refused: u8) -> Burst {
    Burst {
        started_at: at(started),
        finished_at: at(started + 5),
        asked: PROBES_IN_BURST,
        sent: PROBES_IN_BURST,
        answered,
        refused,
    }
}

fn suspicion(floor: Duration) -> Suspicion {
    Suspicion::new(
        SuspicionSettings {
            floor: FloorSettings {
                least: floor,
                learn: true,
            },
            probes_veto: true,
            trickle_needs_proof: true,
        },
        at(0),
    )
}

/// Asks a server that answers at `answers(time)`, bursts lasting 5 ms, and gives the time of the first verdict of death.
fn death(floor: Duration, until: u64, answers: impl Fn(u64) -> bool) -> Option<u64> {
    let mut suspicion = suspicion(floor);
    let mut under_way: Vec<u64> = Vec::new();
    for time in 0..until {
        while under_way.first().is_some_and(|&started| started + 5 <= time) {
            let started = under_way.remove(0);
            let answered = if answers(started) { 16 } else { 0 };
            suspicion.burst(&burst(started, answered, 0));
        }
        if matches!(suspicion.tick(at(time), &evidence(100.0)), Verdict::Blackholed(_)) {
            return Some(time);
        }
        if under_way.is_empty() && suspicion.wants_burst(at(time)).is_some() {
            suspicion.burst_sent(at(time));
            under_way.push(time);
        }
    }
    None
}

#[test]
fn a_dead_server_is_found_when_the_floor_has_passed() {
    assert_eq!(death(FLOOR, 1000, |_| false), Some(30));
    assert_eq!(death(Duration::ZERO, 1000, |_| false), Some(5));
    assert_eq!(death(Duration::from_secs(3), 10_000, |_| false), Some(3000));
}

#[test]
fn a_pause_shorter_than_the_floor_is_forgiven_although_no_client_asks_after_it() {
    for pause in 0..20 {
        assert_eq!(death(FLOOR, 5000, |time| time >= pause), None, "{pause} ms");
    }
}

#[test]
fn a_hiccup_in_a_suspicion_that_probes_have_cleared_needs_the_whole_floor_again() {
    // Long after the suspicion began, once, for less than the floor.
    assert_eq!(death(FLOOR, 20_000, |time| !(7000..7025).contains(&time)), None);
    let died = death(FLOOR, 30_000, |time| time < 7000).expect("it is dead");
    assert!(
        (17_000..18_200).contains(&died),
        "{died}: the server lived in this suspicion"
    );
}

#[test]
fn suspicion_starts_at_its_threshold_and_ends_below_half_of_it() {
    let mut suspicion = suspicion(FLOOR);
    assert_eq!(suspicion.tick(at(0), &evidence(8.9)), Verdict::Clear);
    assert_eq!(suspicion.tick(at(1), &evidence(9.0)), SUSPECT);
    assert_eq!(suspicion.tick(at(2), &evidence(4.6)), SUSPECT);
    assert_eq!(suspicion.tick(at(3), &evidence(4.4)), Verdict::Clear);
}

#[test]
fn evidence_without_a_failed_burst_is_never_enough() {
    let mut suspicion = suspicion(Duration::ZERO);
    for time in 0..10_000 {
        assert_eq!(suspicion.tick(at(time), &evidence(1e9)), SUSPECT);
    }
}

#[test]
fn a_failed_burst_counts_eight_nats() {
    let mut suspicion = suspicion(Duration::ZERO);
    suspicion.tick(at(0), &evidence(19.9));
    suspicion.burst(&burst(0, 0, 0));
    assert_eq!(suspicion.tick(at(5), &evidence(19.9)), SUSPECT);
    assert_eq!(suspicion.tick(at(6), &evidence(20.0)), DEAD);
}

#[test]
fn a_closed_socket_skips_the_statistics_and_not_the_floor() {
    let mut suspicion = suspicion(FLOOR);
    suspicion.tick(at(0), &evidence(9.0));
    suspicion.burst(&burst(0, 0, 12));
    suspicion.burst(&burst(20, 0, 12));
    assert_eq!(suspicion.tick(at(29), &evidence(9.0)), SUSPECT);
    assert_eq!(
        suspicion.tick(at(30), &evidence(9.0)),
        Verdict::Blackholed(Proof::NoSocket)
    );
    // A socket is there again: back to statistics.
    suspicion.burst(&burst(31, 0, 0));
    assert_eq!(
        suspicion.tick(at(36), &evidence(9.0)),
        DEAD,
        "three bursts and nine nats"
    );
    let mut suspicion = self::suspicion(Duration::ZERO);
    suspicion.tick(at(0), &evidence(9.0));
    suspicion.burst(&burst(0, 0, 11));
    assert_eq!(suspicion.tick(at(30), &evidence(9.0)), SUSPECT, "eleven are no proof");
}

#[test]
fn a_late_answer_clears_what_its_burst_seemed_to_prove() {
    let mut suspicion = suspicion(FLOOR);
    suspicion.tick(at(0), &evidence(100.0));
    suspicion.burst(&burst(0, 0, 0));
    suspicion.burst(&burst(0, 1, 0));
    suspicion.burst(&burst(25, 0, 0));
    assert_eq!(suspicion.tick(at(54), &evidence(100.0)), SUSPECT);
}

#[test]
fn a_burst_from_before_the_suspicion_or_not_wholly_sent_proves_nothing() {
    let mut suspicion = suspicion(Duration::ZERO);
    suspicion.tick(at(10), &evidence(100.0));
    suspicion.burst(&burst(9, 0, 16));
    suspicion.burst(&Burst {
        sent: 15,
        ..burst(11, 0, 0)
    });
    assert_eq!(suspicion.tick(at(20), &evidence(100.0)), SUSPECT);
}

#[test]
fn probes_answered_while_nothing_leaves_call_the_egress_broken() {
    let mut suspicion = suspicion(FLOOR);
    let silent = |nats, milliseconds| Assessment {
        silence: Duration::from_millis(milliseconds),
        ..evidence(nats)
    };
    suspicion.tick(at(0), &evidence(100.0));
    suspicion.burst(&burst(0, 16, 0));
    assert_eq!(suspicion.tick(at(1999), &silent(100.0, 1999)), SUSPECT);
    assert_eq!(suspicion.tick(at(2000), &silent(27.9, 2000)), SUSPECT);
    assert_eq!(
        suspicion.tick(at(2000), &silent(28.0, 2000)),
        Verdict::EgressBroken { proven: false }
    );
}

#[test]
fn once_the_egress_was_called_broken_a_pause_of_the_server_is_not_its_death() {
    let silent = Assessment {
        silence: Duration::from_secs(10),
        ..evidence(100.0)
    };
    let mut suspicion = suspicion(FLOOR);
    suspicion.tick(at(0), &silent);
    suspicion.burst(&burst(0, 16, 0));
    assert_eq!(
        suspicion.tick(at(2000), &silent),
        Verdict::EgressBroken { proven: false }
    );
    let mut died = None;
    for time in 2001..30_000 {
        if matches!(suspicion.tick(at(time), &silent), Verdict::Blackholed(_)) {
            died = Some(time);
            break;
        }
        if suspicion.wants_burst(at(time)).is_some() {
            suspicion.burst_sent(at(time));
            // One pause of nearly three seconds, and then it is dead.
            let answered = if time < 2100 || (2200..2210).contains(&time) {
                16
            } else {
                0
            };
            suspicion.burst(&burst(time, answered, 0));
        }
    }
    assert!(died.is_some_and(|time| time >= 12_000), "{died:?}");
}

#[test]
fn bursts_come_quickly_then_slower_and_settle() {
    let sent = |answered: u8| {
        let mut suspicion = suspicion(Duration::from_secs(60));
        let mut sent = Vec::new();
        for time in 0..20_000 {
            suspicion.tick(at(time), &evidence(100.0));
            if suspicion.wants_burst(at(time)).is_some() {
                suspicion.burst_sent(at(time));
                suspicion.burst(&burst(time, answered, 0));
                sent.push(time);
            }
        }
        sent
    };
    assert_eq!(sent(0)[..6], [0, 5, 10, 60, 160, 260]);
    let answered = sent(16);
    assert_eq!(answered[..6], [0, 5, 10, 60, 160, 260]);
    assert!((60..80).contains(&answered.len()), "{}", answered.len());
}

#[test]
fn suspicions_that_come_and_go_do_so_about_once_a_second() {
    let mut suspicion = suspicion(FLOOR);
    let mut started = 0;
    for time in 0..60_000 {
        let before = suspicion.is_suspicious();
        suspicion.tick(at(time), &evidence(if time % 5 < 3 { 10.0 } else { 0.0 }));
        started += usize::from(!before && suspicion.is_suspicious());
    }
    assert!((60..=71).contains(&started), "{started}");
}

#[test]
fn time_that_was_not_observed_is_no_part_of_the_floor() {
    let mut suspicion = suspicion(FLOOR);
    suspicion.tick(at(0), &evidence(100.0));
    suspicion.burst(&burst(0, 0, 0));
    suspicion.forgive(Duration::from_millis(500));
    suspicion.burst_sent(at(520));
    suspicion.burst(&burst(520, 0, 0));
    assert_eq!(suspicion.tick(at(529), &evidence(100.0)), SUSPECT);
    assert_eq!(suspicion.tick(at(530), &evidence(100.0)), DEAD);
}

#[test]
fn a_burst_in_which_the_machine_mostly_stood_still_proves_nothing_and_another_does() {
    let proves = |stalls: &[u64]| {
        let mut suspicion = suspicion(Duration::ZERO);
        suspicion.tick(at(0), &evidence(100.0));
        suspicion.burst_sent(at(0));
        for &stall in stalls {
            suspicion.forgive(Duration::from_millis(stall));
        }
        suspicion.burst(&Burst {
            finished_at: at(100),
            ..burst(0, 0, 0)
        });
        suspicion.tick(at(1000), &evidence(100.0)) == DEAD
    };
    assert!(proves(&[]) && proves(&[5, 5, 5]));
    assert!(!proves(&[60]) && !proves(&[30, 30]));
}

#[test]
fn an_answer_while_probes_fail_contradicts_them() {
    let mut suspicion = suspicion(FLOOR);
    suspicion.tick(at(0), &evidence(10.0));
    assert_eq!(suspicion.tick(at(1), &evidence(0.0)), Verdict::Clear);
    suspicion.tick(at(10), &evidence(10.0));
    suspicion.burst(&burst(10, 0, 0));
    let calm = |suspicion: &mut Suspicion, until: u64| {
        (15..until).find(|&time| suspicion.tick(at(time), &evidence(0.0)) != SUSPECT)
    };
    let mut answered = suspicion.clone();
    assert_eq!(
        calm(&mut suspicion, 3015),
        None,
        "an answer may have slipped out of a dying server"
    );
    assert_eq!(suspicion.tick(at(3015), &evidence(0.0)), Verdict::Contradicted);
    assert_eq!(suspicion.tick(at(3016), &evidence(0.0)), Verdict::Clear, "once");
    assert_eq!(calm(&mut answered, 60), None);
    answered.burst(&burst(60, 16, 0));
    assert_eq!(answered.tick(at(65), &evidence(0.0)), Verdict::Clear, "it was a pause");
}
