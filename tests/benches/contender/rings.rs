//! `rtrb` between two threads of this process: a ring for one producer and one consumer, that only spins.

use std::sync::Barrier;
use std::thread;

use ipcq_cli::measure::job::{How, Report, Spin, get_each, ping, pong, put_each};
use ipcq_cli::measure::placement::Place;
use ipcq_cli::measure::{Fault, Job, Measured, combined};
use rtrb::{Consumer, Producer, RingBuffer};

use super::Running;

/// The longest message that is moved inside the ring; longer ones are one allocation each.
const INSIDE: usize = 64;

/// Rings for so many messages.
pub(super) struct Rings {
    pub(super) capacity: usize,
}

impl Running for Rings {
    fn measure(&mut self, job: Job) -> Result<Measured, Fault> {
        if job.size <= INSIDE {
            measure::<Inside>(self.capacity, job)
        } else {
            measure::<Box<[u8]>>(self.capacity, job)
        }
    }

    fn finish(self: Box<Self>) -> Result<(), Fault> {
        Ok(())
    }
}

/// A message on its way.
trait Payload: Send {
    fn of(message: &[u8]) -> Self;
    fn bytes(&self, size: usize) -> &[u8];
}

struct Inside([u8; INSIDE]);

impl Payload for Inside {
    fn of(message: &[u8]) -> Self {
        let mut bytes = [0; INSIDE];
        bytes[..message.len()].copy_from_slice(message);
        Self(bytes)
    }

    fn bytes(&self, size: usize) -> &[u8] {
        &self.0[..size]
    }
}

impl Payload for Box<[u8]> {
    fn of(message: &[u8]) -> Self {
        message.into()
    }

    fn bytes(&self, _size: usize) -> &[u8] {
        self
    }
}

/// What one side has.
struct Ends<P> {
    to: Producer<P>,
    from: Consumer<P>,
}

impl<P: Payload> Ends<P> {
    fn pair(capacity: usize) -> [Self; 2] {
        let ((forth, there), (back, here)) = (RingBuffer::new(capacity), RingBuffer::new(capacity));
        [Self { to: forth, from: here }, Self { to: back, from: there }]
    }

    fn run(&mut self, puts: bool, job: Job) -> Result<Report, String> {
        let Self { to, from } = self;
        let put = |message: &[u8]| {
            let (mut spin, mut message) = (Spin::default(), P::of(message));
            while let Err(rtrb::PushError::Full(back)) = to.push(message) {
                message = back;
                spin.turn();
            }
            Ok(())
        };
        let get = |message: &mut Vec<u8>| {
            let mut spin = Spin::default();
            loop {
                if let Ok(came) = from.pop() {
                    message.clear();
                    message.extend_from_slice(came.bytes(job.size));
                    return Ok(());
                }
                spin.turn();
            }
        };
        match (job.how, puts) {
            (How::RoundTrip(_), true) => ping(0, job, put, get),
            (How::RoundTrip(_), false) => pong(job, put, get),
            (_, true) => put_each(0, job, put),
            (_, false) => get_each(job, get),
        }
    }
}

fn measure<P: Payload>(capacity: usize, job: Job) -> Result<Measured, Fault> {
    let start = &Barrier::new(2);
    let side = |mut ends: Ends<P>, puts: bool| {
        move || {
            Place::here().settle(job.pair, puts);
            start.wait();
            let report = ends
                .run(puts, job)
                .unwrap_or_else(|fault| Report { fault: Some(fault), ..Report::default() });
            Report { put: puts, messages: job.messages, ..report }
        }
    };
    let [here, there] = Ends::pair(capacity);
    let reports = thread::scope(|scope| {
        let sides = [scope.spawn(side(here, true)), scope.spawn(side(there, false))];
        sides.map(|thread| thread.join().map_err(|_| Fault::failed("a thread of the benchmark failed")))
    });
    let reports: Result<Vec<_>, _> = reports.into_iter().collect();
    combined(job.how, &reports?)
}
