//! What a queue is measured beside, in turns with it.

use std::time::Duration;

use ipcq_cli::measure::job::How;
use ipcq_cli::measure::raw_pipe::{self, RawPipe};
use ipcq_cli::measure::raw_socket::{self, Relay};
use ipcq_cli::measure::{Crew, Fault, Job, Measured, Shape, threads};
use ipcq_core::Transport;

use super::launch;
use crate::backend;
use crate::failure::Failure;

/// What a queue is measured beside.
pub(super) enum Reference {
    /// `crossbeam-channel` between threads of this process, of so many messages.
    Threads { capacity: usize },
    /// Kernel pipes between processes, as many as use the queue, without anything around them.
    RawPipes(Crew),
    /// Unix sockets between two processes without anything around them, directly or by way of this one.
    RawSockets(Crew, Option<Relay>),
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
        if !backend::is_made_of_pipes(transport) || !raw_pipe::carries(size, shape) {
            return Ok(Self::Threads { capacity });
        }
        let failed = |error| Failure::system("a pipe to measure beside could not be made", &error);
        let (forth, back) = (RawPipe::new(size).map_err(failed)?, RawPipe::new(size).map_err(failed)?);
        Ok(Self::RawPipes(Crew::start_on_pipes(
            transport,
            [forth, back],
            shape,
            patience,
            &launch(transport),
        )?))
    }

    /// What one exchange of messages of `size` bytes on `transport` is measured beside.
    pub(super) fn start_for(
        how: How,
        transport: &dyn Transport,
        size: usize,
        capacity: usize,
        patience: Duration,
    ) -> Result<Self, Failure> {
        if !backend::is_made_of_sockets(transport) || !raw_socket::SIZES.contains(&size) {
            return Self::start(transport, Shape { producers: 1, consumers: 1 }, size, capacity, patience);
        }
        let failed = |error| Failure::system("a socket to measure beside could not be made", &error);
        let (relay, sockets) = match how {
            How::Call(_) => (None, raw_socket::direct().map_err(failed)?),
            _ => Relay::start().map(|(relay, sockets)| (Some(relay), sockets)).map_err(failed)?,
        };
        Ok(Self::RawSockets(Crew::start_on_sockets(transport, sockets, patience, &launch(transport))?, relay))
    }

    /// What results call it.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Threads { .. } => "crossbeam-channel",
            Self::RawPipes(_) => "raw pipe",
            Self::RawSockets(_, None) => "Unix socket",
            Self::RawSockets(_, Some(_)) => "relayed Unix socket",
        }
    }

    /// Does `job`, and says how fast that was.
    pub(super) fn measure(&mut self, shape: Shape, job: Job) -> Result<Measured, Fault> {
        match self {
            Self::Threads { capacity } => threads::measure(shape, *capacity, job),
            Self::RawPipes(crew) => crew.measure(job),
            Self::RawSockets(crew, relay) => {
                let set_busy = |busy: bool| relay.iter().for_each(|relay| relay.set_busy(busy));
                set_busy(job.how.is_busy());
                let measured = crew.measure(job);
                set_busy(false);
                measured
            }
        }
    }

    /// Ends its processes.
    pub(super) fn finish(self) -> Result<(), Failure> {
        match self {
            Self::Threads { .. } => Ok(()),
            Self::RawPipes(crew) | Self::RawSockets(crew, _) => Ok(crew.finish()?),
        }
    }
}
