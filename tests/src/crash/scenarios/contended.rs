//! Deaths beside a process that uses the queue all the time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ipcq_core::{Channel, GetFault, Wait};

use crate::crash::helper::wait_for_change;
use crate::crash::stopwatch::Stopwatch;
use crate::crash::{Cell, Helper, How, Message, Scenario, board, message, survey};

pub(super) fn all() -> Vec<Box<dyn Scenario>> {
    let board = board(4);
    vec![
        Box::new(Contended { name: "put_contended", puts: true, board }),
        Box::new(Contended { name: "get_contended", puts: false, board }),
    ]
}

/// What the rival shares with its parent.
const ROUNDS: usize = 0;
const STOP: usize = 1;
/// How many messages of the victim the rival got.
const FOREIGN: usize = 2;
/// How many of its own messages it missed.
const MISSED: usize = 3;

const OWN: Message = message(7, 64);
/// How long the rival may stand still after a death.
const LIMIT: Duration = Duration::from_secs(1);

struct Contended {
    name: &'static str,
    puts: bool,
    board: &'static [AtomicU64],
}

impl Scenario for Contended {
    fn name(&self) -> &'static str {
        self.name
    }

    fn prepare(&self, cell: &mut Cell<'_>) -> Result<(), String> {
        for word in self.board {
            word.store(0, Ordering::SeqCst);
        }
        let (queue, board) = (cell.queue.clone(), self.board);
        let rival = Helper::start(|| compete(&*queue, board)).map_err(|error| error.to_string())?;
        cell.helpers.push(rival);
        let moves = wait_for_change(&self.board[ROUNDS], 0, LIMIT);
        moves.map(|_| ()).ok_or_else(|| "the rival did not begin".to_owned())
    }

    fn act<'a>(&'a self, cell: &'a Cell<'_>) -> Box<dyn FnMut() + 'a> {
        let bytes = OWN.bytes();
        let mut taken = Vec::with_capacity(4096);
        if self.puts {
            Box::new(move || cell.queue.put(&[&bytes], Wait::Forever).expect("a put"))
        } else {
            Box::new(move || drop(cell.queue.get(&mut taken, Wait::No)))
        }
    }

    fn wake(&self) -> Option<fn(&mut Cell<'_>)> {
        // The rival goes on by itself, and wakes it.
        Some(|_| {})
    }

    fn examine(&self, cell: &mut Cell<'_>, how: How) -> Result<(), String> {
        let at = self.board[ROUNDS].load(Ordering::SeqCst);
        let rival = cell.helpers.first().ok_or("the rival is not there")?.pid();
        let watch = Stopwatch::start_for(rival);
        if wait_for_change(&self.board[ROUNDS], at, LIMIT).is_none() {
            return Err(format!("the rival stood still for {LIMIT:?} in its round {at}"));
        }
        cell.slowest = cell.slowest.max(watch.elapsed());
        self.board[STOP].store(1, Ordering::SeqCst);
        for rival in cell.helpers.drain(..) {
            let end = rival.join().map_err(|error| error.to_string())?;
            if !matches!(end, nix::sys::wait::WaitStatus::Exited(_, 0)) {
                return Err(format!("the rival ended with {end:?}"));
            }
        }
        let count = |at: usize| self.board[at].load(Ordering::SeqCst);
        let seen = (count(FOREIGN), count(MISSED));
        let right = match (self.puts, how) {
            (_, How::Before) => seen == (0, 0),
            (true, How::Inside) => seen == (0, 0) || seen == (1, 0),
            (true, How::After) => seen == (1, 0),
            // A get that does not wait may find the queue empty.
            (false, _) => seen == (0, 0) || seen == (0, 1),
        };
        if !right {
            return Err(format!("the rival got (messages of the dead, too few of its own) {seen:?}"));
        }
        survey(cell, &[Vec::new()])
    }
}

/// Puts and gets until told to stop; then drains.
fn compete(queue: &dyn Channel, board: &[AtomicU64]) {
    let (mut next, mut expected) = (1 << 32, 1 << 32);
    let mut bytes = Vec::with_capacity(4096);
    while board[STOP].load(Ordering::SeqCst) == 0 {
        queue.put(&[&message(next, 64).bytes()], Wait::Forever).expect("a put of the rival");
        next += 1;
        take(queue, &mut bytes, &mut expected, board);
        board[ROUNDS].fetch_add(1, Ordering::SeqCst);
    }
    while take(queue, &mut bytes, &mut expected, board) {}
    board[MISSED].fetch_add(next - expected, Ordering::SeqCst);
}

fn take(queue: &dyn Channel, bytes: &mut Vec<u8>, expected: &mut u64, board: &[AtomicU64]) -> bool {
    loop {
        match queue.get(bytes, Wait::No) {
            Ok(()) => break,
            Err(GetFault::Empty) => return false,
            // The victim may be stopped inside its operation for longer than a try waits.
            Err(GetFault::Busy) => {}
            Err(fault) => panic!("a get of the rival says: {fault}"),
        }
    }
    let got = Message::read(bytes).expect("a whole message");
    if got == OWN {
        board[FOREIGN].fetch_add(1, Ordering::SeqCst);
    } else {
        let skipped = got.id.checked_sub(*expected).expect("messages in their order");
        board[MISSED].fetch_add(skipped, Ordering::SeqCst);
        *expected = got.id + 1;
    }
    true
}
