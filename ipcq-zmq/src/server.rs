//! The broker's input and output: one thread that accepts, reads, asks the state machine, and writes.
//!
//! Everything that a peer may make it do is bounded: what is read of it before it must be served, what waits for it
//! before it is no longer listened to, how long it may take for the handshake and for reading what it asked for.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use ipcq_core::os::failure::Failure;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::admission;
use crate::broker::{Body, Broker, ProcessId, Settings};
use crate::clock;
use crate::dead_letters::{DeadLetters, Deposit};
use crate::desk::{Desk, Process};
use crate::peer::{Got, Next, Peer, Stage};
use crate::regulars::{Heard, Regulars};
use crate::remote::{self, is_remote};
use crate::spin::Habit;
use crate::stream::Listener;
use crate::wire::{Header, Op, Status};

pub(crate) const LISTENER: u64 = 0;
const WAKE: u64 = 1;
pub(crate) const TCP_LISTENER: u64 = 2;
const DEATHS: u64 = 3;
const FIRST_PEER: u64 = 4;
/// Set in the id of a process of which the kernel knows nothing: it came over TCP.
pub(crate) const REMOTE: u64 = 1 << 62;

/// A broker that runs, seen from the threads of its process.
#[derive(Debug)]
pub(crate) struct Control {
    unowned: AtomicBool,
    wake: EventFd,
    deposits: Sender<Deposit>,
}

impl Control {
    /// No handle of this process is left: the broker ends with its last client.
    pub(crate) fn disown(&self) {
        self.unowned.store(true, Ordering::Release);
        self.wake();
    }

    /// Hands a message to the broker; it goes back if that has ended.
    pub(crate) fn deposit(&self, deposit: Deposit) {
        if self.deposits.send(deposit).is_ok() {
            self.wake();
        }
    }

    fn wake(&self) {
        // Fails only when a wake-up is pending already.
        let _ = self.wake.write(1);
    }
}

/// Starts a broker for the queue of `settings`, reached by `listeners`, of which the first is for this machine. There, only
/// this user and root are let in, or everybody whom the kernel lets connect when the queue is `open`. What comes back too often
/// goes to `dead_letters`.
pub(crate) fn start(
    listeners: Vec<Listener>,
    settings: Settings,
    dead_letters: Option<DeadLetters>,
    open: bool,
) -> Result<Arc<Control>, Failure> {
    let failed = |error: io::Error| Failure::new("its broker could not be started", error);
    let server = Server::new(listeners, settings, dead_letters, open).map_err(failed)?;
    let control = Arc::clone(&server.control);
    let thread = thread::Builder::new().name("ipcq-broker".to_owned());
    thread.spawn(move || server.run()).map_err(failed)?;
    Ok(control)
}

/// A broker, and all that it talks to.
pub(crate) struct Server {
    pub(crate) broker: Broker,
    pub(crate) desk: Desk,
    /// What other brokers of this process give up.
    pub(crate) deposits: Receiver<Deposit>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) epoll: Epoll,
    /// What reports the deaths of processes and the ends of connections over TCP, and nothing else.
    pub(crate) deaths: Epoll,
    control: Arc<Control>,
    /// Whether everybody is let in whom the kernel lets connect.
    pub(crate) open: bool,
    pub(crate) processes: HashMap<ProcessId, Process>,
    /// The processes that came over TCP, by what they call themselves.
    pub(crate) parties: HashMap<[u8; 16], ProcessId>,
    pub(crate) next_key: u64,
    /// See [`spare`](admission::spare).
    pub(crate) spare: Option<OwnedFd>,
    /// Nobody is accepted before, since there was no file handle.
    pub(crate) deaf_until: Option<u64>,
    pub(crate) next_look: u64,
    pub(crate) habit: Habit,
    pub(crate) regulars: Regulars,
}

impl Server {
    pub(crate) fn new(
        listeners: Vec<Listener>,
        settings: Settings,
        dead_letters: Option<DeadLetters>,
        open: bool,
    ) -> io::Result<Self> {
        let wake = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let watch = |fd: &dyn AsFd, key| epoll.add(fd.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, key));
        for (listener, key) in listeners.iter().zip([LISTENER, TCP_LISTENER]) {
            listener.set_nonblocking()?;
            watch(listener, key)?;
        }
        watch(&wake, WAKE)?;
        let deaths = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        watch(&deaths.0, DEATHS)?;
        let (sender, deposits) = mpsc::channel();
        let control = Arc::new(Control { unowned: AtomicBool::new(false), wake, deposits: sender });
        Ok(Self {
            broker: Broker::new(settings),
            desk: Desk { dead_letters, ..Desk::default() },
            deposits,
            listeners,
            epoll,
            deaths,
            control,
            open,
            processes: HashMap::new(),
            parties: HashMap::new(),
            next_key: FIRST_PEER,
            spare: Some(admission::spare()?),
            deaf_until: None,
            next_look: 0,
            habit: Habit::default(),
            regulars: Regulars::default(),
        })
    }

    fn run(mut self) {
        let mut events = vec![EpollEvent::empty(); 256];
        while !self.is_over() {
            let Ok(heard) = self.wait(&mut events) else { return };
            let now = match heard {
                Heard::Regular(now) => now,
                Heard::Events(count) => {
                    let now = clock::now();
                    // What ended while this process was stopped must not be served: who asked has given it up.
                    self.broker.tick(now, &mut self.desk);
                    for event in events.iter().take(count) {
                        self.handle(now, event.data(), event.events());
                    }
                    now
                }
            };
            self.recall(now);
            if now >= self.next_look || self.deaf_until.is_some_and(|until| until <= now) {
                self.look_over(now);
            }
            self.serve_busy(now);
            self.broker.slack.look(now, self.broker.bytes());
        }
    }

    /// Whether nobody is left who can use the queue: no handle of this process, no client, and no child to come.
    fn is_over(&self) -> bool {
        let expected = || self.processes.values().any(|process| process.expected);
        self.control.unowned.load(Ordering::Acquire) && self.desk.peers.is_empty() && !expected()
    }

    fn handle(&mut self, now: u64, key: u64, events: EpollFlags) {
        match key {
            LISTENER => self.accept(now, 0),
            TCP_LISTENER => self.accept(now, 1),
            WAKE => {
                let _ = self.control.wake.read();
                self.take_deposits();
            }
            DEATHS => self.note_deaths(now),
            key => {
                let over = EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
                let reads = self.listen_to(now, key, events.intersects(over));
                if events.contains(EpollFlags::EPOLLIN) {
                    if reads { self.regulars.note(key) } else { self.turn_away(key) }
                }
                self.desk.attend(key);
            }
        }
    }

    /// Reads a peer and does what it asks for. One that is `leaving` is read to the end, for what it acknowledges; a
    /// put or get that it does not wait for any more has no effect. Returns whether it could be read.
    pub(crate) fn listen_to(&mut self, now: u64, key: u64, leaving: bool) -> bool {
        loop {
            if !self.serve_input(now, key, leaving) {
                if leaving {
                    self.hang_up(now, key);
                }
                return false;
            }
            let Some(peer) = self.desk.peers.get_mut(&key) else { return true };
            match peer.read() {
                Got::Bytes if leaving => {}
                Got::Bytes => {
                    self.serve_input(now, key, false);
                    return true;
                }
                Got::Nothing => return true,
                Got::End => {
                    self.hang_up(now, key);
                    return true;
                }
            }
        }
    }

    /// Does not listen to a peer that says something out of turn, until its turn comes.
    fn turn_away(&mut self, key: u64) {
        let Some(peer) = self.desk.peers.get(&key) else { return };
        let interest = EpollFlags::from_bits_retain(peer.interest) - EpollFlags::EPOLLIN;
        self.set_interest(key, interest);
    }

    /// Has the kernel report this of a peer.
    fn set_interest(&mut self, key: u64, interest: EpollFlags) {
        let Some(peer) = self.desk.peers.get_mut(&key) else { return };
        if interest.bits() != peer.interest {
            peer.interest = interest.bits();
            let _ = self.epoll.modify(&peer.stream, &mut EpollEvent::new(interest, key));
            // What this peer says now may be older than the last look at all of them.
            self.regulars.forget_look();
        }
    }

    /// Does what a peer has asked for completely; returns whether it may be read on.
    pub(crate) fn serve_input(&mut self, now: u64, key: u64, leaving: bool) -> bool {
        loop {
            let Some(peer) = self.desk.peers.get_mut(&key) else { return false };
            if peer.is_behind() || Self::is_waiting(&self.broker, peer) {
                return false;
            }
            let stage = peer.stage;
            let done = match peer.next() {
                Next::Nothing => return true,
                Next::Violation(what) => Err(what),
                Next::Request { request, .. }
                    if leaving && matches!(request.op, Op::Put | Op::Get | Op::Join) =>
                {
                    Ok(())
                }
                Next::Request { request, content } => {
                    let now = self.look_up_for(now, request.op, leaving);
                    let Some(peer) = self.desk.peers.get_mut(&key) else { return false };
                    let process = peer.process;
                    let input = peer.lend_input();
                    let content = input.get(content).unwrap_or_default();
                    let done = match stage {
                        Stage::Open(slot) => remote::localize(now, process, request).and_then(|request| {
                            let done = self.broker.request(now, slot, request, content, &mut self.desk);
                            done.map_err(|violation| violation.0)
                        }),
                        _ => self.greet(now, key, request, content),
                    };
                    if let Some(peer) = self.desk.peers.get_mut(&key) {
                        peer.return_input(input);
                    }
                    done
                }
            };
            if let Err(what) = done {
                self.scold(now, key, what);
                return false;
            }
        }
    }

    /// What is to be known before a request is done: who has died by now, and what time it is.
    fn look_up_for(&mut self, now: u64, op: Op, leaving: bool) -> u64 {
        if op == Op::Stat {
            self.note_all_read();
        }
        // Whoever was seen to be dead before it was asked for must neither get what this puts nor put anything any more. The
        // socket of one that had forked tells nothing: its child has it, too. What has no answer counts from who has left, too.
        if !leaving && !matches!(op, Op::Ack | Op::Bye) {
            self.note_deaths(now);
        }
        if self.broker.settings.lease.is_some() { clock::now() } else { now }
    }

    pub(crate) fn is_waiting(broker: &Broker, peer: &Peer) -> bool {
        let Stage::Open(slot) = peer.stage else { return false };
        broker.sessions.get(&slot).is_some_and(|session| session.parked.is_some())
    }

    /// Tells a peer what it did wrong, and ends the connection.
    fn scold(&mut self, now: u64, key: u64, what: &'static str) {
        if let Some(peer) = self.desk.peers.get_mut(&key) {
            let header = Header { code: Status::Error as u8, ..Header::default() };
            peer.reply(header, &Body::Contents(&[what.as_bytes()]));
            let _ = peer.flush(now);
        }
        self.hang_up(now, key);
    }

    /// Ends a connection.
    pub(crate) fn hang_up(&mut self, now: u64, key: u64) {
        self.note_read(key);
        let Some(peer) = self.desk.peers.remove(&key) else { return };
        self.broker.note_freed(peer.buffers());
        let _ = self.epoll.delete(&peer.stream);
        if is_remote(peer.process) {
            let _ = self.deaths.delete(&peer.stream);
        }
        match peer.stage {
            // A session that has another connection by now goes on with that one.
            Stage::Open(slot) if self.desk.slots.get(&slot) == Some(&key) => {
                self.desk.slots.remove(&slot);
                self.broker.disconnected(now, slot, &mut self.desk);
                self.end_remote_holder(peer.process);
            }
            Stage::Open(_) => {}
            _ => self.desk.handshakes -= 1,
        }
    }

    /// Sends what waits, and goes on with those that were answered.
    fn serve_busy(&mut self, now: u64) {
        while let Some(key) = self.desk.busy.pop() {
            let Some(peer) = self.desk.peers.get_mut(&key) else { continue };
            peer.attended = false;
            if peer.has_output() && peer.flush(now).is_err() {
                self.hang_up(now, key);
                continue;
            }
            let reads = self.serve_input(now, key, false);
            let Some(peer) = self.desk.peers.get_mut(&key) else { continue };
            // One that must not be read now most often has nothing to say: it is turned away when it has.
            let listens = reads || peer.interest & EpollFlags::EPOLLIN.bits() != 0;
            let mut interest = EpollFlags::EPOLLRDHUP;
            interest.set(EpollFlags::EPOLLIN, listens);
            interest.set(EpollFlags::EPOLLOUT, peer.has_output());
            self.set_interest(key, interest);
        }
    }
}
