//! `demo`: the textbook program. Producers put their messages and exit; then consumers start and take until the
//! queue is empty.

use ipcq_cli::measure::Team;
use ipcq_core::{Channel, GetFault, QueueOptions, Transport, Wait};

use super::worker::command;
use crate::args::{DemoArgs, Role};
use crate::backend::{Backends, label};
use crate::failure::Failure;
use crate::output::print;

pub(super) fn run(backends: &Backends, args: DemoArgs) -> Result<(), Failure> {
    let transport = backends.default()?;
    let all = usize::try_from(args.messages).unwrap_or(usize::MAX).saturating_mul(args.producers);
    // Nobody consumes before all is in.
    let queue = transport.create_anonymous(&QueueOptions::new().capacity(all.max(1)))?;
    start(&*transport, &*queue, Role::DemoProducer, args.producers, args.messages)?.wait()?;
    start(&*transport, &*queue, Role::DemoConsumer, args.consumers, 0)?.wait()?;
    Ok(())
}

fn start(
    transport: &dyn Transport,
    queue: &dyn Channel,
    role: Role,
    processes: usize,
    messages: u32,
) -> Result<Team, Failure> {
    let mut team = Team::default();
    for number in 0..processes {
        let mut command = command(transport, role, number, messages);
        queue.share_with(&mut command)?;
        team.start(&mut command)?;
    }
    Ok(team)
}

/// What a producer process does.
pub(super) fn produce(transport: &dyn Transport, messages: u32) -> Result<(), Failure> {
    let queue = transport.inherited(0)?;
    for number in 0..messages {
        let message = format!("Message {number}");
        let put = queue.put(&[message.as_bytes()], Wait::Forever);
        put.map_err(|fault| Failure::put(&label(&*queue), &fault))?;
    }
    Ok(())
}

/// What a consumer process does.
pub(super) fn consume(transport: &dyn Transport) -> Result<(), Failure> {
    let queue = transport.inherited(0)?;
    let mut message = Vec::new();
    loop {
        match queue.get(&mut message, Wait::No) {
            Ok(()) => print(&format!("Consumed: {}\n", String::from_utf8_lossy(&message)))?,
            Err(GetFault::Empty | GetFault::Closed) => return Ok(()),
            Err(GetFault::Busy) => {}
            Err(fault) => return Err(Failure::get(&label(&*queue), &fault)),
        }
    }
}
