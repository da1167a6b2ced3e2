//! What hostile and clumsy peers do to a broker: it must neither crash nor hang nor grow, and who works with it all the
//! while must not notice.

mod order;
mod place;
mod trouble;
mod unread;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use ipcq_core::conformance::Watchdog;
use ipcq_core::error::GetFault;
use ipcq_zmq::{QueueOptions, Transport, Wait, ZmqTransport};

use order::replies_come_in_the_order_of_their_requests;
use place::{CHILD, Door, LIMIT, Place, greeting, hangs_up, header, message, name, noise, ready, session};

/// Makes each case a test for each way to come in, called after both.
macro_rules! at_each_door {
    ($($case:ident,)*) => {
        mod unix {
            $(#[test] fn $case() { super::$case(super::Door::Unix); })*
        }
        mod tcp {
            $(#[test] fn $case() { super::$case(super::Door::Tcp); })*
        }
    };
}

at_each_door! {
    random_bytes_are_refused,
    noise_behind_a_sound_beginning_is_refused,
    claims_of_gigabytes_are_refused,
    requests_of_many_frames_are_bounded,
    half_done_handshakes_are_dropped,
    a_slow_handshake_is_no_handshake,
    who_does_not_read_is_not_listened_to,
    malformed_headers_end_the_connection,
    wild_numbers_are_harmless,
    clients_come_and_vanish,
    replies_come_in_the_order_of_their_requests,
}

fn random_bytes_are_refused(door: Door) {
    Place::new(door).survives(|place| {
        for seed in 0..200 {
            let mut stream = place.connect();
            // The broker may hang up in the middle.
            let _ = stream.write_all(&noise(73, seed * 77 + 5));
            if seed % 50 == 0 {
                assert!(hangs_up(stream), "seed {seed}");
            }
        }
    });
}

fn noise_behind_a_sound_beginning_is_refused(door: Door) {
    Place::new(door).survives(|place| {
        for seed in 0..100 {
            let beginning = match seed % 3 {
                0 => greeting(),
                1 => [greeting(), ready()].concat(),
                _ => [greeting(), ready(), message(&[&header(1, 0, [0; 5]), &[9; 16]])].concat(),
            };
            let mut stream = place.connect();
            let _ = stream.write_all(&[beginning, noise(5000, seed * 31 + 7)].concat());
        }
    });
}

fn claims_of_gigabytes_are_refused(door: Door) {
    Place::new(door).survives(|place| {
        for claim in [(1 << 20) + 5, 8 << 30, 32 << 30, 1 << 60, 1 << 63, u64::MAX] {
            let header = [&[2][..], &u64::to_be_bytes(claim)].concat();
            let command = [&[6][..], &u64::to_be_bytes(claim)].concat();
            for (at, bytes) in [&header, &command].into_iter().enumerate() {
                let mut stream = place.connect();
                stream.write_all(&[greeting(), bytes.clone()].concat()).expect("a broker that reads");
                assert!(hangs_up(stream), "{claim} before the handshake, {at}");
                let mut stream = place.connect();
                stream
                    .write_all(&[greeting(), ready(), bytes.clone()].concat())
                    .expect("a broker that reads");
                assert!(hangs_up(stream), "{claim} before the session, {at}");
                let mut stream = session(place, 1);
                stream.write_all(bytes).expect("a broker that reads");
                assert!(hangs_up(stream), "{claim} in a session, {at}");
            }
        }
    });
}

fn requests_of_many_frames_are_bounded(door: Door) {
    Place::new(door).survives(|place| {
        let mut stream = session(place, 2);
        let endless = [1, 0].repeat(1 << 20);
        let _ = stream.write_all(&endless);
        assert!(hangs_up(stream), "frames without end");
        let mut stream = session(place, 3);
        let mut long = vec![3];
        long.extend_from_slice(&(1_u64 << 20).to_be_bytes());
        long.resize(9 + (1 << 20), 0);
        let _ = stream.write_all(&long.repeat(4));
        assert!(hangs_up(stream), "long frames without end");
    });
}

fn half_done_handshakes_are_dropped(door: Door) {
    Place::new(door).survives(|place| {
        let mut streams: Vec<UnixStream> = (0..500).map(|_| place.connect()).collect();
        for (at, stream) in streams.iter_mut().enumerate() {
            // Those that the broker has dropped for newer ones refuse it.
            let _ = stream.write_all(&greeting()[..at % 65]);
        }
        assert!(streams.into_iter().all(hangs_up));
    });
}

fn a_slow_handshake_is_no_handshake(door: Door) {
    Place::new(door).survives(|place| {
        let start = Instant::now();
        let mut stream = place.connect();
        stream.write_all(&greeting()).expect("a broker that reads");
        assert!(hangs_up(stream));
        assert!(start.elapsed() >= Duration::from_millis(9900), "{:?}", start.elapsed());
    });
}

fn who_does_not_read_is_not_listened_to(door: Door) {
    Place::new(door).survives(|place| {
        let mut stream = session(place, 4);
        stream.set_nonblocking(true).expect("a socket");
        let (mut sent, mut id) = (0, 0);
        let mut pending = Vec::new();
        let end = Instant::now() + Duration::from_secs(3);
        while sent < 200_000 && Instant::now() < end {
            if pending.is_empty() {
                id += 1;
                pending = message(&[&header(7, id, [0; 5])]);
                sent += 1;
            }
            match stream.write(&pending) {
                Ok(len) => drop(pending.drain(..len)),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(_) => return,
            }
        }
        assert!(sent < 200_000, "the broker took everything in");
    });
}

fn malformed_headers_end_the_connection(door: Door) {
    let good = header(4, 1, [0; 5]);
    let change = |at: usize, byte: u8| {
        let mut bad = good.clone();
        bad[at] = byte;
        bad
    };
    let bad: Vec<Vec<u8>> = vec![
        Vec::new(),
        good[..55].to_vec(),
        [good.as_slice(), &[0]].concat(),
        change(0, b'X'),
        change(4, 0),
        change(4, 1),
        change(5, 0),
        change(5, 18),
        change(5, 99),
        header(1, 1, [0; 5]),
    ];
    Place::new(door).survives(|place| {
        for (at, header) in bad.iter().enumerate() {
            let mut stream = session(place, 5);
            stream.write_all(&message(&[header])).expect("a broker that reads");
            assert!(hangs_up(stream), "header {at}");
        }
        let mut stream = place.connect();
        let early = message(&[&header(2, 1, [0; 5]), b"message"]);
        stream.write_all(&[greeting(), ready(), early].concat()).expect("a broker that reads");
        assert!(hangs_up(stream), "a put without a session");
        let mut stream = session(place, 6);
        let twice = message(&[&header(4, 1, [0, 0, 1, 0, 0]), b""]);
        stream.write_all(&twice.repeat(2)).expect("a broker that reads");
        // What is put is packed: a length of 4 bytes, and the message.
        for wrong in [&[0, 0, 0][..], &[0, 0, 0, 2, 1], &[0, 0, 0, 1, 1, 0xff, 0xff, 0xff, 0xff], b"message"]
        {
            let mut stream = session(place, 7);
            stream.write_all(&message(&[&header(2, 1, [0; 5]), wrong])).expect("a broker that reads");
            assert!(hangs_up(stream), "a put of {wrong:?}");
        }
        let mut stream = session(place, 8);
        let three = message(&[&header(2, 1, [0; 5]), &[0, 0, 0, 1, 1], &[0, 0, 0, 1, 1]]);
        stream.write_all(&three).expect("a broker that reads");
        assert!(hangs_up(stream), "a put of two frames");
    });
}

fn wild_numbers_are_harmless(door: Door) {
    Place::new(door).survives(|place| {
        for op in 3..=17 {
            for field in [0, 1, (1 << 20) - 1, 1 << 20, u64::MAX] {
                // Removing and closing the queue, and registering, are everybody's right.
                if matches!(op, 4 | 8 | 9) {
                    continue;
                }
                let mut stream = session(place, op);
                let mut wild = header(op, u64::MAX, [field, field, field, field, field]);
                wild[6] = 0xff;
                let _ = stream.write_all(&message(&[&wild, b"frame"]));
            }
        }
    });
}

fn clients_come_and_vanish(door: Door) {
    Place::new(door).survives(|place| {
        let files = || std::fs::read_dir("/proc/self/fd").expect("the descriptors").count();
        // Queues that other tests made are still hosted here.
        let before = files();
        for round in 0..5_u8 {
            for at in 0..1000_u32 {
                let mut stream = place.connect();
                let token = [at.to_be_bytes(), [round; 4], [1; 4], [2; 4]].concat();
                let hello = message(&[&header(1, 0, [0; 5]), &token]);
                let _ = stream.write_all(&[greeting(), ready(), hello].concat());
            }
        }
        while files() > before + 50 {
            std::thread::yield_now();
        }
    });
}

#[test]
fn another_process_cannot_take_over_a_session() {
    if let Some(directory) = std::env::var_os(CHILD) {
        let stream = UnixStream::connect(PathBuf::from(directory).join("q.zmq")).expect("the broker listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
        let hello = message(&[&header(1, 0, [0; 5]), &[7; 16]]);
        (&stream).write_all(&[greeting(), ready(), hello].concat()).expect("a broker that reads");
        return assert!(hangs_up(stream), "the session of another process");
    }
    Place::new(Door::Unix).survives(|place| {
        let mut mine = session(place, 7);
        let status = child(place, "another_process_cannot_take_over_a_session").status();
        assert!(status.expect("a child").success());
        mine.write_all(&message(&[&header(7, 1, [0; 5])])).expect("a broker that reads");
        assert!(mine.read(&mut [0; 64]).expect("an answer") > 0, "the session is not its owner's any more");
    });
}

/// A putter killed in a message of 100 MiB: the message is wholly there or not at all, and so is the next one.
#[test]
fn a_putter_is_killed_in_a_long_message() {
    const LEN: usize = 100 << 20;
    if let Some(directory) = std::env::var_os(CHILD) {
        let queue = ZmqTransport::in_directory(directory).open(&name("long")).expect("the queue is there");
        let long = vec![6; LEN];
        loop {
            queue.put(&[&long], Wait::Forever).expect("a put");
        }
    }
    let place = Place::new(Door::Unix);
    let _watchdog = Watchdog::start("a long message", LIMIT);
    let queue = place.zmq.create(&name("long"), &QueueOptions::new().capacity(2)).expect("a free name");
    for round in 0..8_u64 {
        let mut child = child(&place, "a_putter_is_killed_in_a_long_message").spawn().expect("a child");
        let mut message = Vec::new();
        queue.get(&mut message, Wait::Forever).expect("a message");
        // Wherever it is by now.
        std::thread::sleep(Duration::from_millis(round * 3));
        child.kill().expect("a child that lives");
        child.wait().expect("a child");
        assert_eq!(message.len(), LEN);
        while queue.get(&mut message, Wait::No).is_ok() {
            assert!(message.len() == LEN && message.iter().all(|&byte| byte == 6));
        }
        let stat = queue.stat().expect("a queue that works");
        assert_eq!((stat.len, stat.puts), (0, stat.gets));
    }
    while queue.stat().expect("a queue that works").bytes > 0 {
        std::thread::yield_now();
    }
}

/// A getter killed in a message of 100 MiB: it had taken it, or it is there again, whole.
#[test]
fn a_getter_is_killed_in_a_long_message() {
    const LEN: usize = 100 << 20;
    if let Some(directory) = std::env::var_os(CHILD) {
        let queue = ZmqTransport::in_directory(directory).open(&name("long")).expect("the queue is there");
        loop {
            queue.get(&mut Vec::new(), Wait::Forever).expect("a get");
        }
    }
    let place = Place::new(Door::Unix);
    let _watchdog = Watchdog::start("a long message", LIMIT);
    let queue = place.zmq.create(&name("long"), &QueueOptions::new().capacity(1)).expect("a free name");
    let (long, mut message, mut kept) = (vec![6; LEN], Vec::new(), 0);
    for round in 0..8_u64 {
        let mut child = child(&place, "a_getter_is_killed_in_a_long_message").spawn().expect("a child");
        while queue.stat().expect("a queue that works").waiting_getters == 0 {
            std::thread::yield_now();
        }
        queue.put(&[&long], Wait::Forever).expect("a put");
        // Wherever it is by now.
        std::thread::sleep(Duration::from_millis(round * 8));
        child.kill().expect("a child that lives");
        child.wait().expect("a child");
        match queue.get(&mut message, Wait::timeout(Duration::from_secs(1))) {
            Ok(()) => {
                assert!(message == long, "a torn message");
                kept += 1;
            }
            Err(GetFault::Timeout) => {}
            Err(fault) => panic!("a get says {fault}"),
        }
        let stat = queue.stat().expect("a queue that works");
        assert_eq!((stat.len, stat.puts, stat.bytes), (0, stat.gets, 0));
    }
    assert!(kept > 0, "nobody was killed in a message");
}

fn child(place: &Place, test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", test, "--test-threads=1"]).env(CHILD, place.directory.path());
    command.stdout(std::process::Stdio::null());
    command
}

/// Over TCP nobody else knows who a peer is: what it calls itself must be the same as before.
#[test]
fn another_party_cannot_take_over_a_session() {
    Place::new(Door::Tcp).survives(|place| {
        let mut mine = session(place, 7);
        for content in [&[7; 16][..], &[[7; 16], [8; 16]].concat(), &[7; 24]] {
            let hello = message(&[&header(1, 0, [0; 5]), content]);
            let mut stream = place.connect();
            stream.write_all(&[greeting(), ready(), hello].concat()).expect("a broker that reads");
            assert!(hangs_up(stream), "the session of another");
        }
        mine.write_all(&message(&[&header(7, 1, [0; 5])])).expect("a broker that reads");
        assert!(mine.read(&mut [0; 64]).expect("an answer") > 0, "the session is not its owner's any more");
    });
}

/// What is only for the machine that a queue is on is refused to others.
#[test]
fn nobody_removes_a_queue_from_elsewhere() {
    Place::new(Door::Tcp).survives(|place| {
        let mut stream = session(place, 8);
        stream.write_all(&message(&[&header(9, 1, [0; 5])])).expect("a broker that reads");
        assert!(hangs_up(stream), "a queue was removed");
        let mut stream = place.connect();
        let expect = message(&[&header(12, 1, [0; 5])]);
        stream.write_all(&[greeting(), ready(), expect].concat()).expect("a broker that reads");
        assert!(hangs_up(stream), "a child was announced");
    });
}
