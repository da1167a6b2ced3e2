//! What the system allows a backend, in a form to show to people.

/// Something that the system allows a backend so much of; see [`Transport::limits`](crate::Transport::limits).
///
/// ```
/// use ipcq_core::SystemLimit;
///
/// let limit = SystemLimit::new("pipe-max-size", Some(1 << 20), "bytes")
///     .with_advice("for more: sysctl fs.pipe-max-size=BYTES (as root)");
/// assert_eq!(limit.value, Some(1_048_576));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SystemLimit {
    /// What is limited: the name of the setting, or a few words.
    pub name: &'static str,
    /// How much there can be; `None` where nothing limits it, or what does is unknown.
    pub value: Option<u64>,
    /// What is counted.
    pub unit: &'static str,
    /// What else there is to say of it, for people.
    pub meaning: Option<String>,
    /// What to change for more, for people.
    pub advice: Option<String>,
}

impl SystemLimit {
    /// So much of `unit`, with nothing to add.
    #[must_use]
    pub const fn new(name: &'static str, value: Option<u64>, unit: &'static str) -> Self {
        Self { name, value, unit, meaning: None, advice: None }
    }

    /// The same with something said of it.
    #[must_use]
    pub fn with_meaning(mut self, meaning: impl Into<String>) -> Self {
        self.meaning = Some(meaning.into());
        self
    }

    /// The same with what to change for more.
    #[must_use]
    pub fn with_advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}
