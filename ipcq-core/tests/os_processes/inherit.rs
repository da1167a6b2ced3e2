//! Queues passed to the children of a `Command`: registered before `spawn` returns, and over `exec`.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use ipcq_core::os::inherit::{Inheritable, Inherited, share_with};
use ipcq_core::os::participants::{Participants, Producers};

use crate::processes::{Board, Watchdog, wait_until};

type Tested = Result<(), Box<dyn Error>>;

const SLOTS: usize = 8;
const VARIABLE: &str = "IPCQ_INHERITED_BOARD";
/// Tells this program, started again by a test, that it is the child of that test.
const ROLE: &str = "IPCQ_TEST_CHILD";

/// A child that does nothing until its standard input ends, and that is killed with the test.
struct Idle(Child);

impl Idle {
    fn spawn(command: &mut Command) -> std::io::Result<Self> {
        command.stdin(Stdio::piped()).spawn().map(Self)
    }

    fn kill(mut self) -> Tested {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        // Fails if it was killed and reaped already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// This test again, in a new process, which [`is_child`] tells.
fn same_test(name: &str) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([&format!("inherit::{name}"), "--exact", "--nocapture"]).env(ROLE, name);
    Ok(command)
}

fn is_child() -> bool {
    std::env::var_os(ROLE).is_some()
}

fn inherited_board() -> Result<Board, Box<dyn Error>> {
    let inherited = Inherited::find("board", 0).ok_or("nothing was inherited")?;
    // SAFETY: this process has taken nothing yet.
    let file = unsafe { inherited.take() }?;
    Ok(Board::map(file, SLOTS)?)
}

#[test]
fn a_child_is_a_producer_before_spawn_returns_and_over_exec() -> Tested {
    let _watchdog = Watchdog::start("a_child_is_a_producer_before_spawn_returns_and_over_exec");
    let board = Arc::new(Board::new(SLOTS)?);
    let mut command = Command::new("cat");
    assert_eq!(share_with(&mut command, "board", Arc::clone(&board), true)?, 0);
    assert_eq!(board.table().producers()?, Producers::NeverAny, "nothing is started yet");
    let child = Idle::spawn(&mut command)?;
    assert_eq!((board.table().producers()?, board.table().live_producers()?), (Producers::Some, 1));
    assert_eq!(board.slots()[0].owner(), child.0.id());
    assert!(!board.participants.is_producer(), "the parent is none");
    child.kill()?;
    assert_eq!(board.table().producers()?, Producers::AllLeft);
    Ok(())
}

#[test]
fn a_child_that_is_only_shared_with_is_no_producer() -> Tested {
    let _watchdog = Watchdog::start("a_child_that_is_only_shared_with_is_no_producer");
    let board = Arc::new(Board::new(SLOTS)?);
    let mut command = Command::new("cat");
    share_with(&mut command, "board", Arc::clone(&board), false)?;
    let _child = Idle::spawn(&mut command)?;
    assert_eq!(board.table().producers()?, Producers::NeverAny);
    Ok(())
}

#[test]
fn a_command_spawned_twice_registers_two_children() -> Tested {
    let _watchdog = Watchdog::start("a_command_spawned_twice_registers_two_children");
    let board = Arc::new(Board::new(SLOTS)?);
    let (mut first, mut second) = (Command::new("cat"), Command::new("cat"));
    share_with(&mut first, "board", Arc::clone(&board), true)?;
    share_with(&mut second, "board", Arc::clone(&board), true)?;
    let children = [Idle::spawn(&mut first)?, Idle::spawn(&mut first)?, Idle::spawn(&mut second)?];
    assert_eq!(board.table().live_producers()?, 3);
    for (killed, child) in (1..).zip(children) {
        child.kill()?;
        assert_eq!(board.table().live_producers()?, 3 - killed);
    }
    Ok(())
}

#[test]
fn a_queue_shared_twice_on_one_command_registers_once() -> Tested {
    let _watchdog = Watchdog::start("a_queue_shared_twice_on_one_command_registers_once");
    let (board, other) = (Arc::new(Board::new(SLOTS)?), Arc::new(Board::new(SLOTS)?));
    let mut command = Command::new("cat");
    let mut share = |board: &Arc<Board>| share_with(&mut command, "board", Arc::clone(board), true);
    assert_eq!((share(&board)?, share(&other)?, share(&board)?), (0, 1, 2));
    let list = command.get_envs().find_map(|(key, value)| (key == VARIABLE).then_some(value)).flatten();
    let list = list.and_then(|list| list.to_str()).ok_or("no list was set")?;
    let numbers: Vec<_> = list.split(',').filter_map(|entry| entry.split(':').next()).collect();
    let (one, two) = (board.descriptor().as_raw_fd().to_string(), other.descriptor().as_raw_fd().to_string());
    assert_eq!(numbers, [&one, &two, &one]);
    let _child = Idle::spawn(&mut command)?;
    assert_eq!((board.table().live_producers()?, other.table().live_producers()?), (1, 1));
    Ok(())
}

#[test]
fn a_child_for_which_there_is_no_slot_does_not_start() -> Tested {
    let _watchdog = Watchdog::start("a_child_for_which_there_is_no_slot_does_not_start");
    let board = Arc::new(Board::new(1)?);
    let mut command = Command::new("cat");
    share_with(&mut command, "board", Arc::clone(&board), true)?;
    let first = Idle::spawn(&mut command)?;
    let refused = Idle::spawn(&mut command).err().ok_or("a second child started")?;
    assert_eq!(refused.raw_os_error(), Some(libc::EUSERS));
    first.kill()?;
    let _second = Idle::spawn(&mut command)?;
    assert_eq!(board.table().live_producers()?, 1);
    Ok(())
}

#[test]
fn a_child_that_cannot_run_its_program_is_no_producer_any_more() -> Tested {
    let board = Arc::new(Board::new(1)?);
    let mut command = Command::new("/nonexistent/program");
    share_with(&mut command, "board", Arc::clone(&board), true)?;
    assert!(command.spawn().is_err());
    assert_eq!(board.table().producers()?, Producers::AllLeft);
    assert_eq!(board.participants.join(board.table())?, 0, "its slot is free");
    Ok(())
}

#[test]
fn a_child_finds_its_registration_and_gives_it_up() -> Tested {
    let _watchdog = Watchdog::start("a_child_finds_its_registration_and_gives_it_up");
    if is_child() {
        return registered_child();
    }
    let board = Arc::new(Board::new(SLOTS)?);
    board.participants.join(board.table())?;
    let mut command = same_test("a_child_finds_its_registration_and_gives_it_up")?;
    share_with(&mut command, "board", Arc::clone(&board), true)?;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().ok_or("it has an output")?;
    let mut stdin = child.stdin.take().ok_or("it has an input")?;
    let mut lines = BufReader::new(stdout).lines();
    let mut next = |wanted: &str| lines.any(|line| line.is_ok_and(|line| line.ends_with(wanted)));
    assert!(next("adopted"));
    assert_eq!(board.table().live_producers()?, 1);
    stdin.write_all(b"\n")?;
    assert!(next("left"));
    assert_eq!(board.table().producers()?, Producers::AllLeft, "it lives and has left");
    drop(stdin);
    assert!(lines.all(|line| line.is_ok()));
    assert!(child.wait()?.success());
    Ok(())
}

/// The child of the test above. It says what it has done, and goes on when told.
fn registered_child() -> Tested {
    let say = |what: &str| writeln!(std::io::stdout(), "{what}");
    let board = inherited_board()?;
    assert_eq!(board.table().producers()?, Producers::Some, "seen before it joined");
    assert_eq!(board.participants.join(board.table())?, 1, "the slot that was taken before exec");
    assert!(board.participants.is_producer());
    assert_eq!(board.table().live_producers()?, 1);
    assert_eq!(Participants::new().join(board.table())?, 1, "the kernel remembers, not the object");
    say("adopted")?;
    std::io::stdin().read_exact(&mut [0])?;
    board.participants.leave(board.table());
    assert!(!board.participants.is_producer());
    say("left")?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

#[test]
fn a_child_passes_nothing_on_by_accident() -> Tested {
    let _watchdog = Watchdog::start("a_child_passes_nothing_on_by_accident");
    const NAME: &str = "a_child_passes_nothing_on_by_accident";
    const GENERATION: &str = "IPCQ_TEST_GENERATION";
    match (is_child(), std::env::var_os(GENERATION).is_some()) {
        (false, _) => {
            let board = Arc::new(Board::new(SLOTS)?);
            let mut command = same_test(NAME)?;
            share_with(&mut command, "board", Arc::clone(&board), false)?;
            let output = command.output()?;
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        (true, false) => {
            let board = inherited_board()?;
            let again = Inherited::find("board", 0).ok_or("a second look finds it too")?;
            assert_eq!(Inherited::of_file("board", again.file()), Some(again));
            let output = same_test(NAME)?.env(GENERATION, "2").output()?;
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            drop(board);
            assert_eq!(Inherited::find("board", 0), None, "closed by now");
        }
        (true, true) => {
            assert!(std::env::var_os(VARIABLE).is_some(), "the variable is inherited");
            assert_eq!(Inherited::find("board", 0), None, "the descriptor is not");
        }
    }
    Ok(())
}

#[test]
fn a_shell_passes_a_queue_through() -> Tested {
    let _watchdog = Watchdog::start("a_shell_passes_a_queue_through");
    if is_child() {
        let board = inherited_board()?;
        assert_eq!(board.table().live_producers()?, 1, "the shell, which waits for this process");
        board.participants.set_producer(board.table())?;
        assert_eq!(board.table().live_producers()?, 2);
        return Ok(());
    }
    let name = "a_shell_passes_a_queue_through";
    let board = Arc::new(Board::new(SLOTS)?);
    let mut command = Command::new("sh");
    // The second command keeps the shell from replacing itself by the first.
    command.args(["-c", "\"$0\" \"$1\" --exact && true"]).arg(std::env::current_exe()?);
    command.arg(format!("inherit::{name}")).env(ROLE, name);
    share_with(&mut command, "board", Arc::clone(&board), true)?;
    let output = command.output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    wait_until("both have left", || matches!(board.table().producers(), Ok(Producers::AllLeft)));
    Ok(())
}

#[test]
fn a_list_that_makes_no_sense_is_nothing_inherited() -> Tested {
    let _watchdog = Watchdog::start("a_list_that_makes_no_sense_is_nothing_inherited");
    if is_child() {
        let found: Vec<_> = (0..8).map(|number| Inherited::find("board", number)).collect();
        assert_eq!(found, [None; 8]);
        return Ok(());
    }
    let huge = "9".repeat(100_000);
    let wrong = ["", ",,", "x", "-1:0:0", "0:0:0", "99999:1:1", "3", "3:1", "4:1:1:1", "3:1:1,1:1:1", &huge];
    for list in wrong {
        let mut command = same_test("a_list_that_makes_no_sense_is_nothing_inherited")?;
        let output = command.env(VARIABLE, list).stdin(Stdio::null()).output()?;
        assert!(output.status.success(), "{list:.40}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
