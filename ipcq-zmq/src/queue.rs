//! A handle of a queue: what [`Channel`] asks for, as requests to its broker.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ipcq_core::os::directory::QueueDirectory;
use ipcq_core::os::process;
use ipcq_core::{
    BackendError, BackendErrorKind, Batch, Channel, DeliveryFault, DeliveryTag, GetFault, Identity,
    JoinFault, Limit, PutFault, Stat, Wait,
};

use crate::NAME;
use crate::client::{Client, Failed};
use crate::past::Patience;
use crate::share;
use crate::together;
use crate::wire::{Op, STAT_FIELDS, Status};

/// Which number of a STAT reply is that of the messages in flight.
const IN_FLIGHT: usize = 7;

/// A handle. Each counts as a producer of its process from its first put until it is dropped.
#[derive(Debug)]
pub(crate) struct ZmqChannel {
    client: Arc<Client>,
    /// The epoch of the process in which this handle is a producer; 0 for none.
    producer: AtomicU64,
}

impl ZmqChannel {
    /// A handle. The first one of a process that its parent registered as a producer stands for that.
    pub(crate) fn new(client: Arc<Client>) -> Self {
        let expected = client.take_expected();
        let new = Self { client, producer: AtomicU64::new(0) };
        if expected {
            new.producer.store(process::epoch(), Ordering::Relaxed);
            new.client.producers().1 += 1;
        }
        new
    }

    #[inline]
    fn be_producer(&self) -> Result<(), BackendError> {
        if self.identity().auto_close { self.register_producer() } else { Ok(()) }
    }

    /// Asks for something that has no waiting to do.
    fn govern(&self, op: Op) -> Result<(), BackendError> {
        let client = &self.client;
        let reply = client.with_connection(Wait::No, |connection| {
            let request = Client::request(connection, op, Wait::Forever);
            client.exchange(connection, &request, &[])
        });
        let reply = reply.map_err(|failed| client.plain(failed))?;
        match Status::parse(reply.header.code) {
            Some(Status::Ok) => Ok(()),
            Some(Status::Gone) => {
                client.note_removal();
                Err(client.gone())
            }
            _ => Err(client.nonsense()),
        }
    }

    /// The numbers of the queue at one instant.
    fn numbers(&self) -> Result<[u64; STAT_FIELDS], BackendError> {
        let client = &self.client;
        let reply = client.with_connection(Wait::No, |connection| {
            let request = Client::request(connection, Op::Stat, Wait::Forever);
            client.exchange(connection, &request, &[])
        });
        let reply = reply.map_err(|failed| client.plain(failed))?;
        if Status::parse(reply.header.code) == Some(Status::Gone) {
            client.note_removal();
            return Err(client.gone());
        }
        let bytes = reply.frames.first().filter(|bytes| bytes.len() >= STAT_FIELDS * 8);
        let bytes = bytes.ok_or_else(|| client.nonsense())?;
        let mut numbers = [0; STAT_FIELDS];
        for (number, bytes) in numbers.iter_mut().zip(bytes.chunks_exact(8)) {
            *number = bytes.try_into().map_or(0, u64::from_be_bytes);
        }
        Ok(numbers)
    }

    fn location(&self) -> String {
        let identity = self.identity();
        let location = match (&identity.reached_at, &identity.name, &identity.directory) {
            (Some(address), ..) => return address.clone(),
            (None, Some(name), Some(directory)) => {
                directory.join(QueueDirectory::file_name(name, NAME)).display().to_string()
            }
            _ => "(anonymous socket)".to_owned(),
        };
        match self.client.port {
            0 => location,
            port => format!("{location} and TCP port {port}"),
        }
    }
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl Channel for ZmqChannel {
    fn identity(&self) -> &Identity {
        self.client.identity()
    }

    fn put(&self, parts: &[&[u8]], wait: Wait) -> Result<(), PutFault> {
        self.be_producer()?;
        let (client, patience) = (&self.client, Patience::of(wait));
        let wait = patience.wait;
        if wait == Wait::Forever && together::fits(parts) {
            return client.put_together(parts);
        }
        let put = client.with_connection(wait, |connection| client.put(connection, parts, wait));
        put.unwrap_or_else(|failed| Err(client.put_fault(failed, wait))).map_err(|fault| patience.put(fault))
    }

    fn get(&self, message: &mut Vec<u8>, wait: Wait) -> Result<(), GetFault> {
        let (client, patience) = (&self.client, Patience::of(wait));
        let wait = patience.wait;
        if wait == Wait::Forever {
            return client.get_together(message);
        }
        let got = client.with_connection(wait, |connection| client.get(connection, message, wait));
        got.unwrap_or_else(|failed| Err(client.get_fault(failed, wait))).map_err(|fault| patience.get(fault))
    }

    fn put_many(&self, batch: &Batch, from: usize, wait: Wait) -> (usize, Result<(), PutFault>) {
        if let Err(error) = self.be_producer() {
            return (0, Err(error.into()));
        }
        let patience = Patience::of(wait);
        let (done, put) = self.client.put_many(batch, from, patience.wait);
        (done, put.map_err(|fault| patience.put(fault)))
    }

    fn get_many(&self, batch: &mut Batch, limit: Limit, wait: Wait) -> Result<usize, GetFault> {
        if limit.max_messages() == 0 {
            return Ok(0);
        }
        let (client, patience) = (&self.client, Patience::of(wait));
        let wait = patience.wait;
        let got = client.with_connection(wait, |connection| client.get_many(connection, batch, limit, wait));
        got.unwrap_or_else(|failed| Err(client.get_fault(failed, wait))).map_err(|fault| patience.get(fault))
    }

    fn get_delivery(&self, message: &mut Vec<u8>, wait: Wait) -> Result<DeliveryTag, GetFault> {
        let patience = Patience::of(wait);
        self.client.get_delivery(message, patience.wait).map_err(|fault| patience.get(fault))
    }

    fn acknowledge(&self, tag: &DeliveryTag) -> Result<(), DeliveryFault> {
        self.client.settle(Op::Acknowledge, tag)
    }

    fn give_back(&self, tag: &DeliveryTag) -> Result<(), DeliveryFault> {
        self.client.settle(Op::GiveBack, tag)
    }

    fn in_flight(&self) -> Result<usize, BackendError> {
        self.numbers().map(|numbers| size(numbers[IN_FLIGHT]))
    }

    fn join(&self, wait: Wait) -> Result<(), JoinFault> {
        self.client.join(wait)
    }

    fn len(&self) -> Result<usize, BackendError> {
        self.numbers().map(|numbers| size(numbers[0]))
    }

    fn is_full(&self) -> Result<bool, BackendError> {
        let full = |numbers: [u64; STAT_FIELDS]| size(numbers[0].saturating_add(numbers[IN_FLIGHT]));
        self.numbers().map(|numbers| full(numbers) >= self.identity().capacity)
    }

    fn is_closed(&self) -> Result<bool, BackendError> {
        self.numbers().map(|numbers| numbers[1] != 0)
    }

    fn close(&self) -> Result<(), BackendError> {
        self.govern(Op::Close)
    }

    fn stat(&self) -> Result<Stat, BackendError> {
        let [len, closed, bytes, puts, gets, putters, getters, in_flight, redelivered, counted @ ..] =
            self.numbers()?;
        let mut stat = Stat::new(size(len), closed != 0, self.location());
        (stat.bytes, stat.puts, stat.gets) = (bytes, puts, gets);
        (stat.waiting_putters, stat.waiting_getters) = (size(putters), size(getters));
        (stat.in_flight, stat.redelivered) = (size(in_flight), redelivered);
        [stat.bytes_put, stat.put_waits, stat.get_waits, stat.recoveries] = counted;
        Ok(stat)
    }

    fn register_producer(&self) -> Result<(), BackendError> {
        let epoch = process::epoch();
        if self.producer.load(Ordering::Relaxed) == epoch {
            return Ok(());
        }
        let mut producers = self.client.producers();
        if self.producer.load(Ordering::Relaxed) == epoch {
            return Ok(());
        }
        if producers.1 == 0 && self.identity().auto_close {
            self.govern(Op::Register)?;
        }
        producers.1 += 1;
        self.producer.store(epoch, Ordering::Relaxed);
        Ok(())
    }

    fn unregister_producer(&self) -> Result<(), BackendError> {
        let epoch = process::epoch();
        if self.producer.load(Ordering::Relaxed) != epoch {
            return Ok(());
        }
        let mut producers = self.client.producers();
        if self.producer.swap(0, Ordering::Relaxed) != epoch {
            return Ok(());
        }
        producers.1 = producers.1.saturating_sub(1);
        if producers.1 == 0 && self.identity().auto_close { self.govern(Op::Unregister) } else { Ok(()) }
    }

    fn share_with(&self, command: &mut Command) -> Result<(), BackendError> {
        share::share_with(command, &self.client)
    }
}

impl Drop for ZmqChannel {
    fn drop(&mut self) {
        // A broker that is gone has nobody to tell.
        let _ = self.unregister_producer();
    }
}

impl Client {
    /// Ends the queue for everyone; returns whether it had not ended before.
    pub(crate) fn remove(&self) -> Result<bool, BackendError> {
        let reply = self.with_connection(Wait::No, |connection| {
            let request = Self::request(connection, Op::Remove, Wait::Forever);
            self.exchange(connection, &request, &[])
        });
        let status = match reply {
            Ok(reply) => Status::parse(reply.header.code),
            Err(Failed::Backend(error)) if error.is_gone() => Some(Status::Gone),
            Err(failed) => return Err(self.plain(failed)),
        };
        self.note_removal();
        Ok(status == Some(Status::Ok))
    }

    /// What an answer is that makes no sense.
    pub(crate) fn nonsense(&self) -> BackendError {
        self.error(BackendErrorKind::Damaged, "its broker answered what makes no sense")
            .with_advice("something else may listen on its socket: remove the queue and make it again")
    }

    pub(crate) fn put_fault(&self, failed: Failed, wait: Wait) -> PutFault {
        match (failed, wait) {
            (Failed::GivenUp, Wait::No) => PutFault::Busy,
            (Failed::GivenUp, _) => PutFault::Timeout,
            (Failed::Backend(error), _) if error.is_gone() && self.is_removed() => PutFault::Closed,
            (Failed::Backend(error), _) => PutFault::Backend(error),
        }
    }

    pub(crate) fn get_fault(&self, failed: Failed, wait: Wait) -> GetFault {
        match (failed, wait) {
            (Failed::GivenUp, Wait::No) => GetFault::Busy,
            (Failed::GivenUp, _) => GetFault::Timeout,
            (Failed::Backend(error), _) if error.is_gone() && self.is_removed() => GetFault::Closed,
            (Failed::Backend(error), _) => GetFault::Backend(error),
        }
    }
}
