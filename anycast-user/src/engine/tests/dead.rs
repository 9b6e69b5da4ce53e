//! What is dead is withdrawn, whatever it looked like before.

use super::*;

fn down_after(world: &mut World, at_most: u32, mut each: impl FnMut(&mut World, u32)) -> Option<u32> {
    (0..at_most).find(|&tick| {
        each(world, tick);
        world.run(1);
        !world.up
    })
}

#[test]
fn stray_answers_do_not_hide_death_at_any_rate() {
    for per_tick in [10, 40, 100, 1000, 4000] {
        let mut world = World::new(true, Found::Up, 1);
        world.queries_per_tick = per_tick;
        world.run(22_000);
        world.servers[0] = Server::Hangs;
        // One in two hundred.
        let (every, strays) = ((200 / per_tick).max(1) as u32, (per_tick / 200).max(1));
        let down = down_after(&mut world, 1000, |world, tick| {
            world.counters[0].answers += if tick % every == 0 { strays } else { 0 };
        });
        assert!(
            down.is_some_and(|down| down < 150),
            "{per_tick} a millisecond: {down:?}"
        );
    }
}

#[test]
fn stray_answers_after_a_veto_do_not_make_it_last() {
    for strays in [0, 1, 20, 60] {
        let mut world = World::healthy(true);
        world.servers[0] = Server::Muted;
        for tick in 0..100 {
            world.counters[0].answers += u64::from((10..10 + strays).contains(&tick));
            world.run(1);
        }
        world.servers[0] = Server::Hangs;
        let down = down_after(&mut world, 20_000, |_, _| {});
        assert!(down.is_some_and(|down| down < 10_300), "{strays}: {down:?}");
    }
}

#[test]
fn clients_who_ask_again_between_stray_answers_are_no_overload() {
    for floor in [30, 500, 3000] {
        let mut world = World::new(true, Found::Up, 1);
        let mut settings = world.engine.settings;
        settings.suspicion.floor = FloorSettings {
            least: Duration::from_millis(floor),
            learn: false,
        };
        let setup = LinkSetup {
            found: Found::Up,
            withdraw_when: WithdrawWhen::Any,
            services: vec![ServiceSetup::default()],
        };
        world.engine = Engine::new(settings, &[setup], world.now);
        world.run(22_000);
        world.servers[0] = Server::Hangs;
        let down = down_after(&mut world, 10_000, |world, tick| {
            world.counters[0].answers += u64::from(tick % 20 == 5);
            world.queries_per_tick = if tick < 400 { 10 } else { 30 };
        });
        assert!(
            down.is_some_and(|down| u64::from(down) < floor + 100),
            "{floor}: {down:?}"
        );
    }
}

#[test]
fn a_stray_answer_just_before_demand_ends_does_not_save_it() {
    let mut world = World::healthy(true);
    world.run(20_000);
    world.servers[0] = Server::Hangs;
    world.run(8);
    world.counters[0].answers += 1;
    world.run(2);
    world.queries_per_tick = 0;
    assert!(down_after(&mut world, 15_000, |_, _| {}).is_some());
}

#[test]
fn death_in_a_bypass_or_a_reset_is_found_after_it() {
    let mut bypassed = World::healthy(true);
    bypassed.engine.bypass(true, bypassed.now, &mut bypassed.log);
    bypassed.run(1000);
    bypassed.servers[0] = Server::Hangs;
    bypassed.run(1000);
    bypassed.engine.bypass(false, bypassed.now, &mut bypassed.log);
    assert!(down_after(&mut bypassed, 20_000, |_, _| {}).is_some());
    let mut reset = World::healthy(true);
    reset.servers[0] = Server::Hangs;
    reset.run(5);
    reset.counters[0] = Counts::default();
    assert!(down_after(&mut reset, 20_000, |_, _| {}).is_some());
}

#[test]
fn a_service_that_never_lived_does_not_keep_the_link_up() {
    let mut world = World::set_up(true, Found::Up, &[None, None], WithdrawWhen::All, &[]);
    world.servers[1] = Server::Gone;
    world.run(2000);
    world.servers[0] = Server::Hangs;
    assert!(down_after(&mut world, 200, |_, _| {}).is_some());
}

#[test]
fn a_burst_that_never_comes_back_is_sent_again() {
    let mut returning = World::healthy(true);
    returning.servers[0] = Server::Hangs;
    returning.run(200);
    returning.servers[0] = Server::Answers;
    while returning.probes.is_empty() {
        returning.run(1);
    }
    returning.probes.clear();
    returning.run(10_000);
    assert!(returning.up);
    let mut dying = World::healthy(true);
    dying.servers[0] = Server::Hangs;
    while dying.probes.is_empty() {
        dying.run(1);
    }
    dying.probes.clear();
    assert!(down_after(&mut dying, 5000, |_, _| {}).is_some());
}

#[test]
fn a_hung_worker_that_the_operator_named_withdraws_although_probes_meet_it() {
    let mut world = World::set_up(true, Found::Up, &[None], WithdrawWhen::Any, &[AlertKind::HungWorker]);
    world.run(8000);
    world.servers[0] = Server::Limps;
    let down = down_after(&mut world, 30_000, |world, tick| {
        if tick % 1000 == 0 {
            let seen = SocketsSeen {
                at: world.now,
                sockets: 16,
                hung: 1,
                ..SocketsSeen::default()
            };
            world.engine.sockets(world.now, 0, &seen, &mut world.log);
        }
    });
    assert!(down.is_some_and(|down| (10_000..12_000).contains(&down)), "{down:?}");
}

#[test]
fn an_alert_that_counts_as_death_is_told_once() {
    for (armed, rule, told) in [
        (false, WithdrawWhen::Any, "would_withdraw"),
        (true, WithdrawWhen::All, "refuse"),
    ] {
        let mut world = World::set_up(armed, Found::Up, &[None, None], rule, &[AlertKind::Servfail]);
        world.run(2000);
        for _ in 0..20_000 {
            world.counters[0].servfails += 10;
            world.run(1);
        }
        assert_eq!(world.told(told), 1);
        assert!(world.told("state") <= 4, "{}", world.told("state"));
    }
}

#[test]
fn a_bad_beginning_is_forgotten() {
    let mut world = World::new(true, Found::Up, 1);
    let mut settings = world.engine.settings;
    settings.detect.arming_time = Duration::from_secs(60);
    let setup = LinkSetup {
        found: Found::Up,
        withdraw_when: WithdrawWhen::Any,
        services: vec![ServiceSetup::default()],
    };
    world.engine = Engine::new(settings, &[setup], world.now);
    world.queries_per_tick = 1;
    for stall in 0..22 {
        world.run(2700);
        world.servers[0] = Server::Hangs;
        world.run(15 + 2 * stall);
        world.servers[0] = Server::Answers;
    }
    world.run(2000);
    assert_eq!(
        (world.state(), world.alerts()),
        (State::Unarmed, vec![AlertKind::TailTooHeavy])
    );
    world.run(600_000);
    assert_eq!(world.state(), State::Healthy);
}
