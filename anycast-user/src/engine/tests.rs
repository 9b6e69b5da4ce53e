mod dead;
mod living;
mod proofs;
mod watch_only;

use super::*;
use crate::{
    detect,
    detect::Parts,
    event::AlertSet,
    policy::{Burst, FloorSettings, SuspicionSettings, WatchOnly, WithdrawWhen},
};

const MILLISECOND: Duration = Duration::from_millis(1);
const HOLD: Duration = Duration::from_secs(3);

/// How the simulated service behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Server {
    Answers,
    Hangs,
    /// No socket: probes are refused.
    Gone,
    /// Answers, but what it says is lost before it leaves.
    Muted,
    /// One worker of sixteen is dead.
    Limps,
}

/// A node with one link and some services on it, driven a millisecond at a time. Probes and orders take their time.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch that a test turns")]
struct World {
    engine: Engine,
    now: MonotonicTime,
    servers: Vec<Server>,
    queries_per_tick: u64,
    counters: Vec<Counts>,
    up: bool,
    marked: bool,
    quick: bool,
    /// A firewall eats local probes.
    blocked: bool,
    log: Log,
    probes: Vec<(MonotonicTime, Ask)>,
    orders: Vec<(MonotonicTime, bool, MonotonicTime)>,
}

/// How long a burst takes to come back, and an order to be acknowledged.
const PROBE_TIME: Duration = Duration::from_millis(4);
const ORDER_TIME: Duration = Duration::from_millis(2);

#[derive(Default)]
struct Log {
    events: Vec<Event>,
    probes: Vec<Ask>,
    /// Services that were probed, once for every burst.
    probed: Vec<usize>,
    /// Of each burst, how many probes it had.
    bursts: Vec<usize>,
    orders: Vec<(bool, MonotonicTime)>,
    unmarked: usize,
}

impl Effects for Log {
    fn probe(&mut self, ask: Ask) -> bool {
        self.probes.push(ask);
        self.probed.push(ask.service);
        self.bursts.push(ask.probes.into());
        true
    }

    fn withdraw(&mut self, _: usize, decided_at: MonotonicTime) -> bool {
        self.orders.push((false, decided_at));
        true
    }

    fn announce(&mut self, _: usize, decided_at: MonotonicTime) -> bool {
        self.orders.push((true, decided_at));
        true
    }

    fn unmark(&mut self, _: usize) {
        self.unmarked += 1;
    }

    fn event(&mut self, event: Event) {
        self.events.push(event);
    }
}

impl World {
    fn new(armed: bool, found: Found, services: usize) -> Self {
        Self::with(armed, found, &vec![None; services])
    }

    fn with(armed: bool, found: Found, watch_only: &[Option<WatchOnly>]) -> Self {
        Self::set_up(armed, found, watch_only, WithdrawWhen::Any, &[])
    }

    fn set_up(
        armed: bool,
        found: Found,
        watch_only: &[Option<WatchOnly>],
        withdraw_when: WithdrawWhen,
        withdraw_also_on: &[AlertKind],
    ) -> Self {
        let services = watch_only.len();
        let now = MonotonicTime(1_000_000_000);
        let settings = Settings {
            armed,
            detect: detect::Settings {
                time_between_false_alarms: Duration::from_secs(316_000_000),
                services: 1,
                arming_answers: 1000,
                arming_time: Duration::from_secs(1),
                parts: Parts::ALL,
            },
            suspicion: SuspicionSettings {
                floor: FloorSettings {
                    least: Duration::from_millis(30),
                    learn: true,
                },
                probes_veto: true,
                trickle_needs_proof: true,
            },
            withdraw_also_on: withdraw_also_on.iter().copied().collect(),
            hold_down: HOLD,
            bypassed: false,
        };
        Self {
            engine: Engine::new(
                settings,
                &[LinkSetup {
                    found,
                    withdraw_when,
                    services: watch_only
                        .iter()
                        .map(|&watch_only| ServiceSetup {
                            watch_only,
                            ..ServiceSetup::default()
                        })
                        .collect(),
                }],
                now,
            ),
            now,
            servers: vec![Server::Answers; services],
            queries_per_tick: 10,
            counters: vec![Counts::default(); services],
            up: found == Found::Up,
            marked: found == Found::WithdrawnByUs,
            quick: true,
            blocked: false,
            log: Log::default(),
            probes: Vec::new(),
            orders: Vec::new(),
        }
    }

    /// Armed and two seconds into healthy traffic.
    fn healthy(armed: bool) -> Self {
        let mut world = Self::new(armed, Found::Up, 1);
        world.run(2000);
        assert_eq!(world.state(), State::Healthy);
        world.log.events.clear();
        world
    }

    fn run(&mut self, milliseconds: u32) -> &mut Self {
        for _ in 0..milliseconds {
            self.now = self.now.after(MILLISECOND);
            for (counts, server) in self.counters.iter_mut().zip(&self.servers) {
                if self.up {
                    counts.queries += self.queries_per_tick;
                    counts.packets += self.queries_per_tick;
                    let answered = matches!(server, Server::Answers | Server::Limps);
                    counts.answers += if answered { self.queries_per_tick } else { 0 };
                }
            }
            self.tick();
            self.deliver();
        }
        self
    }

    fn tick(&mut self) {
        let Self {
            engine,
            now,
            counters,
            log,
            ..
        } = self;
        engine.tick(*now, |service| Some(counters[service]), log);
        let now = self.now;
        self.probes.extend(self.log.probes.drain(..).map(|ask| (now, ask)));
        self.orders
            .extend(self.log.orders.drain(..).map(|(up, decided_at)| (now, up, decided_at)));
    }

    fn deliver(&mut self) {
        let now = self.now;
        let back = self
            .probes
            .extract_if(.., |(sent, _)| now.since(*sent) >= PROBE_TIME)
            .collect::<Vec<_>>();
        for (sent, ask) in back {
            let (answered, refused) = match self.servers[ask.service] {
                Server::Answers | Server::Muted => (ask.probes, 0),
                Server::Limps => (ask.probes - ask.probes / 16, 0),
                Server::Hangs => (0, 0),
                Server::Gone => (0, ask.probes),
            };
            let answered = if self.blocked { 0 } else { answered };
            self.answer(sent, ask, answered, refused);
        }
        let done = self
            .orders
            .extract_if(.., |(at, ..)| now.since(*at) >= ORDER_TIME)
            .collect::<Vec<_>>();
        for (_, up, decided_at) in done {
            (self.up, self.marked) = (up, !up);
            let acted = Acted {
                link: 0,
                up,
                decided_at,
                result: Ok(now),
            };
            self.engine.acted(&acted, now, &mut self.log);
        }
    }

    fn answer(&mut self, sent: MonotonicTime, ask: Ask, answered: u8, refused: u8) {
        let burst = Burst {
            started_at: sent,
            finished_at: self.now,
            asked: ask.probes,
            sent: ask.probes,
            answered,
            refused,
        };
        let Ask {
            service,
            generation,
            purpose,
            ..
        } = ask;
        let probed = Probed {
            service,
            generation,
            purpose,
            burst,
            late: false,
            quick: self.quick,
        };
        self.engine.probed(self.now, &probed, &mut self.log);
    }

    /// Somebody else puts the link up or down, and the daemon looks.
    fn hand(&mut self, up: bool, marked: bool) {
        (self.up, self.marked) = (up, marked);
        self.now = self.now.after(MILLISECOND);
        self.look();
    }

    fn look(&mut self) {
        let seen = Seen {
            at: self.now,
            up: self.up,
            marked: self.marked,
        };
        self.engine.seen(0, seen, &mut self.log);
    }

    fn state(&self) -> State {
        self.engine.views().next().expect("a service").state
    }

    fn told(&self, name: &str) -> usize {
        self.log.events.iter().filter(|event| event.kind.name() == name).count()
    }

    fn alerts(&self) -> Vec<AlertKind> {
        let kind = |event: &Event| match event.kind {
            EventKind::Alert { kind, .. } => Some(kind),
            _ => None,
        };
        self.log.events.iter().filter_map(kind).collect()
    }
}

#[test]
fn a_hung_server_is_withdrawn_after_the_floor_and_comes_back_after_the_hold_down() {
    let mut world = World::healthy(true);
    let fault = world.now;
    world.servers[0] = Server::Hangs;
    world.run(200);
    assert_eq!(world.state(), State::Withdrawn);
    assert!(!world.up);
    let decision = world
        .log
        .events
        .iter()
        .find(|event| event.kind.name() == "withdraw")
        .expect("a withdrawal");
    let delay = decision.at.since(fault);
    assert!(
        delay >= Duration::from_millis(30) && delay <= Duration::from_millis(40),
        "{delay:?}"
    );

    world.run(10_000);
    assert_eq!(
        world.state(),
        State::Withdrawn,
        "it does not come back while the server hangs"
    );
    world.servers[0] = Server::Answers;
    world.run(2000);
    assert_eq!(world.state(), State::Holding);
    world.run(2000);
    assert!(world.up);
    assert_eq!(world.state(), State::Unarmed, "watched from zero");
    world.run(2000);
    assert_eq!(world.state(), State::Healthy);
    assert_eq!(
        (world.told("withdraw"), world.told("link_down"), world.told("link_up")),
        (1, 1, 1)
    );
}

#[test]
fn a_closed_socket_is_withdrawn_too() {
    let mut world = World::healthy(true);
    world.servers[0] = Server::Gone;
    world.run(200);
    assert!(!world.up);
}

#[test]
fn an_observer_tells_once_and_touches_nothing() {
    let mut world = World::healthy(false);
    world.servers[0] = Server::Hangs;
    world.run(5000);
    assert!(world.up);
    assert_eq!(world.state(), State::Blackholed);
    assert_eq!((world.told("would_withdraw"), world.told("withdraw")), (1, 0));
    world.servers[0] = Server::Answers;
    world.run(100);
    assert_eq!(world.state(), State::Healthy);
}

#[test]
fn probes_that_are_answered_veto_and_raise_one_alert() {
    let mut world = World::healthy(true);
    world.servers[0] = Server::Muted;
    world.run(60_000);
    assert!(world.up);
    assert_eq!((world.told("alert"), world.told("withdraw")), (1, 0));
}

#[test]
fn idleness_and_never_answered_queries_withdraw_nothing() {
    let mut idle = World::healthy(true);
    idle.queries_per_tick = 0;
    idle.run(60_000);
    assert_eq!((idle.up, idle.state()), (true, State::Idle));

    let mut never = World::new(true, Found::Up, 1);
    never.servers[0] = Server::Hangs;
    never.run(60_000);
    assert_eq!((never.up, never.state()), (true, State::Unarmed));
}

#[test]
fn a_service_is_armed_only_when_every_probe_is_answered() {
    for server in [Server::Hangs, Server::Limps] {
        let mut world = World::new(true, Found::Up, 1);
        world.servers[0] = server;
        for _ in 0..5000 {
            // Clients are answered whatever probes are.
            world.counters[0].answers += if server == Server::Hangs { 10 } else { 0 };
            world.run(1);
        }
        assert_eq!(
            (world.state(), world.alerts()),
            (State::Unarmed, vec![AlertKind::ProbesUnanswered])
        );
    }
}

#[test]
fn every_armed_service_must_answer_before_the_link_comes_back() {
    let mut world = World::new(true, Found::Up, 2);
    world.run(2000);
    world.servers = vec![Server::Hangs, Server::Hangs];
    world.run(200);
    assert!(!world.up);
    world.servers[0] = Server::Answers;
    world.run(10_000);
    assert!(!world.up, "the second still hangs");
    assert_eq!(
        world.alerts(),
        [AlertKind::SomeUnanswered],
        "and somebody is told, once"
    );
    world.servers[1] = Server::Answers;
    world.run(4000);
    assert!(world.up);
}

#[test]
fn a_service_that_was_never_armed_need_not_answer() {
    let mut world = World::new(true, Found::Up, 2);
    world.servers[1] = Server::Gone;
    world.run(2000);
    world.servers[0] = Server::Hangs;
    world.run(200);
    assert!(!world.up);
    world.servers[0] = Server::Answers;
    world.run(4000);
    assert!(world.up);
}

#[test]
fn a_link_that_an_earlier_run_withdrew_is_raised_and_one_of_the_operator_is_not() {
    let mut ours = World::new(true, Found::WithdrawnByUs, 1);
    ours.run(4000);
    assert!(ours.up);

    let mut theirs = World::new(true, Found::Down, 1);
    theirs.run(60_000);
    assert!(!theirs.up);
    theirs.hand(true, false);
    theirs.run(3000);
    assert_eq!(theirs.state(), State::Healthy, "watched once the operator raised it");
}

#[test]
fn a_link_that_an_operator_lowers_is_left_to_the_operator() {
    let mut world = World::healthy(true);
    world.hand(false, false);
    world.servers[0] = Server::Hangs;
    world.run(60_000);
    assert_eq!(
        (
            world.told("withdraw"),
            world.told("announce"),
            world.told("link_changed")
        ),
        (0, 0, 1)
    );
}

#[test]
fn a_withdrawn_link_that_an_operator_takes_over_stays_down() {
    let mut world = World::healthy(true);
    world.servers[0] = Server::Hangs;
    world.run(200);
    world.hand(false, false);
    world.servers[0] = Server::Answers;
    world.run(60_000);
    assert!(!world.up);
}

#[test]
fn a_withdrawn_link_that_an_operator_raises_is_up_and_loses_its_mark() {
    let mut world = World::healthy(true);
    world.servers[0] = Server::Hangs;
    world.run(200);
    assert!(!world.up);
    world.hand(true, true);
    world.run(10_000);
    assert_eq!(
        (world.up, world.state(), world.told("link_changed")),
        (true, State::Unarmed, 1)
    );
    world.look();
    assert_eq!(world.log.unmarked, 1);
    world.servers[0] = Server::Answers;
    world.run(2000);
    assert_eq!(world.state(), State::Healthy);
}

#[test]
fn a_withdrawal_that_was_reported_failed_and_happened_is_ours() {
    let mut world = World::healthy(true);
    world.hand(false, true);
    assert_eq!(world.state(), State::Withdrawn);
    world.run(4000);
    assert!(world.up, "it comes back like any other");
}

#[test]
fn a_link_that_an_operator_lowered_just_before_a_withdrawal_is_the_operators() {
    let mut world = World::healthy(true);
    world.servers[0] = Server::Gone;
    while world.orders.is_empty() {
        world.run(1);
    }
    let (_, up, decided_at) = world.orders.remove(0);
    world.up = false;
    let acted = Acted {
        link: 0,
        up,
        decided_at,
        result: Err(Failure::NotOurs),
    };
    world.engine.acted(&acted, world.now, &mut world.log);
    world.servers[0] = Server::Answers;
    world.run(60_000);
    assert_eq!(
        (world.up, world.alerts(), world.told("link_changed")),
        (false, vec![], 1)
    );
}

#[test]
fn a_withdrawn_link_none_of_whose_services_was_armed_comes_back_when_all_answer() {
    let mut world = World::new(true, Found::Up, 2);
    world.run(1);
    world.hand(false, true);
    world.run(4000);
    assert!(world.up);
}

#[test]
fn probes_that_fail_while_clients_are_answered_disarm() {
    let mut world = World::healthy(true);
    world.blocked = true;
    world.run(15_000);
    assert_eq!(
        (world.state(), world.alerts()),
        (State::Unarmed, vec![AlertKind::ProbesUnanswered])
    );
    world.servers[0] = Server::Hangs;
    world.run(5000);
    assert!(world.up, "what is not armed is not withdrawn");
    world.servers[0] = Server::Answers;
    world.blocked = false;
    world.run(15_000);
    assert_eq!(world.state(), State::Healthy, "and armed again when they work");
}

#[test]
fn probes_that_have_become_slow_disarm() {
    let mut world = World::healthy(true);
    world.quick = false;
    world.run(11_000);
    assert_eq!(
        (world.state(), world.alerts()),
        (State::Unarmed, vec![AlertKind::ProbesSlow])
    );
}

#[test]
fn a_pause_shorter_than_the_floor_disarms_for_no_longer_than_a_burst_takes() {
    let mut world = World::healthy(true);
    world.servers[0] = Server::Hangs;
    world.run(15);
    world.servers[0] = Server::Answers;
    world.run(20);
    assert_eq!(
        (world.up, world.state(), world.alerts()),
        (true, State::Healthy, vec![])
    );
}

#[test]
fn a_burst_for_health_under_way_does_not_delay_one_for_a_suspicion() {
    let mut world = World::healthy(true);
    // A suspicion begins with a burst for health in flight.
    while !world.probes.iter().any(|(_, ask)| ask.purpose == Purpose::Health) {
        world.run(1);
    }
    let held = std::mem::take(&mut world.probes);
    let fault = world.now;
    world.servers[0] = Server::Hangs;
    world.run(40);
    assert!(!world.up, "{:?} {held:?}", world.now.since(fault));
}

#[test]
fn an_old_look_at_a_link_changes_nothing() {
    let mut world = World::healthy(true);
    let before = world.now;
    world.servers[0] = Server::Hangs;
    world.run(200);
    let stale = |up, marked| Seen { at: before, up, marked };
    world.engine.seen(0, stale(true, false), &mut world.log);
    assert_eq!(world.state(), State::Withdrawn);
    world.servers[0] = Server::Answers;
    world.run(6000);
    assert!(world.up);
    world.engine.seen(0, stale(false, false), &mut world.log);
    world.run(2000);
    assert_eq!((world.state(), world.told("link_changed")), (State::Healthy, 0));
}

#[test]
fn what_was_asked_before_a_restart_says_nothing_after_it() {
    let mut world = World::healthy(true);
    world.servers[0] = Server::Hangs;
    world.run(200);
    world.servers[0] = Server::Answers;
    // A round of the hold-down is out when an operator raises the link.
    while world.probes.is_empty() {
        world.run(1);
    }
    let asked = world.probes.clone();
    world.hand(true, false);
    world.run(1);
    for (sent, ask) in asked {
        world.answer(sent, ask, 16, 0);
    }
    assert_eq!(world.state(), State::Unarmed);
}

#[test]
fn what_came_while_the_link_was_down_does_not_arm() {
    let mut world = World::healthy(true);
    world.servers[0] = Server::Hangs;
    world.run(200);
    world.servers[0] = Server::Answers;
    world.counters[0].queries += 5000;
    world.counters[0].answers += 5000;
    world.run(3500);
    assert!(world.up);
    world.queries_per_tick = 0;
    world.run(5000);
    assert_eq!(world.state(), State::Unarmed);
}

#[test]
fn a_link_that_would_not_go_down_is_tried_again() {
    let mut world = World::healthy(true);
    world.servers[0] = Server::Hangs;
    let mut orders = 0;
    for _ in 0..2500 {
        world.now = world.now.after(MILLISECOND);
        world.counters[0].queries += 10;
        world.tick();
        for (_, up, decided_at) in std::mem::take(&mut world.orders) {
            orders += 1;
            let acted = Acted {
                link: 0,
                up,
                decided_at,
                result: Err(Failure::Refused),
            };
            world.engine.acted(&acted, world.now, &mut world.log);
        }
        world.deliver();
    }
    assert_eq!(
        (orders, world.alerts()),
        (3, vec![AlertKind::LinkDownFailed; 3]),
        "about once a second"
    );
}

#[test]
fn an_order_that_is_not_acknowledged_is_told_of() {
    let mut world = World::healthy(true);
    world.servers[0] = Server::Hangs;
    for _ in 0..2000 {
        world.now = world.now.after(MILLISECOND);
        world.counters[0].queries += 10;
        world.tick();
        let orders = std::mem::take(&mut world.orders);
        world.deliver();
        world.orders = orders;
    }
    assert_eq!((world.orders.len(), world.alerts()), (1, vec![AlertKind::OrderOverdue]));
}

#[test]
fn a_pause_of_the_daemon_is_not_silence_of_the_server() {
    let mut world = World::healthy(true);
    let pause = Duration::from_millis(500);
    world.now = world.now.after(pause);
    world.engine.forgive(pause);
    world.counters[0].queries += 5000;
    world.tick();
    assert_eq!(world.told("state"), 0);
}

#[test]
fn an_idle_service_with_questions_left_open_is_cleared_by_one_burst() {
    let mut world = World::healthy(true);
    world.servers[0] = Server::Muted;
    world.run(5);
    world.queries_per_tick = 0;
    world.run(60_000);
    assert_eq!(world.state(), State::Idle);
    assert!(world.told("state") <= 4, "{:?}", world.log.events);
}

#[test]
fn results_for_strangers_change_nothing() {
    let mut world = World::new(false, Found::Up, 3);
    world.run(1);
    assert_eq!(world.engine.views().count(), 3);
    world.answer(
        world.now,
        Ask {
            service: 99,
            generation: 0,
            purpose: Purpose::Health,
            probes: 16,
        },
        0,
        0,
    );
    let acted = Acted {
        link: 99,
        up: true,
        decided_at: world.now,
        result: Err(Failure::Refused),
    };
    world.engine.acted(&acted, world.now, &mut world.log);
    assert_eq!(world.log.events.len(), 0);
}
