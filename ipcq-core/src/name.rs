//! Names that are legal on every transport.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name of a queue: 1 to 200 of the letters a-z and A-Z, digits, `.`, `_` and `-`, not beginning with `.`
/// or `-`. A name can never reach outside the queue's own directory.
///
/// ```
/// use ipcq_core::QueueName;
///
/// let name: QueueName = "jobs.today".parse()?;
/// assert_eq!(name.as_str(), "jobs.today");
/// assert!("../jobs".parse::<QueueName>().is_err());
/// # Ok::<(), ipcq_core::NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct QueueName(String);

impl QueueName {
    /// The longest name, in characters.
    pub const MAX_LEN: usize = 200;

    /// Checks `name`.
    ///
    /// # Errors
    /// When it is not a legal name; the error says which rule it breaks.
    pub fn new(name: impl Into<String>) -> Result<Self, NameError> {
        let name = name.into();
        match broken_rule(&name) {
            None => Ok(Self(name)),
            Some(rule) => Err(NameError { name, rule }),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of this queue's dead-letter queue: the same with `.dead` behind it.
    ///
    /// # Errors
    /// When that is longer than a name may be.
    pub fn of_dead_letters(&self) -> Result<Self, NameError> {
        Self::new(format!("{self}.dead"))
    }
}

fn broken_rule(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("a queue name must not be empty");
    }
    if name.len() > QueueName::MAX_LEN {
        return Some("a queue name has at most 200 characters");
    }
    if name.starts_with(['.', '-']) {
        return Some("a queue name must not begin with '.' or '-'");
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (!name.chars().all(legal)).then_some("a queue name consists of letters, digits, '.', '_' and '-'")
}

impl AsRef<str> for QueueName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for QueueName {
    type Err = NameError;
    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::new(name)
    }
}

impl TryFrom<&str> for QueueName {
    type Error = NameError;
    fn try_from(name: &str) -> Result<Self, NameError> {
        Self::new(name)
    }
}

impl TryFrom<String> for QueueName {
    type Error = NameError;
    fn try_from(name: String) -> Result<Self, NameError> {
        Self::new(name)
    }
}

impl From<QueueName> for String {
    fn from(name: QueueName) -> Self {
        name.0
    }
}

/// A text that is no queue name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameError {
    name: String,
    rule: &'static str,
}

impl NameError {
    /// The text that was refused.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.name.chars().take(40).collect();
        let more = if shown.len() < self.name.len() { "..." } else { "" };
        write!(f, "{shown:?}{more} is not a queue name: {}", self.rule)
    }
}

impl std::error::Error for NameError {}
