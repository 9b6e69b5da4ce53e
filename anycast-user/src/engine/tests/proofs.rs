//! What a withdrawal may rest on, besides silence and failed probes, and what it may not.

use super::*;

fn reasons(world: &World) -> Vec<Reason> {
    let reason = |event: &Event| match event.kind {
        EventKind::Withdraw { reason, .. } => Some(reason),
        _ => None,
    };
    world.log.events.iter().filter_map(reason).collect()
}

/// Milliseconds until the link is down.
fn down_after(world: &mut World, at_most: u32) -> Option<u32> {
    (0..at_most).find(|_| {
        world.run(1);
        !world.up
    })
}

#[test]
fn a_hint_is_looked_into_and_a_closed_socket_found_without_traffic() {
    let mut world = World::healthy(true);
    world.queries_per_tick = 0;
    world.run(5000);
    world.servers[0] = Server::Gone;
    world.counters[0].hints += 1;
    let down = down_after(&mut world, 100).expect("withdrawn");
    assert!((30..50).contains(&down), "not before the floor: {down}");
    assert_eq!(reasons(&world), [Reason::NoSocket]);
}

#[test]
fn hints_about_a_living_server_cost_a_burst_now_and_then() {
    let mut world = World::healthy(true);
    world.log.probed.clear();
    for _ in 0..10_000 {
        world.counters[0].hints += 100;
        world.run(1);
    }
    assert_eq!((world.up, world.alerts()), (true, vec![]));
    assert!((10..80).contains(&world.log.probed.len()), "{}", world.log.probed.len());
}

#[test]
fn an_idle_server_that_hangs_is_found_by_probes_alone() {
    let mut world = World::healthy(true);
    world.queries_per_tick = 0;
    world.run(5000);
    world.servers[0] = Server::Hangs;
    let down = down_after(&mut world, 25_000).expect("withdrawn");
    assert!(down >= 1000, "{down}");
    assert_eq!(reasons(&world), [Reason::ProbesFail]);
}

#[test]
fn while_unarmed_only_probes_that_were_answered_before_say_anything() {
    let mut world = World::new(true, Found::Up, 1);
    world.queries_per_tick = 0;
    world.run(1000);
    world.servers[0] = Server::Hangs;
    let down = down_after(&mut world, 20_000).expect("withdrawn");
    assert!(down >= 3000, "{down}");
    assert_eq!(reasons(&world), [Reason::ProbesFail]);
}

#[test]
fn where_answers_trickle_128_probes_decide() {
    for (server, withdrawn) in [(Server::Hangs, true), (Server::Limps, false)] {
        let mut world = World::healthy(true);
        world.servers[0] = server;
        world.log.bursts.clear();
        for tick in 0..3000 {
            // One in two hundred is answered all the same.
            world.counters[0].answers -= if server == Server::Limps { 10 } else { 0 };
            world.counters[0].answers += u64::from(tick % 20 == 5);
            world.run(1);
            if !world.up {
                break;
            }
        }
        assert_eq!(!world.up, withdrawn, "{:?}", world.log.events);
        if withdrawn {
            let large = world.log.bursts.iter().filter(|probes| **probes == 64).count();
            assert!(large >= 2);
            assert_eq!(reasons(&world), [Reason::TrickleAndProbesFail]);
        }
    }
}

#[test]
fn under_overload_only_a_long_silence_is_evidence() {
    let mut world = World::healthy(true);
    world.run(20_000);
    world.queries_per_tick = 100;
    world.run(200);
    world.servers[0] = Server::Hangs;
    let down = down_after(&mut world, 1000).expect("withdrawn");
    assert!((250..300).contains(&down), "{down}");
    assert_eq!(reasons(&world), [Reason::SilentUnderLoad]);
}

#[test]
fn answers_that_leave_the_server_and_never_the_host_are_a_second_proof() {
    for counted in [false, true] {
        let mut world = World::healthy(true);
        world.servers[0] = Server::Muted;
        let mut wanted = false;
        for tick in 0..5000 {
            wanted |= world.engine.views().next().unwrap().wants_second_proof;
            if counted && wanted {
                world.counters[0].local_answers = Some(10 * tick);
            }
            world.run(1);
        }
        assert!(wanted);
        assert_eq!(world.up, !counted);
        assert!(world.alerts().contains(&AlertKind::EgressBroken));
        let expected = if counted { vec![Reason::AnswersLost] } else { vec![] };
        assert_eq!(reasons(&world), expected);
    }
}

#[test]
fn a_server_that_lived_while_its_clients_met_silence_must_fail_for_ten_seconds() {
    let mut world = World::healthy(true);
    world.servers[0] = Server::Muted;
    world.run(100);
    world.servers[0] = Server::Hangs;
    let down = down_after(&mut world, 20_000).expect("withdrawn");
    assert!((10_000..10_300).contains(&down), "{down}");
    assert_eq!(reasons(&world), [Reason::LapsedAndProbesFail]);
}

#[test]
fn a_link_that_needs_all_of_its_services_dead_keeps_up_with_one() {
    let mut world = World::set_up(true, Found::Up, &[None, None], WithdrawWhen::All, &[]);
    world.run(2000);
    world.servers[0] = Server::Hangs;
    world.run(2000);
    assert!(world.up);
    assert_eq!((world.told("refuse"), world.told("withdraw")), (1, 0));
    world.servers[1] = Server::Hangs;
    assert!(down_after(&mut world, 100).is_some());
    assert_eq!(world.told("withdraw"), 1);
}

#[test]
fn an_alert_withdraws_when_the_operator_named_it_and_it_lasts() {
    for named in [&[][..], &[AlertKind::Servfail]] {
        let mut world = World::set_up(true, Found::Up, &[None], WithdrawWhen::Any, named);
        world.run(2000);
        let mut down = None;
        for tick in 0..30_000 {
            world.counters[0].servfails += 10;
            world.run(1);
            down = down.or((!world.up).then_some(tick));
        }
        assert!(world.alerts().contains(&AlertKind::Servfail));
        assert_eq!(down.is_some(), !named.is_empty());
        if let Some(down) = down {
            assert!((10_000..17_000).contains(&down), "{down}");
            assert_eq!(reasons(&world)[0], Reason::Alert(AlertKind::Servfail));
        }
    }
}

#[test]
fn an_alert_that_is_over_is_told_of() {
    let mut world = World::healthy(true);
    world.run(20_000);
    world.queries_per_tick = 100;
    world.run(4000);
    assert_eq!(world.alerts(), [], "a burst is no overload yet");
    world.run(2000);
    world.queries_per_tick = 10;
    world.run(5000);
    assert_eq!(
        (world.alerts(), world.told("alert_over")),
        (vec![AlertKind::Overload], 1)
    );
}

#[test]
fn counters_that_were_set_back_are_watched_from_zero() {
    let mut world = World::healthy(true);
    world.counters[0] = Counts::default();
    world.run(1);
    assert_eq!(world.state(), State::Unarmed);
    world.run(900);
    assert_eq!((world.up, world.state()), (true, State::Unarmed));
    world.run(1200);
    assert_eq!(world.state(), State::Healthy);
}

#[test]
fn an_observer_learns_from_a_pause_how_long_the_floor_has_to_be() {
    let mut world = World::healthy(false);
    let floor = |world: &World| world.engine.views().next().unwrap().floor;
    assert_eq!(floor(&world), Duration::from_millis(30));
    world.servers[0] = Server::Hangs;
    world.run(100);
    world.servers[0] = Server::Answers;
    world.run(100);
    let learned = floor(&world);
    assert!((190..=215).contains(&learned.as_millis()), "{learned:?}");
    // What an attacker can do without touching the server teaches nothing.
    let mut flooded = World::healthy(false);
    flooded.run(20_000);
    flooded.queries_per_tick = 1000;
    flooded.servers[0] = Server::Hangs;
    flooded.run(100);
    flooded.servers[0] = Server::Answers;
    flooded.run(100);
    assert_eq!(floor(&flooded), Duration::from_millis(30));
}

#[test]
fn the_closest_approach_is_kept() {
    let mut world = World::healthy(true);
    let approach = |world: &World| world.engine.views().next().unwrap().closest_approach;
    assert!(approach(&world) < 0.2, "{}", approach(&world));
    world.servers[0] = Server::Hangs;
    world.run(200);
    world.servers[0] = Server::Answers;
    world.run(6000);
    assert!(world.up && approach(&world) > 1.0);
}

#[test]
fn a_service_without_news_is_not_taken_for_silent() {
    let mut world = World::healthy(true);
    for _ in 0..1000 {
        world.now = world.now.after(MILLISECOND);
        world.engine.tick(world.now, |_| None, &mut world.log);
    }
    assert_eq!((world.state(), world.log.events.len()), (State::Healthy, 0));
}

#[test]
fn an_explanation_says_what_the_verdict_rests_on() {
    let mut world = World::new(true, Found::Up, 1);
    assert_eq!(world.engine.explanation(0), None);
    world.run(2000);
    world.servers[0] = Server::Hangs;
    world.run(20);
    let explanation = world.engine.explanation(0).expect("it ticks");
    assert!(explanation.armed && explanation.suspected_since.is_some() && !explanation.dead);
    assert!((170..=200).contains(&explanation.unanswered), "{explanation:?}");
    assert!((150.0..=200.0).contains(&explanation.expected), "{explanation:?}");
    assert!(explanation.failed_bursts >= 2 && explanation.burst_nats >= 16.0);
    assert_eq!(explanation.floor, Duration::from_millis(30));
    assert_eq!(world.engine.explanation(1), None);
}
