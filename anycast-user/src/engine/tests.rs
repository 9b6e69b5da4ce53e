use super::*;

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
}

/// A node with one link and `servers` services on it, driven a millisecond at a time.
struct World {
    engine: Engine,
    now: MonotonicTime,
    servers: Vec<Server>,
    queries_per_tick: u64,
    counters: Vec<(u64, u64)>,
    up: bool,
    log: Log,
}

#[derive(Default)]
struct Log {
    events: Vec<Event>,
    probes: Vec<usize>,
    orders: Vec<(bool, MonotonicTime)>,
}

impl Effects for Log {
    fn probe(&mut self, service: usize, _: Purpose) -> bool {
        self.probes.push(service);
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

    fn event(&mut self, event: Event) {
        self.events.push(event);
    }
}

impl World {
    fn new(armed: bool, found: Found, services: usize) -> Self {
        let now = MonotonicTime(1_000_000_000);
        let settings = Settings {
            armed,
            detect: detect::Settings {
                time_between_false_alarms: Duration::from_secs(316_000_000),
                services: 1,
                arming_answers: 1000,
                arming_time: Duration::from_secs(1),
            },
            suspicion: SuspicionSettings {
                floor: Duration::from_millis(30),
            },
            hold_down: HOLD,
        };
        let setup = LinkSetup {
            found,
            services: vec![
                Sample {
                    at: now,
                    queries: 0,
                    answers: 0
                };
                services
            ],
        };
        Self {
            engine: Engine::new(settings, &[setup], now),
            now,
            servers: vec![Server::Answers; services],
            queries_per_tick: 10,
            counters: vec![(0, 0); services],
            up: found == Found::Up,
            log: Log::default(),
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
            for ((queries, answers), server) in self.counters.iter_mut().zip(&self.servers) {
                if self.up {
                    *queries += self.queries_per_tick;
                    *answers += if *server == Server::Answers {
                        self.queries_per_tick
                    } else {
                        0
                    };
                }
            }
            let Self {
                engine,
                now,
                counters,
                log,
                ..
            } = self;
            engine.tick(*now, |service| counters[service], log);
            self.carry_out();
        }
        self
    }

    fn carry_out(&mut self) {
        for service in std::mem::take(&mut self.log.probes) {
            let (answered, refused) = match self.servers[service] {
                Server::Answers | Server::Muted => (16, 0),
                Server::Hangs => (0, 0),
                Server::Gone => (0, 16),
            };
            let burst = Burst {
                started_at: self.now,
                finished_at: self.now,
                sent: 16,
                answered,
                refused,
            };
            self.engine.probed(self.now, service, &burst, &mut self.log);
        }
        for (up, decided_at) in std::mem::take(&mut self.log.orders) {
            self.up = up;
            let acted = Acted {
                link: 0,
                up,
                decided_at,
                acknowledged_at: Some(self.now),
            };
            self.engine.acted(&acted, self.now, &mut self.log);
        }
    }

    fn state(&self) -> State {
        self.engine.views().next().expect("a service").state
    }

    fn told(&self, name: &str) -> usize {
        self.log.events.iter().filter(|event| event.kind.name() == name).count()
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
        delay >= Duration::from_millis(30) && delay <= Duration::from_millis(35),
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
    idle.servers[0] = Server::Hangs;
    idle.run(60_000);
    assert_eq!((idle.up, idle.state()), (true, State::Idle));

    let mut never = World::new(true, Found::Up, 1);
    never.servers[0] = Server::Hangs;
    never.run(60_000);
    assert_eq!((never.up, never.state()), (true, State::Unarmed));
}

#[test]
fn a_service_whose_probes_fail_is_never_armed() {
    let mut world = World::new(true, Found::Up, 1);
    // Its clients are answered; a rate limit eats the probes.
    world.servers[0] = Server::Hangs;
    for _ in 0..5000 {
        world.counters[0].1 += 10;
        world.run(1);
    }
    assert_eq!(world.state(), State::Unarmed);
    assert_eq!(world.told("alert"), 1);
    world.queries_per_tick = 100;
    world.run(5000);
    assert!(world.up);
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
    world.servers[1] = Server::Answers;
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
    theirs
        .engine
        .seen(0, true, theirs.now.after(MILLISECOND), &mut theirs.log);
    theirs.up = true;
    theirs.run(3000);
    assert_eq!(theirs.state(), State::Healthy, "watched once the operator raised it");
}

#[test]
fn a_link_that_an_operator_lowers_is_left_to_the_operator() {
    let mut world = World::healthy(true);
    world.engine.seen(0, false, world.now, &mut world.log);
    world.servers[0] = Server::Hangs;
    world.run(60_000);
    assert_eq!((world.told("withdraw"), world.told("announce")), (0, 0));
}

#[test]
fn a_withdrawn_link_that_an_operator_raises_is_up() {
    let mut world = World::healthy(true);
    world.servers[0] = Server::Hangs;
    world.run(200);
    assert!(!world.up);
    world.engine.seen(0, true, world.now.after(MILLISECOND), &mut world.log);
    world.up = true;
    world.run(10_000);
    assert_eq!(
        (world.up, world.state(), world.told("link_changed")),
        (true, State::Unarmed, 1)
    );
    world.servers[0] = Server::Answers;
    world.run(2000);
    assert_eq!(world.state(), State::Healthy);
}

#[test]
fn an_old_look_at_a_link_changes_nothing() {
    let mut world = World::healthy(true);
    let before = world.now;
    world.servers[0] = Server::Hangs;
    world.run(200);
    world.servers[0] = Server::Answers;
    world.run(6000);
    assert!(world.up);
    world.engine.seen(0, false, before, &mut world.log);
    world.run(2000);
    assert_eq!(world.state(), State::Healthy);
}

#[test]
fn a_link_that_would_not_go_down_is_tried_again() {
    let mut world = World::healthy(true);
    world.servers[0] = Server::Hangs;
    let mut orders = 0;
    for _ in 0..2500 {
        world.now = world.now.after(MILLISECOND);
        world.counters[0].0 += 10;
        let World {
            engine,
            now,
            counters,
            log,
            ..
        } = &mut world;
        engine.tick(*now, |service| counters[service], log);
        for (up, decided_at) in std::mem::take(&mut world.log.orders) {
            orders += 1;
            let acted = Acted {
                link: 0,
                up,
                decided_at,
                acknowledged_at: None,
            };
            world.engine.acted(&acted, world.now, &mut world.log);
        }
        world.carry_out();
    }
    assert_eq!((orders, world.told("alert")), (3, 3), "about once a second");
}

#[test]
fn a_pause_of_the_daemon_is_not_silence_of_the_server() {
    let mut world = World::healthy(true);
    let pause = Duration::from_millis(500);
    world.engine.forgive(pause);
    world.now = world.now.after(pause);
    world.counters[0].0 += 5000;
    let World {
        engine,
        now,
        counters,
        log,
        ..
    } = &mut world;
    engine.tick(*now, |service| counters[service], log);
    assert_eq!(world.told("state"), 0);
}

#[test]
fn results_for_strangers_change_nothing() {
    let mut world = World::new(false, Found::Up, 3);
    world.run(1);
    assert_eq!(world.engine.views().count(), 3);
    world.engine.probed(
        world.now,
        99,
        &Burst {
            started_at: world.now,
            finished_at: world.now,
            sent: 16,
            answered: 0,
            refused: 0,
        },
        &mut world.log,
    );
    world.engine.acted(
        &Acted {
            link: 99,
            up: true,
            decided_at: world.now,
            acknowledged_at: None,
        },
        world.now,
        &mut world.log,
    );
    assert_eq!(world.log.events.len(), 0, "strangers change nothing");
}
