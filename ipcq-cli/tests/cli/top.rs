use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};
use nix::sys::signal::Signal;
use nix::sys::termios::{LocalFlags, tcgetattr};
use serde_json::Value;

use crate::support::{Sandbox, Unread};

on_every_transport! {
    all_queues_are_printed_once,
    only_those_that_are_named_are_printed,
    a_terminal_is_needed_to_watch,
    the_numbers_move_and_q_leaves_the_terminal_clean,
    every_end_leaves_the_terminal_clean,
    colours_are_left_out_on_request,
}

fn all_queues_are_printed_once(sandbox: &Sandbox) {
    sandbox.ipcq("top --once").done().says_nothing();
    sandbox.ipcq("create one --capacity 7").done().succeeds();
    sandbox.ipcq("put one a b c").done().succeeds();
    sandbox.ipcq("put two x --create --close").done().succeeds();
    let text = sandbox.ipcq("top --once").done().succeeds().stdout();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert_eq!(lines[0][..4], ["name", "transport", "len", "capacity"]);
    assert_eq!(lines[1][..4], ["one", sandbox.transport(), "3", "7"]);
    let json = sandbox.ipcq("top --once --format json").done().succeeds().stdout();
    let rows: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let expected = (&"two".into(), &1.into(), &true.into(), &Value::from(0.0));
    assert_eq!(
        (&rows[1]["name"], &rows[1]["len"], &rows[1]["closed"], &rows[1]["puts_per_second"]),
        expected
    );
}

fn only_those_that_are_named_are_printed(sandbox: &Sandbox) {
    sandbox.ipcq("create one").done().succeeds();
    sandbox.ipcq("create two").done().succeeds();
    let json = sandbox.ipcq(&format!("top {} --once --format json", sandbox.label("two"))).done().succeeds();
    assert!(json.stdout().contains("\"two\"") && json.stdout().lines().count() == 1, "{json}");
    sandbox.ipcq("top missing --once").done().fails(2, &["no queue missing", "ipcq create"]);
    sandbox.ipcq("top missing").done().fails(2, &["no queue missing"]);
}

fn a_terminal_is_needed_to_watch(sandbox: &Sandbox) {
    sandbox.ipcq("top").done().fails(2, &["terminal", "--once"]);
}

/// `ipcq top` on a terminal of 80 columns and 24 lines.
struct Screen {
    terminal: File,
    side: OwnedFd,
    shown: Receiver<Vec<u8>>,
    all: String,
    program: Unread,
}

impl Screen {
    fn start(sandbox: &Sandbox, no_color: &str) -> Self {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(Some(&size), None).expect("a terminal");
        let side = || Stdio::from(pair.slave.try_clone().expect("its other side"));
        let top = sandbox.ipcq("top").env("TERM", "xterm-256color").env("NO_COLOR", no_color);
        let program = top.start_on([side(), side(), side()]);
        let terminal = File::from(pair.master);
        let mut reader = terminal.try_clone().expect("the terminal");
        let (sender, shown) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { terminal, side: pair.slave, shown, all: String::new(), program }
    }

    /// Reads until all that was shown satisfies `wanted`.
    fn await_text(&mut self, wanted: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !wanted(&self.all) {
            match self.shown.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.all += &String::from_utf8_lossy(&bytes),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("it never comes on the screen:\n{}", self.all.escape_debug())
                }
            }
        }
    }

    fn is_raw(&self) -> bool {
        !tcgetattr(&self.side).expect("its settings").local_flags.contains(LocalFlags::ICANON)
    }

    /// Checks that the terminal is as it was: the screen from before, the cursor, lines and echo.
    fn ends_clean(mut self, status: Option<i32>, signal: Option<i32>) {
        self.await_text(|all| all.contains("\x1b[?1049l") && all.contains("\x1b[?25h"));
        let raw_before = self.side.try_clone().expect("the terminal");
        let ended = self.program.end();
        assert_eq!((ended.code(), std::os::unix::process::ExitStatusExt::signal(&ended)), (status, signal));
        let flags = tcgetattr(&raw_before).expect("its settings").local_flags;
        assert!(flags.contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG), "{flags:?}");
    }
}

fn the_numbers_move_and_q_leaves_the_terminal_clean(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs --capacity 100").done().succeeds();
    let mut screen = Screen::start(sandbox, "");
    screen.await_text(|all| all.contains("jobs") && all.contains("len over time") && all.contains("q: quit"));
    assert!(screen.is_raw());
    sandbox.shell("seq 77 | ipcq put jobs").done().succeeds();
    screen.await_text(|all| all.contains("77"));
    sandbox.shell("seq 23 | ipcq put jobs").done().succeeds();
    screen.await_text(|all| all.contains("full") && all.contains('\u{2588}'));
    assert!(screen.all.contains("\x1b[38;5;"), "colours");
    screen.terminal.write_all(b"q").expect("a key");
    screen.ends_clean(Some(0), None);
}

fn every_end_leaves_the_terminal_clean(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs").done().succeeds();
    let mut screen = Screen::start(sandbox, "");
    screen.await_text(|all| all.contains("jobs"));
    screen.terminal.write_all(b"\x03").expect("Ctrl-C");
    screen.ends_clean(Some(0), None);
    let mut screen = Screen::start(sandbox, "");
    screen.await_text(|all| all.contains("jobs"));
    screen.program.signal(Signal::SIGTERM);
    screen.ends_clean(None, Some(Signal::SIGTERM as i32));
}

fn colours_are_left_out_on_request(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs --capacity 1").done().succeeds();
    sandbox.ipcq("put jobs a").done().succeeds();
    let mut screen = Screen::start(sandbox, "1");
    screen.await_text(|all| all.contains("full") && all.contains("q: quit"));
    for colour in ["\x1b[31m", "\x1b[38;5;1m", "\x1b[38;5;6m"] {
        assert!(!screen.all.contains(colour), "{}", screen.all.escape_debug());
    }
    screen.terminal.write_all(b"q").expect("a key");
    screen.ends_clean(Some(0), None);
}
