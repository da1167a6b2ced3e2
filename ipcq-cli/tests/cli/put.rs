use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipcq_core::{Channel, QueueName, QueueOptions, Transport};
use ipcq_pipe::PipeTransport;
use ipcq_shm::ShmTransport;
use ipcq_zmq::ZmqTransport;
use nix::pty::openpty;
use nix::sys::signal::Signal;

use crate::support::Sandbox;

on_every_transport! {
    each_argument_is_a_message,
    each_line_is_a_message,
    empty_input_puts_nothing,
    what_has_arrived_is_put_before_more_is_read,
    nul_raw_and_lengths_separate_messages,
    a_cut_short_message_is_not_put,
    capacity_is_exact,
    a_stream_that_stops_early_says_how_much_went_in,
    each_message_has_all_of_its_time,
    a_putter_waits_for_room,
    a_long_wait_is_explained_once_on_a_terminal,
    an_interrupted_put_says_how_many_went_in,
    closing_wakes_a_putter_that_waits,
    a_queue_is_made_on_request,
    the_queue_is_closed_on_request,
    a_message_that_can_never_fit_is_refused,
    another_codec_is_respected,
}

fn each_argument_is_a_message(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs").done().succeeds();
    sandbox.ipcq_with(&["put", "jobs", "a b", "", "c\nd"]).done().says_nothing();
    sandbox.ipcq_with(&["put", "jobs", "--", "--close"]).done().says_nothing();
    sandbox.ipcq("get jobs --all -0").done().prints("a b\0\0c\nd\0--close\0");
}

fn each_line_is_a_message(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs").done().succeeds();
    sandbox.ipcq("put jobs").input("a b\n\nc\r\nlast").done().says_nothing();
    sandbox.ipcq("get jobs --all -0").done().prints("a b\0\0c\r\0last\0");
}

fn empty_input_puts_nothing(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs").done().succeeds();
    for framing in ["", "-0", "--length-prefixed"] {
        sandbox.ipcq(&format!("put jobs {framing}")).done().says_nothing();
        assert_eq!(sandbox.len("jobs"), 0, "{framing}");
    }
    // All of stdin is one message, and it has no bytes.
    sandbox.ipcq("put jobs --raw").done().says_nothing();
    assert_eq!(sandbox.len("jobs"), 1);
}

fn what_has_arrived_is_put_before_more_is_read(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs").done().succeeds();
    let mut putter = sandbox.ipcq("put jobs").start();
    let mut getter = sandbox.ipcq("get jobs --follow").start();
    for line in ["a", "b", "c"] {
        putter.feed(format!("{line}\nincomplete ").as_bytes());
        assert_eq!(getter.line().trim_start_matches("incomplete "), line);
    }
    putter.end().says_nothing();
    assert_eq!(getter.line(), "incomplete ");
    sandbox.ipcq("close jobs").done().succeeds();
    getter.end().says_nothing();
}

fn nul_raw_and_lengths_separate_messages(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs").done().succeeds();
    sandbox.ipcq("put jobs -0").input("a\nb\0c").done().says_nothing();
    sandbox.ipcq("put jobs --raw").input("d\0\ne\n").done().says_nothing();
    sandbox.ipcq("put jobs --length-prefixed").input(b"\0\0\0\x02f\n\0\0\0\0").done().says_nothing();
    let expected = b"\0\0\0\x03a\nb\0\0\0\x01c\0\0\0\x05d\0\ne\n\0\0\0\x02f\n\0\0\0\0";
    sandbox.ipcq("get jobs --all --length-prefixed").done().prints(expected);
}

fn a_cut_short_message_is_not_put(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs").done().succeeds();
    let put = sandbox.ipcq("put jobs --length-prefixed").input(b"\0\0\0\x01a\0\0\0\x05bc").done();
    put.fails(2, &["put 1 message", "6 of its 9 bytes", &sandbox.label("jobs")]);
    sandbox.ipcq("get jobs --all").done().prints("a\n");
}

fn capacity_is_exact(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs --capacity 3").done().succeeds();
    for message in ["a", "b", "c"] {
        sandbox.ipcq(&format!("put jobs {message} --no-wait")).done().says_nothing();
    }
    let label = sandbox.label("jobs");
    sandbox.ipcq("put jobs d --no-wait").done().fails(1, &[&label, "full"]);
    let start = Instant::now();
    sandbox.ipcq("put jobs d --timeout 300ms").done().fails(1, &[&label, "full"]);
    assert!(start.elapsed() >= Duration::from_millis(300));
    sandbox.ipcq("get jobs --all").done().prints("a\nb\nc\n");
}

fn a_stream_that_stops_early_says_how_much_went_in(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs --capacity 3").done().succeeds();
    let label = sandbox.label("jobs");
    let full = sandbox.ipcq("put jobs --no-wait").input("a\nb\nc\nd\ne\n").done();
    full.fails(1, &["put 3 messages", &label, "full"]);
    sandbox.ipcq("get jobs --all").done().prints("a\nb\nc\n");
    let late = sandbox.ipcq("put jobs --timeout 50ms 1 2 3 4").done();
    late.fails(1, &["put 3 messages", &label, "full"]);
    sandbox.ipcq("get jobs --all").done().prints("1\n2\n3\n");
}

fn each_message_has_all_of_its_time(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs --capacity 1").done().succeeds();
    let putter = sandbox.ipcq("put jobs a b c d e --timeout 20s").start();
    for expected in ["a\n", "b\n", "c\n", "d\n", "e\n"] {
        sandbox.ipcq("get jobs").done().prints(expected);
    }
    putter.end().says_nothing();
}

fn a_putter_waits_for_room(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs --capacity 1").done().succeeds();
    let putter = sandbox.ipcq("put jobs a b").start();
    sandbox.await_putters("jobs", 1);
    assert_eq!(sandbox.len("jobs"), 1);
    sandbox.ipcq("get jobs -n 2").done().prints("a\nb\n");
    putter.end().says_nothing();
}

fn a_long_wait_is_explained_once_on_a_terminal(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs --capacity 1").done().succeeds();
    let terminal = openpty(None, None).expect("a terminal");
    let putter = sandbox.ipcq("put jobs a b c --timeout 50s").start_unread(terminal.slave.into());
    let mut said = BufReader::new(File::from(terminal.master));
    let mut line = String::new();
    said.read_line(&mut line).expect("a line on the terminal");
    assert!(line.contains(&format!("queue {} is full; waiting", sandbox.label("jobs"))), "{line}");
    sandbox.ipcq("get jobs").done().prints("a\n");
    sandbox.ipcq("get jobs -n 2").done().prints("b\nc\n");
    assert!(putter.end().success());
    // The other end of the terminal is gone, which is an error here.
    let mut more = String::new();
    let _ = said.read_to_string(&mut more);
    assert_eq!(more, "");
}

fn an_interrupted_put_says_how_many_went_in(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs --capacity 2").done().succeeds();
    let putter = sandbox.ipcq("put jobs a b c").start();
    sandbox.await_putters("jobs", 1);
    putter.signal(Signal::SIGINT);
    let done = putter.end();
    assert_eq!(done.signal(), Some(Signal::SIGINT as i32), "{done}");
    assert!(done.stderr().contains("put 2 messages") && done.stderr().contains("the next"), "{done}");
    sandbox.ipcq("get jobs --all").done().prints("a\nb\n");
    let mut stream = sandbox.ipcq("put fresh --create").start();
    stream.feed(b"a\n");
    while sandbox.ipcq("get fresh --timeout 10s").done().code() != Some(0) {}
    stream.signal(Signal::SIGTERM);
    // Before its stdin ends, which would be a reason of its own to end.
    sandbox.await_end(stream.pid());
    let done = stream.end();
    assert_eq!(done.signal(), Some(Signal::SIGTERM as i32), "{done}");
    assert!(done.stderr().contains("put 1 message ") && !done.stderr().contains("the next"), "{done}");
    // Who keeps the queue was not held back from anything.
    sandbox.ipcq("rm jobs fresh").done().says_nothing();
}

fn closing_wakes_a_putter_that_waits(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs --capacity 2").done().succeeds();
    let putter = sandbox.ipcq("put jobs a b c").start();
    sandbox.await_putters("jobs", 1);
    sandbox.ipcq("close jobs").done().succeeds();
    putter.end().fails(3, &["put 2 messages", &sandbox.label("jobs"), "closed"]);
    sandbox.ipcq("get jobs --all").done().prints("a\nb\n");
}

fn a_queue_is_made_on_request(sandbox: &Sandbox) {
    sandbox.ipcq("put jobs a").done().fails(2, &["no queue jobs", "ipcq create jobs"]);
    sandbox.ipcq("put jobs a --create").done().says_nothing();
    sandbox.ipcq("put jobs b --create").done().says_nothing();
    assert_eq!(sandbox.stat("jobs")["capacity"], 1000);
    sandbox.ipcq("get jobs -n 2").done().prints("a\nb\n");
}

fn the_queue_is_closed_on_request(sandbox: &Sandbox) {
    sandbox.ipcq("put jobs --create --close").input("a\nb\n").done().says_nothing();
    sandbox.ipcq("get jobs --follow").done().prints("a\nb\n");
    sandbox.ipcq("put jobs c").done().fails(3, &["closed"]);
}

fn a_message_that_can_never_fit_is_refused(sandbox: &Sandbox) {
    sandbox.ipcq("create jobs --max-message 4").done().succeeds();
    let label = sandbox.label("jobs");
    sandbox.ipcq("put jobs 1234 12345").done().fails(2, &["put 1 message", &label, "4", "5"]);
    sandbox.ipcq("put jobs").input("a\n12345\nb\n").done().fails(2, &["put 1 message", &label, "4", "5"]);
    let lengths = sandbox.ipcq("put jobs --length-prefixed").input(b"\xff\xff\xff\xff.").done();
    lengths.fails(2, &["4294967295", &label, "4 at most"]);
    sandbox.ipcq("put jobs --raw").input("123456789").done().fails(2, &[&label, "4 at most"]);
    let long = vec![b'x'; 3 << 20];
    sandbox.ipcq("put jobs").input(long).done().fails(2, &[&label, "4 at most"]);
    sandbox.ipcq("get jobs --all").done().prints("1234\na\n");
}

/// A queue whose messages are not plain bytes, as a typed program makes them.
fn typed_queue(sandbox: &Sandbox, name: &str) -> Arc<dyn Channel> {
    let name = QueueName::new(name).expect("a legal name");
    let transport: Box<dyn Transport> = match sandbox.transport() {
        "shm" => Box::new(ShmTransport::in_directory(sandbox.directory())),
        "pipe" => Box::new(PipeTransport::in_directory(sandbox.directory())),
        "zmq" => Box::new(ZmqTransport::in_directory(sandbox.directory())),
        other => panic!("no queue of another codec can be made on {other}"),
    };
    transport.create(&name, &QueueOptions::new().codec("other")).expect("a new queue")
}

fn another_codec_is_respected(sandbox: &Sandbox) {
    // Whoever made it may have to hold it.
    let _made = typed_queue(sandbox, "typed");
    let label = sandbox.label("typed");
    sandbox.ipcq("put typed a").done().fails(2, &[&label, "codec other", "--as-is"]);
    assert_eq!(sandbox.len("typed"), 0);
    sandbox.ipcq("put typed a --as-is").done().says_nothing();
    sandbox.ipcq("get typed").done().prints("a\n");
}
