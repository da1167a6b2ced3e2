//! Requests and their replies, over as many connections as it takes: what a call does when its connection is lost, or the
//! broker does not answer.

use std::io;
use std::time::{Duration, Instant};

use ipcq_core::os::machine;
use ipcq_core::{BackendErrorKind, OpenError, Wait, trace};

use crate::client::{Client, Failed, PATIENCE};
use crate::clock;
use crate::connection::{ANOTHER, Connection, NoReply, Remote, Reply};
use crate::tcp;
use crate::welcome::{self, Unwelcome};
use crate::wire::{NO_WAIT, Op, Request};

/// How often one call comes back to a broker that lives and loses its connection.
const LOSSES_MAX: usize = 100;
/// How long a call tries to reach a broker that lives.
const TROUBLE: Duration = Duration::from_secs(10);
/// When a call that does not wait must not take effect any more, in nanoseconds from its beginning.
const STALE: u64 = 10_000_000_000;

impl Client {
    /// A new connection. A host that is stopped is waited for as `wait` says, or for a moment.
    pub(crate) fn connect(&self, wait: Wait) -> Result<Connection, Failed> {
        let token =
            machine::random_u128().map_err(|error| self.failed("no random number could be had", error))?;
        let start = Instant::now();
        let patience = match wait {
            Wait::Until(end) => {
                end.saturating_duration_since(start).saturating_add(self.grace()).clamp(PATIENCE, TROUBLE)
            }
            Wait::No | Wait::Forever => TROUBLE,
        };
        loop {
            if self.host_is_dead() {
                return Err(Failed::Backend(self.gone()));
            }
            if self.host_is_stopped() {
                if wait.is_over() && start.elapsed() > PATIENCE {
                    return Err(Failed::GivenUp);
                }
                std::thread::sleep(PATIENCE);
                continue;
            }
            let left = patience.saturating_sub(start.elapsed()).max(PATIENCE);
            match Connection::open(&self.address, token.to_ne_bytes(), self.remote()?, left) {
                Ok(connection) => return Ok(connection),
                Err(error) if error.kind() == ANOTHER => return Err(Failed::Backend(self.gone())),
                Err(error) if is_loss(&error) && start.elapsed() < patience => self.ask_why(left)?,
                Err(error) if is_loss(&error) && matches!(wait, Wait::Until(_)) => {
                    return Err(Failed::GivenUp);
                }
                Err(error) => return Err(self.failed("its broker could not be reached", error)),
            }
        }
    }

    /// What a session over TCP says and expects.
    fn remote(&self) -> Result<Option<Remote>, Failed> {
        if self.address.tcp().is_none() {
            return Ok(None);
        }
        let party = tcp::party().map_err(|error| self.failed("no random number could be had", error))?;
        Ok(Some(Remote { party, incarnation: self.identity().incarnation }))
    }

    /// Fails if the broker did not take a connection because it has no room for it; otherwise waits for a moment.
    fn ask_why(&self, patience: Duration) -> Result<(), Failed> {
        std::thread::sleep(PATIENCE);
        let why = match welcome::ask_within(&self.address, patience) {
            Err(why @ Unwelcome::NoRoom(_)) => why.into_open(&self.identity().to_string()),
            _ => return Ok(()),
        };
        match why {
            OpenError::Backend(error) => Err(Failed::Backend(error)),
            _ => Ok(()),
        }
    }

    /// A request of `connection` with the deadline of `wait`.
    pub(crate) fn request(connection: &mut Connection, op: Op, wait: Wait) -> Request {
        let mut request = Request::new(op, connection.next_id());
        request.ack = connection.acknowledged;
        (request.flags, request.expires) = match wait {
            Wait::No => (NO_WAIT, clock::now().saturating_add(STALE)),
            Wait::Until(instant) => (0, clock::at(instant)),
            Wait::Forever => (0, 0),
        };
        if connection.is_remote() && request.expires != 0 {
            // Its clock is another one.
            request.expires = request.expires.saturating_sub(clock::now()).max(1);
        }
        request
    }

    /// Sends `request` and waits for its reply, over as many connections as it takes.
    pub(crate) fn exchange(
        &self,
        connection: &mut Connection,
        request: &Request,
        content: &[&[u8]],
    ) -> Result<Reply, Failed> {
        let is_over = |waited: Duration| self.should_give_up(request, waited);
        let end = end_of(request, connection.is_remote());
        for _ in 0..LOSSES_MAX {
            match connection.call(request, content, &is_over) {
                Ok(reply) => return Ok(reply),
                Err(NoReply::GivenUp) if self.host_is_dead() => return Err(Failed::Backend(self.gone())),
                Err(NoReply::GivenUp) => return Err(Failed::GivenUp),
                Err(NoReply::Refused(why)) => {
                    let what = format!("its broker refused a request: {why}");
                    return Err(Failed::Backend(self.error(BackendErrorKind::Other, what)));
                }
                Err(NoReply::Lost(_)) => self.come_back(connection, request, end)?,
            }
        }
        let what = "its broker loses every connection";
        Err(Failed::Backend(self.error(BackendErrorKind::Other, what)))
    }

    /// Connects anew, to the same session, for `request` to be repeated. Tries once at least, and not beyond the `end` of
    /// the call, where it has one.
    fn come_back(
        &self,
        connection: &mut Connection,
        request: &Request,
        end: Option<Instant>,
    ) -> Result<(), Failed> {
        let start = Instant::now();
        let limit = start + TROUBLE;
        let limit = end.map_or(limit, |end| limit.min(end + self.grace()));
        loop {
            if self.host_is_dead() {
                return Err(Failed::Backend(self.gone()));
            }
            if self.host_is_stopped() {
                if self.should_give_up(request, start.elapsed()) {
                    return Err(if is_once(request.op) { self.lost(request, None) } else { Failed::GivenUp });
                }
                std::thread::sleep(PATIENCE);
                continue;
            }
            let left = limit.saturating_duration_since(Instant::now()).max(PATIENCE);
            match connection.resume(&self.address, left) {
                Err(error) if error.kind() == ANOTHER => return Err(Failed::Backend(self.gone())),
                Ok(false) if is_once(request.op) => return Err(self.lost(request, None)),
                Ok(_) => {
                    trace::reconnected(self.identity());
                    return Ok(());
                }
                Err(error) if is_loss(&error) && Instant::now() < limit => std::thread::sleep(PATIENCE),
                // What was sent and did not arrive goes back.
                Err(error) if is_loss(&error) && end.is_some() && !is_once(request.op) => {
                    return Err(Failed::GivenUp);
                }
                Err(error) => return Err(self.lost(request, Some(error))),
            }
        }
    }

    /// What a call says that lost its connection, and has no other one, or not the session that knew of its request.
    fn lost(&self, request: &Request, error: Option<io::Error>) -> Failed {
        let what = match (is_once(request.op), error.is_some()) {
            (true, true) => "its broker could not be reached again, and whether this took effect is unknown",
            (true, false) => "its broker has lost this session, and whether this took effect is unknown",
            (false, _) => "its broker could not be reached again",
        };
        match error {
            Some(error) => self.failed(what, error),
            None => Failed::Backend(self.error(BackendErrorKind::Other, what)),
        }
    }
}

/// Whether a request must not be made again where it is unknown whether it took effect.
const fn is_once(op: Op) -> bool {
    matches!(op, Op::Put | Op::Part | Op::Acknowledge | Op::GiveBack)
}

/// When the call that makes `request` is to end, if it is; to be asked when it begins.
fn end_of(request: &Request, is_remote: bool) -> Option<Instant> {
    if request.expires == 0 {
        return None;
    }
    let left = if is_remote { request.expires } else { request.expires.saturating_sub(clock::now()) };
    Instant::now().checked_add(Duration::from_nanos(left))
}

/// Whether it may be otherwise the next time.
fn is_loss(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::NotFound
            | io::ErrorKind::TimedOut
            // More wait to be accepted than the kernel lets.
            | io::ErrorKind::WouldBlock
            | io::ErrorKind::Other
    )
}
