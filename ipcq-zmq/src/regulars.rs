//! How a broker waits: at first it looks, at those above all that it heard last, and only then it sleeps.
//!
//! Most often those who said something last say something next. To read them costs one system call, where to ask the
//! kernel who has something to say, and then to read, costs two.
//!
//! What a client sent before it gave up must have no effect, and a client gives up only when it has found the broker
//! stopped. The kernel says of each event whether the client has left since; who reads without having asked knows that
//! only if it was not stopped meanwhile: if it asked the kernel about all of them not long ago, and nobody had said anything.

use std::os::fd::AsFd;

use nix::sys::epoll::{EpollEvent, EpollTimeout};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::clock;
use crate::peer::Got;
use crate::server::Server;

/// How many are looked at without asking.
const REGULARS: usize = 2;
/// How often each of them is looked at before the kernel is asked about all.
const LOOKS: usize = 3;
/// How often in a row they may be served before the kernel is asked about the others.
const SERVED_MAX: u32 = 16;
/// How old the last look at all may be, in nanoseconds: less than a client waits before it looks whether the broker is
/// stopped.
const FRESH: u64 = 5_000_000;
/// What is due this soon is waited for without sleeping, in nanoseconds.
const SOON: u64 = 50_000;

/// Those who were heard last.
#[derive(Debug, Default)]
pub(crate) struct Regulars {
    keys: [u64; REGULARS],
    /// When the kernel was asked last and nobody had said anything; 0 if that does not hold for all of them.
    looked: u64,
    /// How often they have been served since it was asked.
    served: u32,
}

impl Regulars {
    /// This one has said something.
    pub(crate) fn note(&mut self, key: u64) {
        if !self.keys.contains(&key) {
            self.keys.rotate_right(1);
            self.keys[0] = key;
        }
    }

    /// Some may have said something before the last look that it did not show.
    pub(crate) const fn forget_look(&mut self) {
        self.looked = 0;
    }
}

/// Who has said something.
pub(crate) enum Heard {
    /// So many events tell.
    Events(usize),
    /// One that was heard before, and has been served at this time.
    Regular(u64),
}

impl Server {
    /// Waits until something happens, at first without sleeping.
    pub(crate) fn wait(&mut self, events: &mut [EpollEvent]) -> nix::Result<Heard> {
        if self.regulars.served < SERVED_MAX
            && let Some(now) = self.listen_to_regulars()
        {
            self.regulars.served += 1;
            return Ok(Heard::Regular(now));
        }
        let mut spin = self.habit.spin();
        loop {
            let before = clock::now();
            match self.epoll.wait(events, EpollTimeout::ZERO) {
                Ok(0) => {
                    self.regulars.looked = before;
                    let due = self.broker.next_tick().unwrap_or(u64::MAX);
                    if due <= before {
                        return Ok(Heard::Events(0));
                    }
                    if !spin.turn() && due > before + SOON {
                        break;
                    }
                }
                Err(nix::errno::Errno::EINTR) => {}
                found => {
                    self.habit.learn(&spin, true);
                    // The others come first.
                    self.regulars.served = SERVED_MAX;
                    return found.map(Heard::Events);
                }
            }
            for _ in 0..LOOKS {
                if let Some(now) = self.listen_to_regulars() {
                    self.habit.learn(&spin, true);
                    self.regulars.served = 1;
                    return Ok(Heard::Regular(now));
                }
            }
        }
        self.habit.learn(&spin, false);
        self.sleep(events)
    }

    fn sleep(&self, events: &mut [EpollEvent]) -> nix::Result<Heard> {
        let ends = [
            self.broker.next_tick(),
            self.deaf_until,
            self.broker.slack.next(self.broker.bytes()),
            (!(self.desk.peers.is_empty() && self.parties.is_empty())).then_some(self.next_look),
        ];
        let timeout = ends.into_iter().flatten().min().map_or(EpollTimeout::NONE, |end| {
            let left = end.saturating_sub(clock::now()).div_ceil(1_000_000);
            EpollTimeout::try_from(left.min(60_000)).unwrap_or(EpollTimeout::ZERO)
        });
        match self.epoll.wait(events, timeout) {
            Err(nix::errno::Errno::EINTR) => Ok(Heard::Events(0)),
            found => found.map(Heard::Events),
        }
    }

    /// Serves the first of those who were heard last that has said something; returns when that was.
    fn listen_to_regulars(&mut self) -> Option<u64> {
        for key in self.regulars.keys {
            let Some(peer) = self.desk.peers.get_mut(&key) else { continue };
            if peer.is_behind() || !peer.is_listened_to() || Self::is_waiting(&self.broker, peer) {
                continue;
            }
            let got = peer.read();
            if got == Got::Nothing {
                continue;
            }
            let now = clock::now();
            let leaves = now.saturating_sub(self.regulars.looked) > FRESH && has_left(&peer.stream);
            self.broker.tick(now, &mut self.desk);
            if got == Got::End {
                self.hang_up(now, key);
            } else if leaves {
                self.listen_to(now, key, true);
            } else {
                self.serve_input(now, key, false);
            }
            self.desk.attend(key);
            return Some(now);
        }
        None
    }
}

/// Whether who is at the other end has ended the connection; said to be so where it cannot be known.
fn has_left(stream: impl AsFd) -> bool {
    let mut asked = [PollFd::new(&stream, PollFlags::RDHUP)];
    !matches!(poll(&mut asked, Some(&Timespec::default())), Ok(0))
}
