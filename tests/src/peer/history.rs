//! A process that does random things to one queue after the other and says what it did and saw, and when.

use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use ipcq_core::{Batch, Channel, GetFault, Limit, PutFault, QueueName, Transport, Wait};

use super::{Played, say};
use crate::history::{Call, Effect};
use crate::messages::{message, number_of};
use crate::process::now;

/// How many calls a process makes on each queue.
const CALLS: u32 = 12;
/// How long a call of a history waits: long enough to sleep, short enough for many histories.
const PATIENCE: Duration = Duration::from_micros(300);

/// Plays, for each line `QUEUE START SEED` of standard input, one round: opens the queue, waits until the clock says
/// START, makes its calls, and writes them as one line of json. `seat` tells this process from the others.
pub(super) fn take_part(transport: &dyn Transport, seat: u32) -> Played {
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let [queue, start, seed] = line.split(' ').collect::<Vec<_>>()[..] else {
            return Err(format!("not a round: {line}").into());
        };
        let channel = transport.open(&QueueName::new(queue)?)?;
        let start: u64 = start.parse()?;
        let mut player =
            Player { channel, random: seed.parse::<u64>()? | 1, next: seat << 16, calls: Vec::new() };
        while now() < start {
            std::hint::spin_loop();
        }
        for _ in 0..CALLS {
            player.call()?;
        }
        say(&serde_json::to_string(&player.calls)?)?;
    }
    Ok(())
}

struct Player {
    channel: Arc<dyn Channel>,
    random: u64,
    /// The number of the next message, of which no other process makes one.
    next: u32,
    calls: Vec<Call>,
}

impl Player {
    /// A random number below `below`.
    fn pick(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % below
    }

    /// Makes one random call and records it.
    fn call(&mut self) -> Played {
        let wait = if self.pick(2) == 0 { Wait::No } else { Wait::timeout(PATIENCE) };
        match self.pick(40) {
            0..10 => self.put(wait),
            10..14 => self.put_many(wait),
            14..24 => self.get(wait),
            24..28 => self.get_many(wait),
            28..31 => self.observe(|channel| Ok(Effect::Len(channel.len()?))),
            31..34 => self.observe(|channel| Ok(Effect::IsEmpty(channel.is_empty()?))),
            34..37 => self.observe(|channel| Ok(Effect::IsFull(channel.is_full()?))),
            37..39 => self.observe(|channel| Ok(Effect::IsClosed(channel.is_closed()?))),
            _ if self.pick(3) == 0 => self.observe(|channel| channel.close().map(|()| Effect::Close)),
            _ => self.put(Wait::No),
        }
    }

    /// Runs `action` between two looks at the clock. The fences keep the action, also as others see it, between them.
    fn timed<R>(&self, action: impl FnOnce(&dyn Channel) -> R) -> (u64, R, u64) {
        let began = now();
        fence(Ordering::SeqCst);
        let result = action(&*self.channel);
        fence(Ordering::SeqCst);
        (began, result, now())
    }

    fn record(&mut self, began: u64, effects: Vec<Effect>, returned: u64) {
        self.calls.push(Call { began, returned, effects });
    }

    fn fresh(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn put(&mut self, wait: Wait) -> Played {
        let number = self.fresh();
        let bytes = message(number);
        let (began, result, returned) = self.timed(|channel| channel.put(&[&bytes], wait));
        let effects = match result {
            Ok(()) => vec![Effect::Put(number)],
            Err(fault) => effect_of_put(fault)?.into_iter().collect(),
        };
        self.record(began, effects, returned);
        Ok(())
    }

    fn put_many(&mut self, wait: Wait) -> Played {
        let first = self.next + 1;
        let mut batch = Batch::new();
        for _ in 0..2 + self.pick(3) {
            batch.push(&message(self.fresh()));
        }
        let (began, (done, result), returned) = self.timed(|channel| channel.put_many(&batch, 0, wait));
        let mut effects: Vec<_> = (first..).map(Effect::Put).take(done).collect();
        if let Err(fault) = result {
            effects.extend(effect_of_put(fault)?);
        }
        self.record(began, effects, returned);
        Ok(())
    }

    fn get(&mut self, wait: Wait) -> Played {
        let mut bytes = Vec::new();
        let (began, result, returned) = self.timed(|channel| channel.get(&mut bytes, wait));
        let effects = match result {
            Ok(()) => vec![Effect::Got(number_of(&bytes)?)],
            Err(fault) => effect_of_get(fault)?.into_iter().collect(),
        };
        self.record(began, effects, returned);
        Ok(())
    }

    fn get_many(&mut self, wait: Wait) -> Played {
        let mut batch = Batch::new();
        let limit = Limit::messages(3);
        let (began, result, returned) = self.timed(|channel| channel.get_many(&mut batch, limit, wait));
        let effects = match result {
            Ok(_) => batch.iter().map(|bytes| number_of(bytes).map(Effect::Got)).collect::<Result<_, _>>()?,
            Err(fault) => effect_of_get(fault)?.into_iter().collect(),
        };
        self.record(began, effects, returned);
        Ok(())
    }

    fn observe(
        &mut self,
        look: impl FnOnce(&dyn Channel) -> Result<Effect, ipcq_core::BackendError>,
    ) -> Played {
        let (began, effect, returned) = self.timed(look);
        self.record(began, vec![effect?], returned);
        Ok(())
    }
}

fn effect_of_put(fault: PutFault) -> Result<Option<Effect>, PutFault> {
    match fault {
        PutFault::Full => Ok(Some(Effect::Full)),
        PutFault::Closed => Ok(Some(Effect::PutClosed)),
        PutFault::Busy | PutFault::Timeout => Ok(None),
        other => Err(other),
    }
}

fn effect_of_get(fault: GetFault) -> Result<Option<Effect>, GetFault> {
    match fault {
        GetFault::Empty => Ok(Some(Effect::Empty)),
        GetFault::Closed => Ok(Some(Effect::GetClosed)),
        GetFault::Busy | GetFault::Timeout => Ok(None),
        other => Err(other),
    }
}
