//! A broker that is driven by hand, with clients whose children keep their connections open when they are dead.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use tempfile::TempDir;

use crate::broker::{Settings, Slot};
use crate::peer::Stage;
use crate::server::Server;
use crate::stream::Listener;
use crate::wire::{Op, PIECE, Request};
use crate::{frames, packed, welcome};

/// Set for helper processes: the directory of the socket.
const CHILD: &str = "IPCQ_TEST_DEATHS";
const SOCKET: &str = "socket";
/// What a helper says when it has done its part.
const READY: &[u8] = b"<ready>";

fn server() -> (TempDir, Server) {
    let directory = tempfile::tempdir().expect("a directory");
    let listener = UnixListener::bind(directory.path().join(SOCKET)).expect("a socket");
    let settings = Settings {
        capacity: 5,
        max_message: PIECE,
        auto_close: false,
        incarnation: 1,
        codec: "bytes".to_owned(),
        name: "q".to_owned(),
        acknowledged: false,
        max_redeliveries: None,
        lease: None,
    };
    let server = Server::new(vec![Listener::Unix(listener)], settings, None, false).expect("a broker");
    (directory, server)
}

/// A put of these messages.
fn put(messages: &[&[u8]]) -> Vec<u8> {
    let mut content = Vec::new();
    messages.iter().for_each(|message| packed::push(&mut content, &[message]).expect("memory"));
    let (mut words, request) = (Vec::new(), Request::new(Op::Put, 1));
    frames::push(&mut words, frames::MORE, &request.header().to_bytes());
    frames::push(&mut words, 0, &content);
    words
}

/// A get of one message that waits.
fn get() -> Vec<u8> {
    let (mut words, mut request) = (Vec::new(), Request::new(Op::Get, 1));
    (request.a, request.b, request.c) = (1, 1 << 20, 1 << 20);
    frames::push(&mut words, 0, &request.header().to_bytes());
    words
}

/// A client that opens a session and asks for this.
fn client(directory: &Path, token: u8, words: &[u8]) -> UnixStream {
    let mut stream = UnixStream::connect(directory.join(SOCKET)).expect("it listens");
    let hello = welcome::first_words(Request::new(Op::Hello, 0), &[token; 16]);
    stream.write_all(&[&hello, words].concat()).expect("room");
    stream
}

/// In a helper process: asks for this, and passes its connection on to a child that ends with the test.
fn ask_and_fork(directory: &Path, words: &[u8]) -> ! {
    let stream = client(directory, 9, words);
    fcntl(&stream, FcntlArg::F_SETFD(FdFlag::empty())).expect("a descriptor");
    let mut heir = Command::new("cat").stdout(Stdio::null()).spawn().expect("a child");
    let mut out = std::io::stdout();
    out.write_all(READY).and_then(|()| out.flush()).expect("a parent");
    heir.wait().expect("a child");
    std::process::exit(1)
}

/// A process that runs `test` as a client, once it has done its part. Its child ends when the input of both does.
fn start(directory: &Path, test: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", &format!("deaths::tests::{test}"), "--test-threads=1"]).env(CHILD, directory);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a child");
    let (mut said, mut byte) = (Vec::new(), [0]);
    let out = child.stdout.as_mut().expect("its output");
    while !said.ends_with(READY) {
        out.read_exact(&mut byte).expect("a child that says that it is ready");
        said.push(byte[0]);
    }
    child
}

impl Server {
    /// Accepts the next one who waits to be, and returns its key.
    fn let_in(&mut self) -> u64 {
        let before: Vec<u64> = self.desk.peers.keys().copied().collect();
        (0..self.listeners.len()).for_each(|at| self.accept(1, at));
        *self.desk.peers.keys().find(|key| !before.contains(key)).expect("one who waits")
    }

    /// Reads one and does what it asks for, as it does with those that it heard last: without asking the kernel about others.
    fn hear(&mut self, key: u64) -> Option<Slot> {
        self.listen_to(1, key, false);
        match self.desk.peers.get(&key)?.stage {
            Stage::Open(slot) => Some(slot),
            _ => None,
        }
    }
}

/// What a dead process put must not come to be in the queue after that has been seen.
#[test]
fn a_putter_that_is_dead_puts_nothing() {
    if let Some(directory) = std::env::var_os(CHILD) {
        ask_and_fork(directory.as_ref(), &put(&[b"late"]));
    }
    let (directory, mut server) = server();
    let mut child = start(directory.path(), "a_putter_that_is_dead_puts_nothing");
    let putter = server.let_in();
    child.kill().expect("a child that lives");
    let _input = child.stdin.take();
    child.wait().expect("a child");
    assert_eq!(server.hear(putter), None);
    assert_eq!((server.broker.store.len(), server.broker.puts), (0, 0));
}

/// What is put after a getter is known to be dead goes to one that lives.
#[test]
fn a_getter_that_is_dead_gets_nothing() {
    if let Some(directory) = std::env::var_os(CHILD) {
        ask_and_fork(directory.as_ref(), &get());
    }
    let (directory, mut server) = server();
    let mut child = start(directory.path(), "a_getter_that_is_dead_gets_nothing");
    let dead = server.let_in();
    server.hear(dead).expect("a session");
    let mut stream = client(directory.path(), 1, &get());
    let living = server.let_in();
    server.hear(living).expect("a session");
    assert_eq!(server.broker.getters.len(), 2);
    child.kill().expect("a child that lives");
    let _input = child.stdin.take();
    child.wait().expect("a child");
    let _putter = client(directory.path(), 2, &put(&[b"first", b"second"]));
    let putter = server.let_in();
    server.hear(putter).expect("a session");
    assert_eq!((server.broker.store.len(), server.broker.gets), (1, 1), "each has got one");
    let mut seen = [0; 4096];
    let len = stream.read(&mut seen).expect("a reply");
    assert!(seen[..len].ends_with(b"first"), "it has gone to a dead one");
}

/// Who says good-bye need not stay to be heard: what it was sent goes back at once.
#[test]
fn a_good_bye_counts_when_the_connection_has_ended() {
    let (directory, mut server) = server();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut stream = TcpStream::connect(listener.local_addr().expect("a port")).expect("it listens");
    listener.set_nonblocking(true).expect("a socket");
    server.listeners.push(Listener::Tcp(listener));
    let hello = welcome::first_words(Request::new(Op::Hello, 0), &[7; 16]);
    stream.write_all(&[&hello[..], &get()].concat()).expect("room");
    let getter = server.let_in();
    while server.broker.getters.is_empty() {
        server.hear(getter).expect("a connection");
    }
    let _putter = client(directory.path(), 2, &put(&[b"only"]));
    let putter = server.let_in();
    server.hear(putter).expect("a session");
    assert_eq!((server.broker.store.len(), server.broker.gets), (0, 1));
    // It has read all, so that its connection ends in order.
    let mut seen = Vec::new();
    while !seen.ends_with(b"only") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a reply");
        seen.push(byte[0]);
    }
    let mut bye = Vec::new();
    frames::push(&mut bye, 0, &Request::new(Op::Bye, 2).header().to_bytes());
    stream.write_all(&bye).expect("room");
    drop(stream);
    while server.desk.peers.contains_key(&getter) {
        server.hear(getter);
    }
    assert_eq!((server.broker.store.len(), server.broker.gets), (1, 0));
}
