//! What a backend supplies: [`Transport`] makes and finds queues, [`Channel`] is one queue of byte messages.
//!
//! Both are object-safe, so that a program can choose a backend at run time. Everything typed
//! ([`Queue`](crate::Queue)) is built over them in this crate and is the same on every backend.

use std::fmt;
use std::process::Command;
use std::sync::Arc;

use crate::Wait;
use crate::capabilities::Capabilities;
use crate::delivery::DeliveryTag;
use crate::error::{
    BackendError, BackendErrorKind, CreateError, DeliveryFault, GetFault, JoinFault, OpenError, PutFault,
    RemoveError,
};
use crate::identity::Identity;
use crate::loan::Loan;
use crate::message::{Batch, Limit};
use crate::name::QueueName;
use crate::options::QueueOptions;
use crate::readiness::Readiness;
use crate::stat::Stat;
use crate::system_limit::SystemLimit;

/// A backend: it makes, opens, removes and lists queues.
///
/// A transport value stands for one backend in one directory; it is cheap, holds no queue open, and may be used
/// by many threads at once.
pub trait Transport: fmt::Debug + Send + Sync {
    /// The backend's name, lower case: what `--transport` takes and what [`QueueAddress`](crate::QueueAddress) records.
    fn name(&self) -> &'static str;

    /// What queues of this backend can and cannot do.
    fn capabilities(&self) -> Capabilities;

    /// Makes the queue `name`; it must not exist.
    ///
    /// # Errors
    /// [`CreateError::Exists`] when there is a queue of that name, [`CreateError::Unsupported`] when `options`
    /// ask for what [`capabilities`](Self::capabilities) does not offer, and the rest as documented there.
    fn create(&self, name: &QueueName, options: &QueueOptions) -> Result<Arc<dyn Channel>, CreateError>;

    /// Makes a queue without a name, which ends with its last handle and reaches other processes by inheritance
    /// only (see [`Channel::share_with`]).
    ///
    /// # Errors
    /// As [`create`](Self::create), but for `Exists`.
    fn create_anonymous(&self, options: &QueueOptions) -> Result<Arc<dyn Channel>, CreateError>;

    /// Opens the queue `name` after checking all that it trusts.
    ///
    /// # Errors
    /// [`OpenError::Missing`] when there is none, and the mismatches named there.
    fn open(&self, name: &QueueName) -> Result<Arc<dyn Channel>, OpenError>;

    /// A queue that the parent of this process shared with it (see [`Channel::share_with`]): the one shared
    /// first is number 0. May be called more than once. The default finds none, as for queues that no child inherits.
    ///
    /// # Errors
    /// [`OpenError::Missing`] when the parent shared no queue of this number.
    fn inherited(&self, number: usize) -> Result<Arc<dyn Channel>, OpenError> {
        Err(OpenError::not_shared(self.name(), number))
    }

    /// Removes the queue `name`: everyone who waits on it wakes with `Closed`, what is in it is discarded, and
    /// nothing of it is left behind. A queue that cannot be opened any more can still be removed.
    ///
    /// # Errors
    /// [`RemoveError::Missing`] when there is none.
    fn remove(&self, name: &QueueName) -> Result<(), RemoveError>;

    /// The names of all queues in this transport's directory, sorted.
    ///
    /// # Errors
    /// When the directory cannot be read.
    fn list(&self) -> Result<Vec<QueueName>, BackendError>;

    /// What the system allows this backend beyond its [`capabilities`](Self::capabilities), and what to change for
    /// more: for people who ask why something cannot be had. Only looks, and leaves out what it cannot find out. The
    /// default names nothing.
    fn limits(&self) -> Vec<SystemLimit> {
        Vec::new()
    }

    /// Removes what dead processes and earlier boots left behind, never what is alive. Returns a line for each
    /// thing removed. The default is for backends that leave nothing.
    ///
    /// # Errors
    /// When the directory cannot be read.
    fn collect_garbage(&self) -> Result<Vec<String>, BackendError> {
        Ok(Vec::new())
    }
}

/// One queue of byte messages, as a backend supplies it.
///
/// All methods may be called by any number of threads at once. A call that fails had no effect, and may be
/// retried. The required methods are the few that a backend must supply; each provided one is correct as it
/// stands and may be replaced by a faster one.
pub trait Channel: fmt::Debug + Send + Sync {
    /// What was fixed when the queue was made.
    fn identity(&self) -> &Identity;

    /// Puts one message, whose bytes are `parts` one after the other.
    ///
    /// # Blocking
    /// Until there is room, as `wait` says.
    ///
    /// # Errors
    /// `Full` and `Busy` only with [`Wait::No`], `Timeout` only with [`Wait::Until`], `Closed` once the queue is
    /// closed, `TooLong` for a message above the queue's limit, and a [`BackendErrorKind::NoRoom`] where there is no memory
    /// for it, which must not end the process; nothing was put in each case.
    fn put(&self, parts: &[&[u8]], wait: Wait) -> Result<(), PutFault>;

    /// Gets one message, which replaces what is in `message`. On an acknowledged queue it is acknowledged by that, and
    /// gone for good; [`get_delivery`](Self::get_delivery) hands one out that is not.
    ///
    /// # Blocking
    /// Until there is a message, as `wait` says.
    ///
    /// # Errors
    /// `Empty` and `Busy` only with [`Wait::No`], `Timeout` only with [`Wait::Until`], `Closed` once the queue is
    /// closed and drained; nothing was taken in each case.
    fn get(&self, message: &mut Vec<u8>, wait: Wait) -> Result<(), GetFault>;

    /// Closes the queue for everyone: puts that take effect later fail with `Closed`, gets drain what is there.
    /// Closing twice is no error. Never waits for another participant.
    ///
    /// # Errors
    /// When the queue is gone or damaged.
    fn close(&self) -> Result<(), BackendError>;

    /// Everything that is known of the queue, for people to read. Never waits for another participant.
    ///
    /// # Errors
    /// When the queue is gone or damaged.
    fn stat(&self) -> Result<Stat, BackendError>;

    /// How many messages are in the queue at an instant inside the call. Never waits for another participant. The default
    /// asks [`stat`](Self::stat).
    ///
    /// # Errors
    /// When the queue is gone or damaged.
    fn len(&self) -> Result<usize, BackendError> {
        self.stat().map(|stat| stat.len)
    }

    /// Whether the queue is closed at an instant inside the call. Never waits for another participant. The default asks
    /// [`stat`](Self::stat).
    ///
    /// # Errors
    /// When the queue is gone or damaged.
    fn is_closed(&self) -> Result<bool, BackendError> {
        self.stat().map(|stat| stat.closed)
    }

    /// Registers this handle, and so its process, as a producer, which its first put does by itself. A process is
    /// one producer while any of its handles is registered. What a queue made with `auto_close` counts; without
    /// effect on others; the default is for a backend without them.
    ///
    /// # Errors
    /// When the queue is gone, damaged, or has no room for one more participant.
    fn register_producer(&self) -> Result<(), BackendError> {
        self.len().map(drop)
    }

    /// Ends this handle's registration as a producer, as dropping it does; the process has left with the last one.
    ///
    /// # Errors
    /// When the queue is gone or damaged.
    fn unregister_producer(&self) -> Result<(), BackendError> {
        self.len().map(drop)
    }

    /// Lets the process that `command` starts inherit this queue, named or not: the child finds it with
    /// [`Transport::inherited`]. On a queue made with `auto_close` the child is a registered producer before
    /// `Command::spawn` returns.
    ///
    /// # Errors
    /// When the queue cannot be inherited, which is what the default says.
    fn share_with(&self, _command: &mut Command) -> Result<(), BackendError> {
        let what = "no child can inherit it";
        Err(BackendError::new(BackendErrorKind::Unsupported, self.identity(), what))
    }

    /// Puts the messages of `batch` from number `from` on, in order, each taking effect by itself.
    ///
    /// Returns how many went in, and why the rest did not. The default puts one by one.
    ///
    /// # Blocking
    /// Until all are in, as `wait` says.
    fn put_many(&self, batch: &Batch, from: usize, wait: Wait) -> (usize, Result<(), PutFault>) {
        for (done, message) in batch.iter_from(from).enumerate() {
            if let Err(fault) = self.put(&[message], wait) {
                return (done, Err(fault));
            }
        }
        (batch.len().saturating_sub(from), Ok(()))
    }

    /// Waits for one message, then appends to `batch` what is there, up to `limit`. Returns how many it took.
    /// The default gets one by one, and one message only when `limit` bounds the bytes.
    ///
    /// # Blocking
    /// Until there is one message, as `wait` says. A `limit` of no messages returns 0 at once.
    ///
    /// # Errors
    /// As [`get`](Self::get); nothing was taken.
    fn get_many(&self, batch: &mut Batch, limit: Limit, wait: Wait) -> Result<usize, GetFault> {
        if limit.max_messages() == 0 {
            return Ok(0);
        }
        let mut message = Vec::new();
        self.get(&mut message, wait)?;
        batch.push(&message);
        let more = if limit.max_bytes() == usize::MAX { limit.max_messages() - 1 } else { 0 };
        for taken in 0..more {
            match self.get(&mut message, Wait::No) {
                Ok(()) => batch.push(&message),
                Err(_) => return Ok(1 + taken),
            }
        }
        Ok(1 + more)
    }

    /// Lends room for a message of `len` bytes, of unspecified content, which [`put_loan`](Self::put_loan) puts. The
    /// default lends memory of this process.
    ///
    /// # Errors
    /// `TooLong` above the queue's limit, and [`BackendErrorKind::NoRoom`] where there is no memory for it.
    fn loan(&self, len: usize) -> Result<Loan, PutFault> {
        self.identity().blank(len).map(Loan::from)
    }

    /// Puts the message that was built in `loan`, which is empty afterwards. Any loan can be put; the default copies it.
    ///
    /// # Blocking
    /// Until there is room, as `wait` says.
    ///
    /// # Errors
    /// As [`put`](Self::put); the loan is as before.
    fn put_loan(&self, loan: &mut Loan, wait: Wait) -> Result<(), PutFault> {
        self.put(&[&loan[..]], wait)?;
        *loan = Loan::default();
        Ok(())
    }

    /// Gets one message where it lies, or a copy of it, which is what the default gets. On an acknowledged queue it is
    /// acknowledged by that.
    ///
    /// # Blocking
    /// Until there is a message, as `wait` says.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    fn get_loan(&self, wait: Wait) -> Result<Loan, GetFault> {
        let mut message = Vec::new();
        self.get(&mut message, wait)?;
        Ok(message.into())
    }

    /// Hands out one message of an acknowledged queue, which replaces what is in `message`: it is in flight until the
    /// returned tag is [acknowledged](Self::acknowledge) or [given back](Self::give_back), its lease runs out, or this
    /// process ends.
    ///
    /// # Blocking
    /// Until there is a message, as `wait` says. On a closed queue, also while one is in flight that may come back.
    ///
    /// # Errors
    /// As [`get`](Self::get); the default fails, as for a queue that is not acknowledged.
    fn get_delivery(&self, _message: &mut Vec<u8>, _wait: Wait) -> Result<DeliveryTag, GetFault> {
        Err(not_acknowledged(self.identity()).into())
    }

    /// Removes the message of `tag` for good.
    ///
    /// # Errors
    /// [`DeliveryFault::Expired`] when it is not this holder's any more; the default fails.
    fn acknowledge(&self, _tag: &DeliveryTag) -> Result<(), DeliveryFault> {
        Err(not_acknowledged(self.identity()).into())
    }

    /// Puts the message of `tag` back to its place, also into a closed queue.
    ///
    /// # Errors
    /// As [`acknowledge`](Self::acknowledge).
    fn give_back(&self, _tag: &DeliveryTag) -> Result<(), DeliveryFault> {
        Err(not_acknowledged(self.identity()).into())
    }

    /// How many messages are in flight at an instant inside the call; none on a queue that is not acknowledged. Never
    /// waits for another participant.
    ///
    /// # Errors
    /// As [`len`](Self::len).
    fn in_flight(&self) -> Result<usize, BackendError> {
        self.len().map(|_| 0)
    }

    /// Waits until every message whose put took effect before has been acknowledged or dead-lettered.
    ///
    /// # Blocking
    /// As `wait` says.
    ///
    /// # Errors
    /// `Unfinished` only with [`Wait::No`], `Timeout` only with [`Wait::Until`]; the default fails, as for a queue that
    /// is not acknowledged.
    fn join(&self, _wait: Wait) -> Result<(), JoinFault> {
        Err(not_acknowledged(self.identity()).into())
    }

    /// How callers wait for this queue together with others. `None`, the default, means that nobody can be woken by it:
    /// whoever waits looks at [`is_empty`](Self::is_empty) and its like from time to time.
    fn readiness(&self) -> Option<&dyn Readiness> {
        None
    }

    /// Whether there is no message in the queue at an instant inside the call.
    ///
    /// # Errors
    /// As [`len`](Self::len).
    fn is_empty(&self) -> Result<bool, BackendError> {
        self.len().map(|len| len == 0)
    }

    /// Whether the queue holds as many messages as its capacity, those in flight included, at an instant inside the
    /// call. The default counts none in flight.
    ///
    /// # Errors
    /// As [`len`](Self::len).
    fn is_full(&self) -> Result<bool, BackendError> {
        self.len().map(|len| len >= self.identity().capacity)
    }
}

/// What a queue says that was not made for acknowledged delivery.
#[cold]
pub(crate) fn not_acknowledged(queue: &Identity) -> BackendError {
    BackendError::new(BackendErrorKind::Unsupported, queue, "it was not made for acknowledged delivery")
        .with_advice("make it with `acknowledged`")
}
