//! What lives and looks dead is left alone, whatever speaks against it.

use super::*;

/// Clients who ask about so often a second, at random but the same every time, and are answered.
struct Clients {
    state: u64,
    one_in: u64,
}

impl Clients {
    fn of(per_second: f64, seed: u64) -> Self {
        Self {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            one_in: (1000.0 / per_second) as u64,
        }
    }

    /// By Marsaglia's xorshift.
    fn ask(&mut self) -> bool {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 33).is_multiple_of(self.one_in)
    }

    /// For so many milliseconds; whether the link stays up.
    fn are_served(&mut self, world: &mut World, milliseconds: u32) -> bool {
        world.queries_per_tick = 0;
        (0..milliseconds).all(|_| {
            let asked = u64::from(self.ask());
            let counts = &mut world.counters[0];
            counts.queries += asked;
            counts.packets += asked;
            counts.answers += asked;
            world.run(1);
            world.up
        })
    }
}

#[test]
fn a_service_whose_probes_were_contradicted_is_not_withdrawn_by_them() {
    for per_second in [0.2, 1.0, 2.0] {
        let mut world = World::healthy(true);
        world.blocked = true;
        world.run(15_000);
        assert_eq!(
            (world.state(), world.alerts()),
            (State::Unarmed, vec![AlertKind::ProbesUnanswered])
        );
        assert!(
            Clients::of(per_second, 7).are_served(&mut world, 120_000),
            "{per_second} a second"
        );
    }
}

#[test]
fn blocked_probes_do_not_withdraw_a_service_whose_few_clients_are_answered() {
    for (per_second, seed) in [(1.0, 1), (1.0, 2), (2.0, 3), (5.0, 4)] {
        let mut world = World::new(true, Found::Up, 1);
        let mut clients = Clients::of(per_second, seed);
        world.run(150);
        assert!(clients.are_served(&mut world, 20_000));
        assert_ne!(world.state(), State::Unarmed);
        world.blocked = true;
        assert!(
            clients.are_served(&mut world, 120_000),
            "{per_second} a second, seed {seed}"
        );
    }
}

#[test]
fn refused_probes_are_no_closed_socket_while_one_is_seen() {
    let mut world = World::healthy(true);
    world.queries_per_tick = 0;
    for tick in 0..40_000_u32 {
        // A rule that rejects local packets, and says so on the wire.
        if tick == 30_037 {
            world.servers[0] = Server::Gone;
            world.counters[0].hints += 1;
        }
        if tick % 100 == 0 {
            world.counters[0].queries += 1;
            world.counters[0].packets += 1;
            world.counters[0].answers += 1;
        }
        if tick % 50 == 0 {
            let seen = SocketsSeen {
                at: world.now,
                sockets: 4,
                ..SocketsSeen::default()
            };
            world.engine.sockets(world.now, 0, &seen, &mut world.log);
        }
        world.run(1);
        assert!(world.up, "{tick}");
    }
}

#[test]
fn what_leaves_uncounted_is_no_loss_that_withdraws() {
    let mut world = World::set_up(true, Found::Up, &[None], WithdrawWhen::Any, &[AlertKind::PartialLoss]);
    world.run(2000);
    world.engine.bypass(true, world.now, &mut world.log);
    world.run(20_000);
    for _ in 0..30_000 {
        world.counters[0].answers -= 5;
        world.run(1);
        assert!(world.up);
    }
}

#[test]
fn time_in_which_the_daemon_did_not_run_is_none_that_an_alert_lasted() {
    let mut world = World::set_up(true, Found::Up, &[None], WithdrawWhen::Any, &[AlertKind::Servfail]);
    world.run(2000);
    while world.alerts().is_empty() {
        world.counters[0].servfails += 10;
        world.run(1);
    }
    let pause = Duration::from_secs(10);
    world.now = world.now.after(pause);
    world.engine.forgive(pause);
    world.run(10);
    assert!(world.up);
}

#[test]
fn a_loss_that_nobody_asks_about_any_more_is_over() {
    let mut world = World::set_up(true, Found::Up, &[None], WithdrawWhen::Any, &[AlertKind::PartialLoss]);
    world.run(5000);
    for _ in 0..700 {
        world.counters[0].answers -= 5;
        world.run(1);
    }
    assert_eq!(world.alerts(), [AlertKind::PartialLoss]);
    world.queries_per_tick = 0;
    world.run(30_000);
    assert_eq!((world.up, world.told("alert_over")), (true, 1));
}

#[test]
fn what_died_does_not_come_back_without_an_answer_although_it_was_never_armed() {
    let mut world = World::new(true, Found::Up, 2);
    let only_the_first_is_asked = |world: &mut World, milliseconds: u32| {
        for _ in 0..milliseconds {
            let was = world.counters[1];
            world.run(1);
            world.counters[1] = was;
        }
    };
    only_the_first_is_asked(&mut world, 3000);
    world.servers[1] = Server::Hangs;
    only_the_first_is_asked(&mut world, 60_000);
    assert!(!world.up);
    assert_eq!(world.told("link_up"), 0);
    world.servers[1] = Server::Answers;
    world.run(10_000);
    assert!(world.up);
}

#[test]
fn alerts_that_were_raised_are_over_in_a_restart() {
    let mut world = World::healthy(true);
    for _ in 0..8000 {
        world.counters[0].servfails += 10;
        world.run(1);
    }
    assert_eq!(world.alerts(), [AlertKind::Servfail]);
    world.counters[0] = Counts::default();
    world.run(10);
    assert_eq!(world.told("alert_over"), 1);
    assert_eq!(world.engine.views().next().unwrap().alerts, AlertSet::default());
}
