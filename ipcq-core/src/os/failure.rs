//! A failure of the operating system, before it is known which queue it happened to.

use std::fmt;
use std::io;

use nix::errno::Errno;

use crate::error::{BackendError, BackendErrorKind};

/// What the operating system refused: what was attempted, why not, and what to do about it.
///
/// Knows no queue; [`into_backend`](Self::into_backend) adds it.
#[derive(Debug)]
pub struct Failure {
    what: String,
    kind: Option<BackendErrorKind>,
    advice: Option<String>,
    source: io::Error,
}

impl Failure {
    /// `what` says what happened, without naming the queue, as in `its file could not be made`.
    #[must_use]
    pub fn new(what: impl Into<String>, source: io::Error) -> Self {
        Self { what: what.into(), kind: None, advice: None, source }
    }

    /// No file could be made for a queue.
    #[must_use]
    pub fn no_file(source: io::Error) -> Self {
        Self::new("no file could be made for it", source)
    }

    /// Says what to do next, in place of what the cause suggests.
    #[must_use]
    pub fn with_advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Says what to do next, where the cause suggests nothing.
    #[must_use]
    pub fn or_advice(self, advice: impl Into<String>) -> Self {
        if self.advice.is_some() || advice_for(self.errno()).is_some() {
            self
        } else {
            self.with_advice(advice)
        }
    }

    /// Says what kind of failure it is, in place of what the cause suggests.
    #[must_use]
    pub const fn with_kind(mut self, kind: BackendErrorKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Whether what was looked for is not there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.errno() == Errno::ENOENT
    }

    /// Whether what was to be made is there already.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.errno() == Errno::EEXIST
    }

    /// The cause.
    #[must_use]
    pub const fn cause(&self) -> &io::Error {
        &self.source
    }

    /// The kind: [`NoRoom`](BackendErrorKind::NoRoom) for everything that can run out,
    /// [`Denied`](BackendErrorKind::Denied) for missing rights.
    #[must_use]
    pub fn kind(&self) -> BackendErrorKind {
        self.kind.unwrap_or_else(|| kind_of(self.errno()))
    }

    /// The same failure of `queue` (`shm:jobs`).
    #[must_use]
    pub fn into_backend(self, queue: impl fmt::Display) -> BackendError {
        let error = BackendError::new(self.kind(), queue, self.what.as_str());
        let advice = self.advice.clone().or_else(|| advice_for(self.errno()).map(str::to_owned));
        let error = error.with_source(self.source);
        match advice {
            Some(advice) => error.with_advice(advice),
            None => error,
        }
    }

    fn errno(&self) -> Errno {
        Errno::from_raw(self.source.raw_os_error().unwrap_or(0))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        let advice = self.advice.as_deref().or_else(|| advice_for(self.errno()));
        advice.map_or(Ok(()), |advice| write!(f, "; {advice}"))
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

fn kind_of(errno: Errno) -> BackendErrorKind {
    match errno {
        Errno::ENOSPC
        | Errno::EDQUOT
        | Errno::EFBIG
        | Errno::EMFILE
        | Errno::ENFILE
        | Errno::ENOMEM
        | Errno::ENOLCK
        | Errno::EUSERS => BackendErrorKind::NoRoom,
        Errno::EACCES | Errno::EPERM => BackendErrorKind::Denied,
        Errno::EOPNOTSUPP | Errno::ENOSYS => BackendErrorKind::Unsupported,
        _ => BackendErrorKind::Other,
    }
}

fn advice_for(errno: Errno) -> Option<&'static str> {
    Some(match errno {
        Errno::ENOSPC => {
            "make room where queues live (remove queues, or set IPCQ_DIR to a larger file system)"
        }
        Errno::EDQUOT => "the user's quota is used up: remove queues, or set IPCQ_DIR to another file system",
        Errno::EFBIG => "this process may not make files as large: raise its limit (ulimit -f)",
        Errno::EMFILE => "this process may open no more files: raise its limit (ulimit -n), or drop handles",
        Errno::ENFILE => "the system has too many open files: end some, or raise fs.file-max",
        Errno::ENOMEM | Errno::ENOLCK => {
            "no memory is left to this process (ulimit -v), its group or the system: free some and try again"
        }
        Errno::EUSERS => "end processes that use the queue, or drop their handles",
        Errno::EACCES | Errno::EPERM => "it belongs to another user, or its mode shuts this one out",
        Errno::EROFS => "the file system is read-only: set IPCQ_DIR to another one",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(errno: Errno) -> BackendError {
        Failure::new("its file could not be made", errno.into()).into_backend("shm:jobs")
    }

    #[test]
    fn advice_for_want_of_better_gives_way() {
        let advised = |errno: Errno| Failure::new("it failed", errno.into()).or_advice("do that").to_string();
        assert!(advised(Errno::EINVAL).ends_with("do that"));
        assert!(advised(Errno::EMFILE).ends_with("drop handles"));
    }

    #[test]
    fn what_runs_out_is_no_room_with_advice() {
        for errno in [
            Errno::ENOSPC,
            Errno::EDQUOT,
            Errno::EFBIG,
            Errno::EMFILE,
            Errno::ENFILE,
            Errno::ENOMEM,
            Errno::EUSERS,
        ] {
            let error = backend(errno);
            assert!(error.is_no_room(), "{errno}");
            assert!(error.advice().is_some(), "{errno}");
        }
    }

    #[test]
    fn missing_rights_are_denied() {
        for errno in [Errno::EACCES, Errno::EPERM] {
            assert_eq!(backend(errno).kind(), BackendErrorKind::Denied);
        }
        assert_eq!(backend(Errno::EIO).kind(), BackendErrorKind::Other);
    }

    #[test]
    fn the_text_names_queue_and_advice_and_leaves_the_cause_to_source() {
        let error = Failure::new("its file could not be made", Errno::ENOSPC.into())
            .with_advice("buy a disk")
            .into_backend("shm:jobs");
        assert_eq!(error.to_string(), "queue shm:jobs: its file could not be made; buy a disk");
        assert!(std::error::Error::source(&error).is_some());
    }
}
