//! `get`: messages out of a queue onto stdout, or to commands.

mod exec;
mod terms;

use std::sync::Arc;
use std::time::Duration;

use ipcq_core::{Batch, Channel, DeliveryTag, GetFault, Limit, Wait};

use self::terms::Terms;
use crate::args::{Framing, GetArgs};
use crate::backend::{Backends, label};
use crate::closed_stdout;
use crate::diagnostics::Diagnostics;
use crate::failure::{Failure, Status};
use crate::output::{AHEAD, Output, Unwritten};
use crate::tally::messages;
use crate::waiting::at_most;

/// How many messages are taken at once: with their delimiters they stay near [`AHEAD`] bytes.
const BATCH: usize = AHEAD / 4;
/// How often a waiting `get` looks whether anybody still reads stdout: rare enough to cost nothing.
const LOOK_AT_STDOUT: Duration = Duration::from_secs(1);

pub(super) fn run(backends: &Backends, args: &GetArgs, diagnostics: &Diagnostics) -> Result<(), Failure> {
    let terms = Terms { amount: args.amount, wait: args.wait };
    if let Some(words) = &args.exec {
        let (channel, task) = (backends.open(&args.queue)?, exec::Task::new(words)?);
        return exec::run(&*channel, terms, &task, args.jobs, *diagnostics);
    }
    let channel = backends.open(&args.queue)?;
    let framing = Framing::from(args.framing);
    check_lengths(&*channel, framing)?;
    if closed_stdout::is_closed() {
        diagnostics.note(&format!("stdout is closed; nothing was taken from queue {}", label(&*channel)));
        return Ok(());
    }
    let output =
        Output::new(framing).map_err(|error| Failure::system("stdout could not be written", &error))?;
    let mut getter = Getter::new(channel, terms, output, *diagnostics);
    let end = getter.get_all();
    diagnostics.detail(&format!("got {} from queue {}", messages(getter.done), getter.queue));
    end
}

/// Refuses to take messages whose length could not be written before them.
fn check_lengths(channel: &dyn Channel, framing: Framing) -> Result<(), Failure> {
    let max = channel.identity().max_message;
    if framing == Framing::LengthPrefixed && u32::try_from(max).is_err() {
        return Err(Failure::failed(format!(
            "queue {} takes messages of up to {max} bytes, and a length of 32 bits cannot say that; use --raw",
            label(channel)
        )));
    }
    Ok(())
}

/// Takes messages from a queue, writes them, and counts them.
struct Getter {
    channel: Arc<dyn Channel>,
    queue: String,
    terms: Terms,
    output: Output,
    diagnostics: Diagnostics,
    /// How many were taken and written.
    done: u64,
    /// What is in the batch of an acknowledged queue, in its order.
    held: Vec<DeliveryTag>,
}

/// What became of one attempt to get messages.
enum Step {
    /// Some are in the batch.
    Got,
    /// None will come any more, or none came in time.
    Ended(GetFault),
    /// Nobody reads stdout any more, and nothing was taken.
    NoReader,
}

impl Getter {
    fn new(channel: Arc<dyn Channel>, terms: Terms, output: Output, diagnostics: Diagnostics) -> Self {
        let queue = label(&*channel);
        Self { channel, queue, terms, output, diagnostics, done: 0, held: Vec::new() }
    }

    fn get_all(&mut self) -> Result<(), Failure> {
        let wanted = self.terms.wanted();
        let mut batch = Batch::new();
        while self.done < wanted {
            batch.clear();
            let at_once = usize::try_from(wanted - self.done).unwrap_or(BATCH).min(BATCH);
            match self.step(&mut batch, Limit::messages(at_once).with_bytes(AHEAD)) {
                Step::NoReader => return Ok(()),
                Step::Ended(fault) => return self.terms.end(&self.queue, self.done, &fault),
                Step::Got => {
                    let written = self.output.write(&batch);
                    let unwritten = written.as_ref().err().map_or(0, |unwritten| unwritten.messages);
                    let settled = self.settle(batch.len() - unwritten.min(batch.len()));
                    if let Err(unwritten) = written {
                        return self.not_written(&unwritten);
                    }
                    settled?;
                    self.done += u64::try_from(batch.len()).unwrap_or(0);
                }
            }
        }
        Ok(())
    }

    /// Waits for messages as long as the user allows and somebody reads stdout.
    fn step(&mut self, batch: &mut Batch, limit: Limit) -> Step {
        let mut wait = self.terms.wait();
        loop {
            if self.output.is_closed() {
                return Step::NoReader;
            }
            let now = at_most(wait, LOOK_AT_STDOUT);
            match self.take(batch, limit, now) {
                Ok(()) => return Step::Got,
                Err(GetFault::Timeout) if now != wait => {}
                Err(fault) => match self.terms.try_again(&fault, wait) {
                    Some(again) => wait = again,
                    None => return Step::Ended(fault),
                },
            }
        }
    }

    /// Takes messages; those of an acknowledged queue are still to be settled.
    fn take(&mut self, batch: &mut Batch, limit: Limit, wait: Wait) -> Result<(), GetFault> {
        if !self.channel.identity().acknowledged {
            return self.channel.get_many(batch, limit, wait).map(|_| ());
        }
        let (mut message, mut wait) = (Vec::new(), wait);
        // Half of the bytes, because how long the next one is is known only once it is taken.
        while batch.len() < limit.max_messages() && batch.byte_len() < limit.max_bytes() / 2 {
            match self.channel.get_delivery(&mut message, wait) {
                Ok(tag) => {
                    batch.push(&message);
                    self.held.push(tag);
                }
                Err(_) if !batch.is_empty() => break,
                Err(fault) => return Err(fault),
            }
            // More are taken only as far as they are there.
            wait = Wait::No;
        }
        Ok(())
    }

    /// Acknowledges the first messages of the batch, which were written, and gives the others back.
    fn settle(&mut self, written: usize) -> Result<(), Failure> {
        let mut failed = None;
        for (place, tag) in self.held.drain(..).enumerate() {
            let settled =
                if place < written { self.channel.acknowledge(&tag) } else { self.channel.give_back(&tag) };
            failed = failed.or(settled.err());
        }
        let queue = &self.queue;
        failed.map_or(Ok(()), |fault| {
            Err(Failure::failed(format!(
                "a message of queue {queue} was written and could not be acknowledged ({fault}); it may be handed \
                 out again"
            )))
        })
    }

    /// Says what was taken and is lost. That nobody reads any more is the reader's choice, and no failure.
    fn not_written(&self, unwritten: &Unwritten) -> Result<(), Failure> {
        let count = u64::try_from(unwritten.messages).unwrap_or(u64::MAX);
        let fate = if self.channel.identity().acknowledged { ", and went back" } else { "" };
        let lost = format!("{} taken from queue {} could not be written{fate}", messages(count), self.queue);
        if unwritten.is_closed() {
            self.diagnostics.note(&format!("stdout was closed; {lost}"));
            return Ok(());
        }
        let cause = crate::failure::cause(&unwritten.error);
        Err(Failure::new(Status::Failed, format!("stdout could not be written ({cause}); {lost}")))
    }
}
