//! Services that are only watched: by their protocol, or because answers may leave uncounted.

use super::*;

const WATCHED: Option<WatchOnly> = Some(WatchOnly::NoProbe);

/// Armed, with a service that is probed, one that is only watched, and two seconds of healthy traffic.
fn mixed() -> World {
    let mut world = World::with(true, Found::Up, &[None, WATCHED]);
    world.run(2000);
    assert_eq!(states(&world), [State::Healthy, State::Healthy]);
    world.log.events.clear();
    world
}

fn states(world: &World) -> Vec<State> {
    world.engine.views().map(|view| view.state).collect()
}

fn bypass(world: &mut World, bypassed: bool) {
    world.engine.bypass(bypassed, world.now, &mut world.log);
}

#[test]
fn a_watched_service_that_falls_silent_is_told_of_once_and_moves_nothing() {
    let mut world = mixed();
    let fault = world.now;
    world.servers[1] = Server::Gone;
    world.run(10_000);
    assert_eq!(states(&world), [State::Healthy, State::Blackholed]);
    assert_eq!((world.up, world.alerts()), (true, vec![AlertKind::WatchedSilent]));
    assert_eq!((world.told("withdraw"), world.told("would_withdraw")), (0, 0));
    let told = world.log.events.iter().find(|event| event.kind.name() == "alert");
    let delay = told.expect("an alert").at.since(fault);
    assert!(
        delay >= Duration::from_millis(30) && delay <= Duration::from_millis(40),
        "{delay:?}"
    );
    world.servers[1] = Server::Answers;
    world.run(100);
    assert_eq!(states(&world), [State::Healthy, State::Healthy]);
}

#[test]
fn a_watched_service_is_never_probed() {
    let mut world = mixed();
    world.run(30_000);
    for server in [Server::Hangs, Server::Answers] {
        world.servers[1] = server;
        world.run(5000);
    }
    world.servers[0] = Server::Hangs;
    world.run(5000);
    assert!(!world.up);
    world.servers[0] = Server::Answers;
    world.run(5000);
    assert!(world.up && world.log.probed.contains(&0) && !world.log.probed.contains(&1));
}

#[test]
fn a_watched_service_does_not_keep_its_link_down() {
    for found in [Found::Up, Found::WithdrawnByUs] {
        let mut world = World::with(true, found, &[WATCHED, None]);
        world.run(2000);
        world.servers = vec![Server::Gone, Server::Hangs];
        world.run(200);
        assert!(!world.up);
        world.servers[1] = Server::Answers;
        world.run(6000);
        assert!(world.up, "{found:?}");
        assert!(!world.alerts().contains(&AlertKind::SomeUnanswered));
    }
}

#[test]
fn a_watched_service_that_is_known_speaks_for_no_other() {
    let mut world = World::with(true, Found::Up, &[WATCHED, None]);
    // The second one was never seen to answer when the link is found to be withdrawn.
    world.servers[1] = Server::Gone;
    world.run(2000);
    assert_eq!(states(&world), [State::Healthy, State::Unarmed]);
    world.hand(false, true);
    world.run(10_000);
    assert!(!world.up);
    world.servers[1] = Server::Answers;
    world.run(6000);
    assert!(world.up);
}

#[test]
fn a_watched_service_that_nobody_uses_is_idle_whatever_was_left_open() {
    let mut world = mixed();
    world.servers[1] = Server::Gone;
    world.run(1);
    world.queries_per_tick = 0;
    world.run(60_000);
    assert_eq!((states(&world)[1], world.alerts()), (State::Idle, vec![]));
    assert!(world.told("state") <= 6, "{:?}", world.log.events);
}

#[test]
fn an_observer_judges_a_watched_service_the_same() {
    let mut world = World::with(false, Found::Up, &[WATCHED]);
    world.run(2000);
    world.servers[0] = Server::Hangs;
    world.run(1000);
    assert_eq!(
        (world.state(), world.alerts()),
        (State::Blackholed, vec![AlertKind::WatchedSilent])
    );
    assert_eq!(world.told("would_withdraw"), 0);
}

#[test]
fn a_pause_of_the_daemon_is_not_silence_of_a_watched_service() {
    let mut world = World::with(true, Found::Up, &[WATCHED]);
    world.run(2000);
    world.servers[0] = Server::Hangs;
    // A suspicion has begun, and then the machine stands still for longer than the floor.
    world.run(5);
    assert_eq!(world.state(), State::Suspect);
    let pause = Duration::from_millis(500);
    world.now = world.now.after(pause);
    world.engine.forgive(pause);
    world.run(1);
    assert_eq!((world.state(), world.alerts()), (State::Suspect, vec![]));
    world.run(40);
    assert_eq!(world.state(), State::Blackholed);
}

#[test]
fn as_long_as_answers_may_leave_uncounted_nothing_is_withdrawn() {
    let mut world = World::healthy(true);
    world.log.probed.clear();
    bypass(&mut world, true);
    bypass(&mut world, true);
    assert_eq!(
        (world.state(), world.alerts()),
        (State::Unarmed, vec![AlertKind::Bypassed])
    );
    // Its answers are not seen any more: it never becomes known, and no alert says that it is silent.
    world.servers[0] = Server::Muted;
    world.run(60_000);
    assert_eq!((world.up, world.state()), (true, State::Unarmed));
    assert_eq!((world.alerts().len(), world.log.probed.len()), (1, 0));

    bypass(&mut world, false);
    world.servers[0] = Server::Answers;
    world.run(3000);
    assert_eq!(world.state(), State::Healthy, "armed again, from zero");
    world.servers[0] = Server::Hangs;
    world.run(200);
    assert!(!world.up);
}

#[test]
fn what_is_still_seen_of_a_bypassed_service_is_judged() {
    let mut world = World::healthy(true);
    bypass(&mut world, true);
    world.run(2000);
    assert_eq!(world.state(), State::Healthy);
    world.servers[0] = Server::Hangs;
    world.run(1000);
    assert_eq!((world.up, world.state()), (true, State::Blackholed));
    assert_eq!(world.alerts(), [AlertKind::Bypassed, AlertKind::WatchedSilent]);
}

#[test]
fn a_burst_under_way_when_answers_begin_to_leave_uncounted_proves_nothing() {
    let mut world = World::healthy(true);
    world.servers[0] = Server::Gone;
    while world.probes.is_empty() {
        world.run(1);
    }
    bypass(&mut world, true);
    world.run(500);
    assert_eq!(
        (world.up, world.state(), world.told("withdraw")),
        (true, State::Unarmed, 0)
    );
}

#[test]
fn a_withdrawn_link_comes_back_although_answers_may_leave_uncounted() {
    let mut world = World::healthy(true);
    world.servers[0] = Server::Hangs;
    world.run(200);
    bypass(&mut world, true);
    assert_eq!(world.state(), State::Withdrawn);
    world.servers[0] = Server::Answers;
    world.run(6000);
    assert!(world.up);
    world.servers[0] = Server::Hangs;
    world.run(10_000);
    assert!(world.up, "and is only watched then");
}

#[test]
fn an_observer_is_not_alarmed_by_a_bypass() {
    let mut world = World::healthy(false);
    bypass(&mut world, true);
    assert_eq!((world.state(), world.alerts()), (State::Unarmed, vec![]));
}

/// As when an armed daemon starts where somebody else's program is.
#[test]
fn a_bypass_that_was_there_first_is_told_and_a_link_withdrawn_before_comes_back() {
    let mut world = World::with(true, Found::WithdrawnByUs, &[None]);
    bypass(&mut world, true);
    assert_eq!(world.alerts(), [AlertKind::Bypassed]);
    world.run(6000);
    assert!(world.up);
    world.servers[0] = Server::Hangs;
    world.run(10_000);
    assert!(world.up, "and is only watched then");
}
