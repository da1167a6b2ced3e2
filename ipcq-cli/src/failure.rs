//! Why a command ended without success: its exit status and one line of text.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use ipcq_cli::measure::Fault;
use ipcq_core::error::{BackendError, CreateError, GetFault, OpenError, PutFault, RemoveError};
use nix::errno::Errno;
use nix::sys::signal::Signal;

use crate::signals;

/// An exit status other than 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Nothing to do in the time given: empty, full, busy, timed out.
    NothingToDo,
    /// It failed, or the command line is wrong.
    Failed,
    /// The queue is closed.
    Closed,
    /// A command that was run failed: its own exit status.
    OfCommand(u8),
    /// A signal asked for an end.
    Interrupted(Signal),
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(match status {
            Status::NothingToDo => 1,
            Status::Failed => 2,
            Status::Closed => 3,
            Status::OfCommand(status) => status,
            Status::Interrupted(signal) => return signals::die_of(signal),
        })
    }
}

/// Why a command ended without success, for people: what happened, to which queue, and what to do next.
#[derive(Debug)]
pub(crate) struct Failure {
    status: Status,
    text: String,
}

impl Failure {
    pub(crate) fn new(status: Status, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    /// A failure of status 2.
    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self::new(Status::Failed, text)
    }

    /// A failure of the system, with what was being done.
    pub(crate) fn system(what: &str, error: &io::Error) -> Self {
        let advice = if error.raw_os_error() == Some(Errno::EMFILE as i32) {
            "; raise its limit (ulimit -n)"
        } else {
            ""
        };
        Self::failed(format!("{what}: {}{advice}", cause(error)))
    }

    /// That a command failed which was run, with its exit status.
    pub(crate) fn of_command(status: u8, text: impl Into<String>) -> Self {
        Self::new(Status::OfCommand(status), text)
    }

    /// That `signal` asked for an end, which is all that there is to say.
    pub(crate) fn interrupted(signal: Signal) -> Self {
        Self::new(Status::Interrupted(signal), format!("ended by {signal}"))
    }

    pub(crate) const fn status(&self) -> Status {
        self.status
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The same failure with something said before it.
    pub(crate) fn after(mut self, what: &str) -> Self {
        self.text = format!("{what}; {}", self.text);
        self
    }

    /// Why a message did not go into `queue`.
    pub(crate) fn put(queue: &str, fault: &PutFault) -> Self {
        match fault {
            PutFault::Full => Self::new(
                Status::NothingToDo,
                format!("queue {queue} is full; get messages from it first, or wait with --timeout"),
            ),
            PutFault::Busy => Self::busy(queue),
            PutFault::Timeout => Self::new(
                Status::NothingToDo,
                format!(
                    "queue {queue} did not take the message in the time given: it is full, or a process is stopped inside \
                     an operation on it; get messages from it first"
                ),
            ),
            PutFault::Closed => Self::new(
                Status::Closed,
                format!("queue {queue} is closed and takes no more; remove it and make it anew to go on"),
            ),
            PutFault::TooLong { len, max } => Self::failed(format!(
                "queue {queue} takes messages of up to {max} bytes, and this one has {len}; \
                 make the queue with a larger --max-message"
            )),
            PutFault::Backend(error) => error.into(),
            other => Self::failed(format!("queue {queue}: {}", with_causes(other))),
        }
    }

    /// Why no message came out of `queue`.
    pub(crate) fn get(queue: &str, fault: &GetFault) -> Self {
        match fault {
            GetFault::Empty => Self::new(
                Status::NothingToDo,
                format!("queue {queue} is empty; put messages into it first, or wait with --timeout"),
            ),
            GetFault::Busy => Self::busy(queue),
            GetFault::Timeout => Self::new(
                Status::NothingToDo,
                format!(
                    "queue {queue} gave no message in the time given: it is empty, or a process is stopped inside \
                     an operation on it; put messages into it first"
                ),
            ),
            GetFault::Closed => Self::new(
                Status::Closed,
                format!("queue {queue} is closed and drained; nothing more will come"),
            ),
            GetFault::Backend(error) => error.into(),
            other => Self::failed(format!("queue {queue}: {}", with_causes(other))),
        }
    }

    fn busy(queue: &str) -> Self {
        let text = format!("queue {queue} is busy: another process is inside an operation on it; try again");
        Self::new(Status::NothingToDo, text)
    }

    /// That there was a queue of that name, and what it left behind is still there.
    pub(crate) fn gone(queue: &str) -> Self {
        let name = queue.rsplit(':').next().unwrap_or(queue);
        Self::failed(format!(
            "queue {queue} is gone with all that was in it: no process holds it any more; \
             make it anew with `ipcq create {name}`, or clear away what is left with `ipcq gc`"
        ))
    }

    /// That a queue was to be removed which was gone, and whose files are gone now as well.
    pub(crate) fn gone_and_removed(queue: &str) -> Self {
        Self::failed(format!(
            "queue {queue} was gone already, because no process held it any more; \
             what it left behind is removed now, and there is nothing more to do"
        ))
    }

    /// That there is no queue of that name.
    pub(crate) fn missing(queue: &str) -> Self {
        let name = queue.rsplit(':').next().unwrap_or(queue);
        Self::failed(format!(
            "there is no queue {queue}; make it with `ipcq create {name}`, or see `ipcq ls` for those there are"
        ))
    }
}

impl From<&BackendError> for Failure {
    fn from(error: &BackendError) -> Self {
        let advice = error.advice().map(|advice| format!("; {advice}")).unwrap_or_default();
        let whole = error.to_string();
        let what = whole.strip_suffix(&advice).unwrap_or(&whole);
        let causes = causes(error);
        let causes = if causes.is_empty() { causes } else { format!(" ({causes})") };
        Self::failed(format!("{what}{causes}{advice}"))
    }
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        Self::from(&error)
    }
}

impl From<CreateError> for Failure {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Exists { queue } => Self::failed(format!(
                "queue {queue} exists already; use it, or remove it first with `ipcq rm {queue}`"
            )),
            CreateError::Backend(error) => error.into(),
            other => Self::failed(with_causes(&other)),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Missing { queue } => Self::missing(&queue),
            OpenError::Backend(error) => error.into(),
            other => Self::failed(with_causes(&other)),
        }
    }
}

impl From<RemoveError> for Failure {
    fn from(error: RemoveError) -> Self {
        match error {
            RemoveError::Missing { queue } => Self::failed(format!(
                "there is no queue {queue} to remove; see `ipcq ls` for those there are"
            )),
            RemoveError::Backend(error) => error.into(),
            other => Self::failed(with_causes(&other)),
        }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Failed(text) => Self::failed(text),
            Fault::System { what, error } => Self::system(&what, &error),
            Fault::Create(error) => error.into(),
            Fault::Open(error) => error.into(),
            Fault::Backend(error) => error.into(),
            Fault::Put { queue, fault } => Self::put(&queue, &fault),
            Fault::Get { queue, fault } => Self::get(&queue, &fault),
            other => Self::failed(other.to_string()),
        }
    }
}

fn with_causes(error: &dyn Error) -> String {
    let causes = causes(error);
    if causes.is_empty() { error.to_string() } else { format!("{error}: {causes}") }
}

/// What is behind `error`, from the nearest cause on.
fn causes(error: &dyn Error) -> String {
    let (mut texts, mut cause) = (Vec::new(), error.source());
    while let Some(error) = cause {
        texts.push(without_number(error.to_string()));
        cause = error.source();
    }
    texts.join(": ")
}

/// The system's own words.
pub(crate) fn cause(error: &io::Error) -> String {
    without_number(error.to_string())
}

/// Leaves out the number of an error of the system, which is for people who program.
fn without_number(mut text: String) -> String {
    text.truncate(text.find(" (os error").unwrap_or(text.len()));
    text
}

#[cfg(test)]
mod tests {
    use ipcq_core::BackendErrorKind;

    use super::*;

    #[test]
    fn the_cause_stands_before_the_advice_and_everything_once() {
        let error = BackendError::new(BackendErrorKind::NoRoom, "shm:jobs", "there is no room for a message")
            .with_advice("free some")
            .with_source(io::Error::from_raw_os_error(28));
        let expected = "queue shm:jobs: there is no room for a message \
                        (No space left on device); free some";
        assert_eq!(Failure::from(error).text(), expected);
    }

    #[test]
    fn every_fault_of_a_put_has_its_exit_status() {
        let status = |fault| Failure::put("shm:jobs", &fault).status();
        assert_eq!(status(PutFault::Full), Status::NothingToDo);
        assert_eq!(status(PutFault::Busy), Status::NothingToDo);
        assert_eq!(status(PutFault::Timeout), Status::NothingToDo);
        assert_eq!(status(PutFault::Closed), Status::Closed);
        assert_eq!(status(PutFault::TooLong { len: 2, max: 1 }), Status::Failed);
    }

    #[test]
    fn every_fault_of_a_get_has_its_exit_status() {
        let status = |fault| Failure::get("shm:jobs", &fault).status();
        assert_eq!(status(GetFault::Empty), Status::NothingToDo);
        assert_eq!(status(GetFault::Busy), Status::NothingToDo);
        assert_eq!(status(GetFault::Timeout), Status::NothingToDo);
        assert_eq!(status(GetFault::Closed), Status::Closed);
    }
}
