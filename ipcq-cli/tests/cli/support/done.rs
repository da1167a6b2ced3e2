//! What a command came to.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// A command that has ended.
pub(crate) struct Done {
    what: String,
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Done {
    pub(super) const fn new(what: String, status: ExitStatus, stdout: Vec<u8>, stderr: Vec<u8>) -> Self {
        Self { what, status, stdout, stderr }
    }

    /// Its exit status, unless a signal ended it.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that ended it.
    pub(crate) fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.stdout
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    #[track_caller]
    pub(crate) fn succeeds(self) -> Self {
        assert!(self.status.success(), "should succeed\n{self}");
        self
    }

    /// It succeeds and prints exactly this.
    #[track_caller]
    pub(crate) fn prints(self, expected: impl AsRef<[u8]>) -> Self {
        let expected = String::from_utf8_lossy(expected.as_ref()).into_owned();
        assert_eq!(self.stdout(), expected, "prints something else\n{self}");
        self.succeeds()
    }

    /// It succeeds, prints nothing and says nothing.
    #[track_caller]
    pub(crate) fn says_nothing(self) -> Self {
        assert!(self.stderr.is_empty(), "should say nothing\n{self}");
        self.prints("")
    }

    /// There is nothing on stdout.
    #[track_caller]
    pub(crate) fn prints_nothing(self) -> Self {
        assert!(self.stdout().is_empty(), "should print nothing\n{self}");
        self
    }

    /// It ends with `status`, and one line on stderr that has all of `words` says why.
    #[track_caller]
    pub(crate) fn fails(self, status: i32, words: &[&str]) -> Self {
        assert_eq!(self.status.code(), Some(status), "should end with another status\n{self}");
        let said = self.stderr();
        assert_eq!(said.lines().count(), 1, "should say one line\n{self}");
        assert!(said.starts_with("ipcq: ") && said.ends_with('\n'), "should say who speaks\n{self}");
        for foreign in ["panicked", "::", "Error", "Err(", "os error", "src/"] {
            assert!(!said.contains(foreign), "{foreign:?} is not for people\n{self}");
        }
        for word in words {
            assert!(said.contains(word), "should say {word:?}\n{self}");
        }
        self
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]).into_owned();
        writeln!(f, "{}\n{}", self.what, self.status)?;
        writeln!(f, "stdout, {} bytes:\n{}", self.stdout.len(), shown(&self.stdout))?;
        writeln!(f, "stderr, {} bytes:\n{}", self.stderr.len(), shown(&self.stderr))
    }
}
