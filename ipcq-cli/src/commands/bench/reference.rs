//! What a queue is measured beside, in turns with it.

use std::time::Duration;

use ipcq_core::Transport;

use super::crew::{Crew, Measured, Shape};
use super::job::How;
use super::raw_pipe::{self, PacketPipe};
use super::threads;
use crate::backend;
use crate::failure::Failure;

/// What a queue is measured beside.
pub(super) enum Reference {
    /// `crossbeam-channel` between threads of this process, of so many messages.
    Threads { capacity: usize },
    /// Kernel pipes between processes, as many as use the queue, without anything around them.
    RawPipes(Crew),
}

impl Reference {
    /// What messages of `size` bytes in queues of `transport` are measured beside.
    pub(super) fn start(
        transport: &dyn Transport,
        shape: Shape,
        size: usize,
        capacity: usize,
        patience: Duration,
    ) -> Result<Self, Failure> {
        if !backend::is_made_of_pipes(transport) || !raw_pipe::SIZES.contains(&size) {
            return Ok(Self::Threads { capacity });
        }
        let failed = |error| Failure::system("a pipe to measure beside could not be made", &error);
        let (forth, back) = (PacketPipe::new().map_err(failed)?, PacketPipe::new().map_err(failed)?);
        Ok(Self::RawPipes(Crew::start_on_pipes(transport, [forth, back], shape, patience)?))
    }

    /// What results call it.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Threads { .. } => "crossbeam-channel",
            Self::RawPipes(_) => "raw pipe",
        }
    }

    /// Moves `messages` messages of `size` bytes, and says how fast that was.
    pub(super) fn measure(
        &mut self,
        shape: Shape,
        how: How,
        size: usize,
        messages: usize,
    ) -> Result<Measured, Failure> {
        match self {
            Self::Threads { capacity } => threads::measure(shape, how, size, *capacity, messages),
            Self::RawPipes(crew) => crew.measure(how, size, messages),
        }
    }

    /// Ends its processes.
    pub(super) fn finish(self) -> Result<(), Failure> {
        match self {
            Self::Threads { .. } => Ok(()),
            Self::RawPipes(crew) => crew.finish(),
        }
    }
}
