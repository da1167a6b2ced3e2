//! Helper processes: the test program started once more, to play one role.

use std::ffi::OsStr;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::bounds;
use super::faults::assert_refuses;
use super::stage::{Shared, Stage, assert_says, get, name, number, put, put_numbers};
use super::watchdog::Watchdog;
use super::{Harness, stage};
use crate::error::{BackendErrorKind, CreateError, GetFault, OpenError, PutFault};
use crate::{Batch, Limit, Loan, QueueOptions, Transport, Wait};

const PLACE: &str = "IPCQ_CONFORMANCE_PLACE";
const ROLE: &str = "IPCQ_CONFORMANCE_ROLE";

/// What a helper process does, with the queue `q` unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Puts the numbers below 100 and exits.
    Put,
    /// Puts the numbers below 100 and ends without any clean-up.
    PutAndAbort,
    /// Puts one number after the other until it is killed, each followed by 100 kB.
    Flood,
    /// Finds 3 messages in the full queue, takes one and leaves.
    Observe,
    /// Puts the numbers below 100 into the queue that it inherited as number 0.
    PutInherited,
    /// Passes what it gets from the inherited queue number 0 on to number 1, until the former is closed.
    PassOnInherited,
    /// Registers as a producer, says so in the queue `ready`, and exits once the queue `leave` is closed.
    Produce,
    /// Waits for a message until it is killed.
    Wait,
    /// Holds three deliveries, says so in the queue `ready`, and keeps them until it is killed.
    Hold,
    /// Has one message that it got and room for another, has put one more, says so in the queue `ready`, and keeps them
    /// until it is killed.
    Borrow,
    /// Has little address space: wants a loan that does not fit.
    BorrowTooMuch,
    /// Gets what there is, until the queue is closed and drained, and acknowledges each.
    Work,
    /// Has little address space: makes the queue `q` and puts more into it than fits.
    PutTooMuch,
    /// Has little address space: gets a message that does not fit.
    GetTooMuch,
    /// Has few file handles: makes and opens queues when none is left, and when some are again.
    OpenTooMuch,
}

const ROLES: [Role; 15] = [
    Role::Put,
    Role::PutAndAbort,
    Role::Flood,
    Role::Observe,
    Role::PutInherited,
    Role::PassOnInherited,
    Role::Produce,
    Role::Wait,
    Role::Hold,
    Role::Borrow,
    Role::BorrowTooMuch,
    Role::Work,
    Role::PutTooMuch,
    Role::GetTooMuch,
    Role::OpenTooMuch,
];

/// More bytes than a cramped helper has address space for.
const TOO_MUCH: usize = 1 << 30;
/// Bytes that a cramped helper has no address space for once it has [filled](fill_space) it.
pub(super) const BIG: usize = 450 << 20;
/// What a cramped helper gets: 900 MB of address space and 40 file handles.
const CRAMPED: &str = "ulimit -v 900000 && ulimit -n 40 && exec \"$0\" \"$@\"";

/// A helper process, killed when it is dropped.
#[derive(Debug)]
pub(super) struct Helper(Child);

impl Helper {
    /// Starts the process that `command` describes.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub(super) fn spawn(mut command: Command) -> Self {
        Self(command.spawn().expect("the test program starts once more"))
    }

    /// Waits until the helper has done its part.
    ///
    /// # Panics
    /// When it failed.
    pub(super) fn finish(mut self) {
        let status = self.0.wait().expect("the helper is this process's child");
        assert!(status.success(), "the helper process failed: {status}");
    }

    /// Waits until the helper has ended in whatever way.
    ///
    /// # Panics
    /// When it is no child any more.
    pub(super) fn end(mut self) {
        self.0.wait().expect("the helper is this process's child");
    }

    /// Kills the helper.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub(super) fn kill(mut self) {
        self.0.kill().expect("the helper can be killed");
        self.0.wait().expect("the helper is this process's child");
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl<H: Harness> Stage<H> {
    /// The command that starts a helper process in this place; `None` when no other process can reach it.
    ///
    /// # Panics
    /// When the path of the test program is unknown.
    pub(super) fn helper(&self, role: Role) -> Option<Command> {
        self.prepare(Command::new(test_program()), role)
    }

    /// As [`helper`](Self::helper), of a process that has little of everything.
    ///
    /// # Panics
    /// When the path of the test program is unknown.
    pub(super) fn cramped_helper(&self, role: Role) -> Option<Command> {
        let mut command = Command::new("sh");
        command.args(["-c", CRAMPED]).arg(test_program());
        self.prepare(command, role)
    }

    fn prepare(&self, mut command: Command, role: Role) -> Option<Command> {
        command.args([self.helper_test(), "--exact", "--nocapture", "--test-threads=1"]);
        command.env(PLACE, self.harness().place()?).env(ROLE, format!("{role:?}"));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Some(command)
    }

    /// What cases that need a second process check where there can be none: that passing a queue on is refused.
    ///
    /// # Panics
    /// When it is not.
    pub(super) fn assert_confined(&self) {
        let queue = self.create("confined", &QueueOptions::new());
        let refusal =
            queue.share_with(&mut Command::new("true")).expect_err("no process can inherit the queue");
        assert_eq!(refusal.kind(), BackendErrorKind::Unsupported, "{refusal}");
    }
}

/// The body of the test that helper processes run. Without a role it checks that helpers start and answer.
///
/// # Panics
/// When the part of the role fails.
pub fn helper_process<H: Harness>(helper_test: &'static str) {
    let _watchdog = Watchdog::start("the helper process", bounds::CASE);
    let (Some(place), Ok(role)) = (std::env::var_os(PLACE), std::env::var(ROLE)) else {
        return answers::<H>(&Stage::new(helper_test));
    };
    let role = ROLES.into_iter().find(|known| format!("{known:?}") == role).expect("a known role");
    play::<H>(role, &place);
}

fn answers<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(100);
    let Some(command) = stage.helper(Role::Put) else { return stage.assert_confined() };
    Helper::spawn(command).finish();
    assert_eq!(stage::drain_numbers(&queue), (0..100).collect::<Vec<_>>());
}

fn play<H: Harness>(role: Role, place: &OsStr) {
    let transport = H::reach(place).expect("a place that other processes can reach");
    let open = |queue: &str| transport.open(&name(queue)).expect("the queue was made by the parent");
    let inherited = |n: usize| transport.inherited(n).expect("the queue was shared by the parent");
    match role {
        Role::Put => put_numbers(&open("q"), 0..100),
        Role::PutAndAbort => {
            put_numbers(&open("q"), 0..100);
            std::process::abort();
        }
        Role::Flood => flood(&open("q")),
        Role::Observe => observe(&open("q")),
        Role::PutInherited => put_numbers(&inherited(0), 0..100),
        Role::PassOnInherited => pass_on(&inherited(0), &inherited(1)),
        Role::Produce => {
            let queue = open("q");
            queue.register_producer().expect("one more producer");
            put(&open("ready"), b"");
            stage::until(|| open("leave").is_closed().expect("the queue is there"));
        }
        Role::Wait => drop(get(&open("q"))),
        Role::Hold => {
            let (queue, mut message) = (open("q"), Vec::new());
            for _ in 0..3 {
                queue.get_delivery(&mut message, Wait::Forever).expect("a delivery");
            }
            put(&open("ready"), b"");
            stage::until(|| open("leave").is_closed().expect("the queue is there"));
        }
        Role::Borrow => {
            let queue = open("q");
            let _loans = borrow(&queue);
            put(&open("ready"), b"");
            stage::until(|| open("leave").is_closed().expect("the queue is there"));
        }
        Role::BorrowTooMuch => borrow_too_much(&open("q")),
        Role::Work => work(&open("q")),
        Role::PutTooMuch => put_too_much(&transport),
        Role::GetTooMuch => get_too_much(&open("q")),
        Role::OpenTooMuch => open_too_much(&transport),
    }
}

/// What [`Role::Flood`] puts as its `n`th message.
#[must_use]
pub(super) fn flood_message(n: u64) -> Vec<u8> {
    [n.to_le_bytes().as_slice(), &stage::pattern(100_000, n)].concat()
}

fn flood(queue: &Shared) {
    for n in 0.. {
        put(queue, &flood_message(n));
    }
}

fn observe(queue: &Shared) {
    assert_eq!(queue.len().expect("a queue that works"), 3);
    assert!(queue.is_full().expect("a queue that works"));
    assert!(!queue.is_empty().expect("a queue that works"));
    assert_eq!(number(&get(queue)), 0);
}

fn pass_on(from: &Shared, to: &Shared) {
    while let Ok(message) = stage::get_within(from, Wait::Forever) {
        put(to, &message);
    }
    let closed = from.is_closed().expect("a queue that works");
    assert!(closed, "the queue ended in another way than by being closed");
}

fn work(queue: &Shared) {
    let mut message = Vec::new();
    while let Ok(tag) = queue.get_delivery(&mut message, Wait::Forever) {
        queue.acknowledge(&tag).expect("this process holds it");
    }
}

/// What [`Role::Borrow`] puts.
pub(super) const BORROWED: &[u8] = &[9; 100_000];

fn borrow(queue: &Shared) -> [Loan; 2] {
    let got = queue.get_loan(Wait::Forever).expect("a message");
    let mut putting = queue.loan(BORROWED.len()).expect("there is room");
    putting.copy_from_slice(BORROWED);
    let mut building = queue.loan(5 << 20).expect("there is room");
    building.fill(1);
    queue.put_loan(&mut putting, Wait::No).expect("there is room");
    [got, building]
}

fn borrow_too_much(queue: &Shared) {
    for _ in 0..2 {
        assert_says!(queue.loan(TOO_MUCH), Err(PutFault::Backend(error)) if error.is_no_room());
        assert_eq!(queue.len().expect("a queue that works"), 1);
    }
    let mut loan = queue.loan(b"second".len()).expect("there is room");
    loan.copy_from_slice(b"second");
    queue.put_loan(&mut loan, Wait::No).expect("there is room");
}

fn put_too_much(transport: &impl Transport) {
    let options = QueueOptions::new().capacity(3);
    let queue = transport.create(&name("q"), &options).expect("a fresh name is free");
    assert_refuses(&queue, TOO_MUCH);
}

/// Takes up the address space that this process may have, a fifth of [`BIG`] excepted.
fn fill_space() -> Vec<Vec<u8>> {
    let piece = || {
        let mut piece = Vec::new();
        piece.try_reserve_exact(BIG / 10).ok().map(|()| piece)
    };
    let mut pieces: Vec<Vec<u8>> = std::iter::from_fn(piece).collect();
    pieces.truncate(pieces.len().saturating_sub(2));
    pieces
}

fn get_too_much(queue: &Shared) {
    assert_eq!(queue.len().expect("a queue that works"), 2);
    let _filling = fill_space();
    for wait in [Wait::No, Wait::Forever] {
        let refused = stage::get_within(queue, wait).map(|message| message.len());
        assert_says!(refused, Err(GetFault::Backend(error)) if error.is_no_room());
        let refused = queue.get_many(&mut Batch::new(), Limit::messages(2), wait);
        assert_says!(refused, Err(GetFault::Backend(error)) if error.is_no_room());
        assert_eq!(queue.len().expect("a queue that works"), 2);
    }
}

fn open_too_much(transport: &impl Transport) {
    let (new, old) = (name("new"), name("q"));
    let taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    let refused = transport.create(&new, &QueueOptions::new());
    assert_says!(refused, Err(CreateError::Backend(error)) if error.is_no_room());
    assert_says!(transport.open(&old), Err(OpenError::Backend(error)) if error.is_no_room());
    drop(taken);
    transport.create(&new, &QueueOptions::new()).expect("a fresh name is free");
    assert_eq!(number(&get(&transport.open(&old).expect("the queue was made by the parent"))), 0);
}

fn test_program() -> PathBuf {
    std::env::current_exe().expect("the path of the test program")
}
