use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{TryRecvError, sync_channel};

use super::*;
use crate::probe::testing::answer;

const MINUTE: Duration = Duration::from_secs(60);

/// A worker that does nothing by itself, and what is at its other ends.
struct World {
    worker: Worker,
    orders: SyncSender<BurstRequest>,
    results: Receiver<BurstResult>,
    _bell: UnixStream,
}

impl World {
    fn new(most_sockets: usize) -> Self {
        let (orders, requests) = sync_channel(16);
        let (reports, results) = sync_channel(16);
        let (bell, doorway) = UnixStream::pair().unwrap();
        let worker = Worker::new(requests, reports, doorway, Query::new().unwrap(), most_sockets).unwrap();
        Self {
            worker,
            orders,
            results,
            _bell: bell,
        }
    }

    fn result(&self) -> BurstResult {
        self.results.try_recv().unwrap()
    }

    fn no_result(&self) {
        assert_eq!(self.results.try_recv(), Err(TryRecvError::Empty));
    }

    fn judge(&mut self) {
        self.worker.judge(MonotonicTime::now());
    }
}

/// A server that answers only when it is told to: what happens first is not left to chance.
struct Server(UdpSocket);

impl Server {
    fn new() -> Self {
        Self(UdpSocket::bind("127.0.0.1:0").unwrap())
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// A burst of 16 that has no time to wait.
    fn request(&self, id: u64) -> BurstRequest {
        BurstRequest {
            id,
            service_address: self.address(),
            count: 16,
            window: Duration::ZERO,
        }
    }

    /// Over loopback the answers have arrived when this returns.
    fn answer(&self, count: usize) {
        let mut buffer = [0; 512];
        for _ in 0..count {
            let (length, client) = self.0.recv_from(&mut buffer).unwrap();
            self.0.send_to(&answer(&buffer[..length]), client).unwrap();
        }
    }
}

#[test]
fn what_has_arrived_is_read_before_a_burst_is_judged_however_late_that_is() {
    let (mut world, server) = (World::new(100), Server::new());
    world.worker.start(server.request(1));
    server.answer(16);
    world.judge();
    let result = world.result();
    assert_eq!((result.sent, result.answered, result.late), (16, 16, false));
    assert!(world.worker.bursts.is_empty() && world.worker.sockets == 0);
}

#[test]
fn the_window_begins_when_the_last_probe_was_sent() {
    let (mut world, server) = (World::new(100), Server::new());
    world.worker.start(BurstRequest {
        window: MINUTE,
        ..server.request(1)
    });
    let burst = world.worker.bursts.values_mut().next().unwrap();
    let Verdict::Wait = burst.judge(MonotonicTime(burst.deadline().0 - 1)) else {
        panic!()
    };
    let Verdict::ReportAndKeep(result) = burst.judge(burst.deadline()) else {
        panic!()
    };
    assert!(result.finished_at > result.started_at.after(MINUTE));
}

#[test]
fn answers_to_the_first_burst_are_read_before_the_last_has_started() {
    let (mut world, first, second) = (World::new(100), Server::new(), Server::new());
    world.worker.start(first.request(1));
    first.answer(16);
    world
        .orders
        .send(BurstRequest {
            window: MINUTE,
            ..second.request(2)
        })
        .unwrap();
    world.worker.start_bursts();
    let result = world.result();
    assert_eq!((result.request.id, result.answered), (1, 16));
    world.no_result();
}

#[test]
fn the_first_late_answer_makes_a_second_result_and_the_rest_make_none() {
    let (mut world, server) = (World::new(100), Server::new());
    world.worker.start(server.request(1));
    server.answer(3);
    world.judge();
    let first = world.result();
    assert_eq!((first.answered, first.unanswered(), first.late), (3, 13, false));
    world.judge();
    world.no_result();
    server.answer(1);
    world.judge();
    let second = world.result();
    assert_eq!((second.answered, second.unanswered(), second.late), (4, 12, true));
    assert!(second.slowest_round_trip >= first.slowest_round_trip);
    assert_eq!(second.request, first.request);
    server.answer(12);
    world.judge();
    world.no_result();
    assert_eq!(world.worker.sockets, 0);
}

#[test]
fn a_late_answer_to_a_burst_without_any_shows_its_round_trip() {
    let (mut world, server) = (World::new(100), Server::new());
    world.worker.start(server.request(1));
    world.judge();
    assert_eq!(world.result().slowest_round_trip, None);
    server.answer(16);
    world.judge();
    let late = world.result();
    assert_eq!((late.answered, late.late), (16, true));
    assert!(late.slowest_round_trip.is_some());
    world.no_result();
}

#[test]
fn late_answers_are_waited_for_a_second() {
    let (mut world, server) = (World::new(100), Server::new());
    world.worker.start(server.request(1));
    let judged_at = MonotonicTime::now();
    world.worker.judge(judged_at);
    world.result();
    world.worker.judge(judged_at.after(Duration::from_millis(999)));
    assert_eq!(world.worker.sockets, 16);
    world.worker.judge(judged_at.after(Duration::from_secs(1)));
    assert_eq!(world.worker.sockets, 0);
    world.no_result();
}

#[test]
fn a_server_that_ends_late_has_not_answered() {
    let (mut world, server) = (World::new(100), Server::new());
    world.worker.start(server.request(1));
    world.judge();
    world.result();
    // What it has not read is refused.
    drop(server);
    world.judge();
    world.no_result();
}

#[test]
fn of_one_address_the_last_dozen_are_kept_and_of_another_too() {
    let (mut world, slow, other) = (World::new(1000), Server::new(), Server::new());
    world.worker.start(other.request(100));
    for id in 0..14 {
        world.worker.start(slow.request(id));
        world.judge();
    }
    let kept: Vec<u64> = world.worker.bursts.values().map(|burst| burst.request().id).collect();
    assert_eq!(kept, [100].into_iter().chain(2..14).collect::<Vec<_>>());
    assert_eq!(world.worker.sockets, 13 * 16);
}

#[test]
fn a_burst_waits_for_sockets_and_those_kept_for_late_answers_give_way() {
    let (mut world, server) = (World::new(40), Server::new());
    for id in 0..3 {
        let request = server.request(id);
        world
            .orders
            .send(BurstRequest {
                window: MINUTE,
                ..request
            })
            .unwrap();
    }
    let running =
        |world: &World| -> Vec<u64> { world.worker.bursts.values().map(|burst| burst.request().id).collect() };
    world.worker.start_bursts();
    world.worker.start_bursts();
    assert_eq!(running(&world), [0, 1]);
    world.worker.judge(MonotonicTime::now().after(MINUTE));
    assert_eq!([world.result().request.id, world.result().request.id], [0, 1]);
    world.worker.start_bursts();
    assert_eq!(running(&world), [1, 2]);
    assert_eq!(world.worker.sockets, 32);
}

#[test]
fn without_any_room_bursts_go_one_by_one() {
    let (mut world, server) = (World::new(0), Server::new());
    for id in 0..2 {
        world
            .orders
            .send(BurstRequest {
                window: MINUTE,
                ..server.request(id)
            })
            .unwrap();
    }
    for id in 0..2 {
        world.worker.start_bursts();
        assert_eq!(world.worker.sockets, 16);
        server.answer(16);
        world.judge();
        assert_eq!(world.result().request.id, id);
        world.no_result();
    }
}
