//! Who asks for much at a time and reads late: the answers must come in the order of the questions, each one whole.

use std::io::{Read, Write};

use ipcq_core::conformance::Watchdog;
use ipcq_zmq::{Transport, Wait};

use crate::place::{Door, LIMIT, Place, header, message, name, session};

const PUT: u8 = 2;
const GET: u8 = 4;
const STAT: u8 = 7;
const OK: u8 = 101;
const MSG: u8 = 102;
const STATS: u8 = 104;

/// The lengths of the messages: short ones are copied before they are sent, long ones are not.
const LENGTHS: [usize; 6] = [100, 100_000, 20_000, 10, 16_384, 200_000];
/// How often they are put and got: more than fits between the two before somebody reads.
const ROUNDS: usize = 4;

fn content(round: usize, at: usize) -> Vec<u8> {
    let byte = u8::try_from(round * LENGTHS.len() + at + 1).expect("a small number");
    vec![byte; LENGTHS[at]]
}

/// A put of one message.
fn put(id: u64, content: &[u8]) -> Vec<u8> {
    let len = u32::try_from(content.len()).expect("a short message").to_be_bytes();
    message(&[&header(PUT, id, [id - 1, 0, 0, 0, 0]), &[&len, content].concat()])
}

fn ask(op: u8, id: u64) -> Vec<u8> {
    message(&[&header(op, id, [id - 1, 0, 1, 1 << 20, 1 << 20])])
}

/// All that is asked for: put, get, stat, for each message; what is to be answered; and the content of each answer.
fn script() -> (Vec<u8>, Vec<(u8, Vec<u8>)>) {
    let (mut words, mut expected) = (Vec::new(), Vec::new());
    for (round, at) in (0..ROUNDS).flat_map(|round| (0..LENGTHS.len()).map(move |at| (round, at))) {
        let content = content(round, at);
        let id = expected.len() as u64 + 1;
        words.extend_from_slice(&put(id, &content));
        words.extend_from_slice(&[ask(GET, id + 1), ask(STAT, id + 2)].concat());
        expected.extend([(OK, Vec::new()), (MSG, content), (STATS, Vec::new())]);
    }
    (words, expected)
}

/// The next frame of `stream`, and whether another one belongs to it.
fn frame(stream: &mut impl Read) -> (bool, Vec<u8>) {
    let [mut flags, mut short, mut long] = [[0], [0], [0]].map(|byte: [u8; 1]| byte.to_vec());
    stream.read_exact(&mut flags).expect("a frame");
    let len = if flags[0] & 2 == 0 {
        stream.read_exact(&mut short).expect("a length");
        u64::from(short[0])
    } else {
        long.resize(8, 0);
        stream.read_exact(&mut long).expect("a length");
        u64::from_be_bytes(long.try_into().expect("8 bytes"))
    };
    let mut content = vec![0; usize::try_from(len).expect("a length")];
    stream.read_exact(&mut content).expect("a whole frame");
    (flags[0] & 1 != 0, content)
}

/// The next answer: its status, its number, and its content.
fn answer(stream: &mut impl Read) -> (u8, u64, Vec<u8>) {
    let (mut more, header) = frame(stream);
    assert_eq!(&header[..5], b"IPCQ\x03", "an answer begins with its header");
    let mut content = Vec::new();
    while more {
        let (again, part) = frame(stream);
        content.extend_from_slice(&part);
        more = again;
    }
    (header[5], u64::from_be_bytes(header[8..16].try_into().expect("8 bytes")), content)
}

pub(crate) fn replies_come_in_the_order_of_their_requests(door: Door) {
    let place = Place::new(door);
    let _watchdog = Watchdog::start("answers in order", LIMIT);
    let queue = place.zmq.open(&name("q")).expect("the queue is there");
    let mut stream = session(&place, 5);
    let mut writer = stream.try_clone().expect("a descriptor");
    let (words, expected) = script();
    std::thread::scope(|scope| {
        scope.spawn(move || writer.write_all(&words).expect("a broker that reads"));
        // Several answers wait before one is read.
        while queue.stat().expect("a queue that works").puts < LENGTHS.len() as u64 {
            std::thread::yield_now();
        }
        for (at, (status, content)) in expected.iter().enumerate() {
            let (found, id, answered) = answer(&mut stream);
            assert_eq!((found, id), (*status, at as u64 + 1));
            assert!(*status != MSG || answered[4..] == content[..], "the message of answer {id} is another");
        }
        // One that has to wait holds up those behind it.
        let id = expected.len() as u64 + 1;
        stream.write_all(&[ask(GET, id), ask(STAT, id + 1)].concat()).expect("a broker that reads");
        while queue.stat().expect("a queue that works").waiting_getters == 0 {
            std::thread::yield_now();
        }
        let last = content(0, 1);
        queue.put(&[&last], Wait::Forever).expect("there is room");
        let (status, found, answered) = answer(&mut stream);
        assert!((status, found) == (MSG, id) && answered[4..] == last[..], "answer {found} is {status}");
        assert_eq!(answer(&mut stream).1, id + 1);
    });
}
