//! What queues of a backend can and cannot do.

/// When a backend's named queues end by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lifetime {
    /// Until [`Transport::remove`](crate::Transport::remove) or the end of the machine's uptime.
    UntilRemoved,
    /// While any handle in any process is open.
    WhileAnyHandle,
    /// While the process that hosts the queue lives.
    WhileHost,
}

/// What queues of a backend can and cannot do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// When named queues end.
    pub lifetime: Lifetime,
    /// The largest capacity that can be asked for, in messages.
    pub max_capacity: usize,
    /// The setting of the system that [`max_capacity`](Self::max_capacity) follows from, if it follows from one.
    pub capacity_setting: Option<&'static str>,
    /// The largest message limit that can be asked for, in bytes.
    pub max_message: usize,
    /// Whether queues can close by themselves when their last producer has left.
    pub auto_close: bool,
    /// Whether queues can be made for acknowledged delivery.
    pub acknowledged: bool,
    /// Whether queues can be made without a name and inherited by children.
    pub anonymous: bool,
}

impl Capabilities {
    /// A backend with named and anonymous queues that close automatically when asked to, without acknowledged
    /// delivery.
    #[must_use]
    pub const fn new(lifetime: Lifetime, max_capacity: usize, max_message: usize) -> Self {
        Self {
            lifetime,
            max_capacity,
            capacity_setting: None,
            max_message,
            auto_close: true,
            acknowledged: false,
            anonymous: true,
        }
    }

    /// The same, with a largest capacity that follows from `setting` of the system.
    #[must_use]
    pub const fn with_capacity_setting(self, setting: &'static str) -> Self {
        Self { capacity_setting: Some(setting), ..self }
    }

    /// The same, without queues that close by themselves.
    #[must_use]
    pub const fn without_auto_close(self) -> Self {
        Self { auto_close: false, ..self }
    }

    /// The same, with acknowledged delivery.
    #[must_use]
    pub const fn with_acknowledged(self) -> Self {
        Self { acknowledged: true, ..self }
    }
}
