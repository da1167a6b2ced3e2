//! What `create` takes.

use std::time::Duration;

use ipcq_core::{Capacity, QueueOptions};

use crate::listen::Listen;

use super::values::{capacity, duration, size, whole};

#[derive(Debug, clap::Args)]
pub(crate) struct CreateArgs {
    /// The name of the new queue
    #[arg(value_name = "NAME")]
    pub(crate) queue: String,
    /// How many messages it takes; max is the most that the transport can hold [default: 1000]
    #[arg(long, value_name = "N|max", value_parser = capacity, allow_hyphen_values = true)]
    pub(crate) capacity: Option<Capacity>,
    /// The longest message it takes [default: 1GiB]
    #[arg(long, value_name = "SIZE", value_parser = size, allow_hyphen_values = true)]
    pub(crate) max_message: Option<usize>,
    /// Who may open it, as file permissions
    #[arg(long, default_value = "600", value_parser = ["600", "660", "666"])]
    pub(crate) mode: String,
    /// Close it when its last producer has left
    #[arg(long)]
    pub(crate) auto_close: bool,
    /// Keep a message until its getter has acknowledged it; what a getter that died had goes back to its place
    #[arg(long)]
    pub(crate) acknowledged: bool,
    /// Move a message that would be handed out again more often than this to the queue NAME.dead
    #[arg(long, value_name = "N", requires = "acknowledged", value_parser = whole::<u32>, allow_hyphen_values = true)]
    pub(crate) max_redeliveries: Option<u32>,
    /// Give a message that its getter has kept for so long to another one
    #[arg(long, value_name = "D", requires = "acknowledged", value_parser = duration, allow_hyphen_values = true)]
    pub(crate) lease: Option<Duration>,
    #[command(flatten)]
    pub(crate) listen: Listen,
}

impl CreateArgs {
    /// What the queue is made with.
    pub(crate) fn options(&self) -> QueueOptions {
        let mode = match self.mode.as_str() {
            "666" => 0o666,
            "660" => 0o660,
            _ => 0o600,
        };
        let options = QueueOptions::new()
            .capacity(self.capacity.unwrap_or(Capacity::Exactly(QueueOptions::DEFAULT_CAPACITY)))
            .max_message(self.max_message.unwrap_or(QueueOptions::DEFAULT_MAX_MESSAGE))
            .mode(mode)
            .auto_close(self.auto_close)
            .acknowledged(self.acknowledged);
        let options = match self.max_redeliveries {
            Some(times) => options.max_redeliveries(times),
            None => options,
        };
        match self.lease {
            Some(lease) => options.lease(lease),
            None => options,
        }
    }
}
