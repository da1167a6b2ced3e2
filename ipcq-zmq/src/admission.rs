//! How peers come in: who is let in, and what they may say before a session is open.

use std::io::{self, Write};
use std::os::fd::OwnedFd;

use nix::sys::epoll::{EpollEvent, EpollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::geteuid;

use crate::broker::{Body, ProcessId};
use crate::desk::Process;
use crate::frames::{self, MORE};
use crate::handshake;
use crate::peer::{Peer, Stage};
use crate::process;
use crate::remote::is_remote;
use crate::server::{REMOTE, Server};
use crate::stream::Stream;
use crate::wire::{Header, Op, Request, Status};

/// How many peers may be in the handshake at a time; beyond it the oldest goes.
const HANDSHAKES: usize = 256;
/// How many peers there may be.
const PEERS_MAX: usize = 16_384;
/// How long nobody is accepted when there is no file handle for one more.
const BREATH: u64 = 50_000_000;

/// A file handle that is given up for a moment to tell somebody that there is none.
pub(crate) fn spare() -> io::Result<OwnedFd> {
    Ok(EventFd::from_flags(EfdFlags::EFD_CLOEXEC)?.into())
}

/// Tells a peer that there is no room for it, without hearing what it has to say.
fn refuse(mut stream: &Stream, why: &io::Error) {
    let header = Header { code: Status::NoRoom as u8, ..Header::default() };
    let mut words = handshake::greeting().to_vec();
    words.extend_from_slice(&handshake::ready("ROUTER"));
    frames::push(&mut words, MORE, &header.to_bytes());
    frames::push(&mut words, 0, why.to_string().as_bytes());
    // A new connection takes that much at once; one that is lost needs no answer.
    let _ = stream.set_nonblocking().and_then(|()| stream.write_all(&words));
}

impl Server {
    /// Accepts who waits to be, at one of the listeners.
    pub(crate) fn accept(&mut self, now: u64, at: usize) {
        for _ in 0..64 {
            let Some(listener) = self.listeners.get(at) else { return };
            match listener.accept() {
                Ok(stream) => self.admit(now, stream),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.accept_with_spare(now, at, &error),
            }
        }
    }

    /// Accepts the next one in line, if there is one, when there is no file handle but the spare one. It takes the
    /// place of one that dawdles in the handshake, or is told why there is none.
    fn accept_with_spare(&mut self, now: u64, at: usize, why: &io::Error) {
        self.spare = None;
        let Some(listener) = self.listeners.get(at) else { return };
        let accepted = listener.accept();
        let is_stuck = accepted.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock);
        if let Ok(stream) = accepted {
            if self.drop_oldest_handshake(now).is_some() {
                self.admit(now, stream);
            } else {
                refuse(&stream, why);
            }
        }
        self.spare = spare().ok();
        if self.spare.is_none() || is_stuck {
            // The listener would report itself again and again.
            for listener in &self.listeners {
                let _ = self.epoll.delete(listener);
            }
            self.deaf_until = Some(now + BREATH);
        }
    }

    fn admit(&mut self, now: u64, stream: Stream) {
        let process = loop {
            match self.look_at(&stream) {
                Ok(Some(process)) => break process,
                Ok(None) => return,
                Err(_) if self.drop_oldest_handshake(now).is_some() => {}
                Err(error) => return refuse(&stream, &error),
            }
        };
        if self.desk.handshakes >= HANDSHAKES {
            self.drop_oldest_handshake(now);
        }
        let key = self.next_key;
        self.next_key += 1;
        let interest = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP;
        if let Err(errno) = self.epoll.add(&stream, EpollEvent::new(interest, key)) {
            return refuse(&stream, &errno.into());
        }
        let end = EpollEvent::new(EpollFlags::EPOLLRDHUP, key);
        if is_remote(process)
            && let Err(errno) = self.deaths.add(&stream, end)
        {
            return refuse(&stream, &errno.into());
        }
        let mut peer = Peer::new(stream, process, now);
        peer.interest = interest.bits();
        self.desk.handshakes += 1;
        self.desk.peers.insert(key, peer);
        self.desk.attend(key);
    }

    /// The process at the other end of `stream`; `None` if it is not to be let in.
    fn look_at(&mut self, stream: &Stream) -> io::Result<Option<ProcessId>> {
        stream.set_nonblocking()?;
        if self.desk.peers.len() >= PEERS_MAX {
            return Ok(None);
        }
        let Stream::Unix(stream) = stream else {
            let id = self.next_key | REMOTE;
            self.next_key += 1;
            return Ok(Some(id));
        };
        let credentials = getsockopt(stream, PeerCredentials)?;
        let user = credentials.uid();
        if !(self.open || user == geteuid().as_raw() || user == 0) {
            return Ok(None);
        }
        self.process_of(credentials.pid())
    }

    /// The process of that id; `None` when it is dead already.
    fn process_of(&mut self, pid: i32) -> io::Result<Option<ProcessId>> {
        if let Some((id, _)) = self.processes.iter().find(|(_, process)| process.pid == pid) {
            return Ok(Some(*id));
        }
        let Some(handle) = process::handle_of(pid)? else { return Ok(None) };
        let id = self.next_key;
        self.next_key += 1;
        self.deaths.add(&handle, EpollEvent::new(EpollFlags::EPOLLIN, id))?;
        self.processes.insert(id, Process { handle, pid, expected: false });
        Ok(Some(id))
    }

    fn drop_oldest_handshake(&mut self, now: u64) -> Option<()> {
        let unfinished = self.desk.peers.iter().filter(|(_, peer)| !matches!(peer.stage, Stage::Open(_)));
        let oldest = unfinished.map(|(key, _)| *key).min()?;
        self.hang_up(now, oldest);
        Some(())
    }

    /// What may be asked for before a session is open.
    pub(crate) fn greet(
        &mut self,
        now: u64,
        key: u64,
        request: Request,
        content: &[u8],
    ) -> Result<(), &'static str> {
        let Some(process) = self.desk.peers.get(&key).map(|peer| peer.process) else { return Ok(()) };
        let owner = if request.op == Op::Hello { self.owner(process, content) } else { None };
        let Some(peer) = self.desk.peers.get_mut(&key) else { return Ok(()) };
        match (request.op, owner) {
            (Op::Expect, _) if !is_remote(process) => {
                if request.a != 0 {
                    self.broker.register(process);
                }
                if let Some(process) = self.processes.get_mut(&process) {
                    process.expected = true;
                }
                let header = Header { code: Status::Ok as u8, id: request.id, ..Header::default() };
                peer.reply(header, &Body::Nothing);
                Ok(())
            }
            (Op::Hello, Some((token, process))) => {
                peer.process = process;
                let resumed = if token == [0; 16] {
                    false
                } else {
                    let (slot, resumed) =
                        self.broker.hello(token, process).map_err(|violation| violation.0)?;
                    self.desk.handshakes -= 1;
                    peer.stage = Stage::Open(slot);
                    if let Some(before) = self.desk.slots.insert(slot, key) {
                        self.hang_up(now, before);
                    }
                    resumed
                };
                let settings = &self.broker.settings;
                let incarnation = settings.incarnation.to_be_bytes();
                let lease = settings.lease.unwrap_or(0);
                // A limit of 0 is one, too.
                let limit = settings.max_redeliveries.map_or(0, |most| u64::from(most) + 1);
                let limits = [lease.to_be_bytes(), limit.to_be_bytes()].concat();
                let contents = [
                    incarnation.as_slice(),
                    settings.codec.as_bytes(),
                    settings.name.as_bytes(),
                    limits.as_slice(),
                ];
                let mut welcome = self.broker.welcome(request.id, resumed, process);
                welcome.fields[4] = self.listeners.last().map_or(0, |listener| listener.port().into());
                if let Some(peer) = self.desk.peers.get_mut(&key) {
                    peer.reply(welcome, &Body::Contents(&contents));
                }
                Ok(())
            }
            _ => Err("a session begins with HELLO and a token of 16 bytes"),
        }
    }
}
