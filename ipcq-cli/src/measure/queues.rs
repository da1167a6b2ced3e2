//! What the processes of a benchmark do with queues.

use std::sync::Arc;

use ipcq_core::{Batch, Channel, GetFault, Limit, PutFault, Wait};

use super::content::{Checker, Maker};
use super::job::{
    How, Job, Report, Spin, Waiting, by_threads, ensure, get_each, now, ping, pong, put_each, time_each,
};

/// The queues of one process.
pub(super) struct Queues {
    pub(super) forth: Arc<dyn Channel>,
    pub(super) back: Arc<dyn Channel>,
}

impl Queues {
    /// Does `job` with them.
    pub(super) fn run(&self, puts: bool, number: u32, job: Job) -> Result<Report, String> {
        let put = |queue: &dyn Channel, message: &[u8]| {
            queue.put(&[message], Wait::Forever).map_err(|fault| fault.to_string())
        };
        let (forth, back) = (&*self.forth, &*self.back);
        match (job.how, puts) {
            (How::OneByOne, true) => put_each(number, job, |message| put(forth, message)),
            (How::OneByOne, false) => get_each(job, |message| receive(forth, message, Waiting::Blocking)),
            (How::Batches(batch), true) => self.put_batches(number, job, batch),
            (How::Batches(batch), false) => self.get_batches(job, batch),
            (How::RoundTrip(waiting), true) => {
                ping(number, job, |message| put(forth, message), |message| receive(back, message, waiting))
            }
            (How::RoundTrip(waiting), false) => {
                pong(job, |message| put(back, message), |message| receive(forth, message, waiting))
            }
            (How::Threads(threads), true) => by_threads(threads, job, |at, part| {
                put_each(number * u32::try_from(threads).unwrap_or(1) + at, part, |message| {
                    put(forth, message)
                })
            }),
            (How::Threads(threads), false) => by_threads(threads, job, |_, part| {
                get_each(part, |message| receive(forth, message, Waiting::Blocking))
            }),
            (How::Call(_), true) => self.put_with_reply(number, job),
            // The one that puts takes its messages out itself.
            (How::Call(_), false) => Ok(Report { began: now(), ended: now(), ..Report::default() }),
        }
    }

    /// Puts one message after the other, each into the empty queue.
    fn put_with_reply(&self, number: u32, job: Job) -> Result<Report, String> {
        let (queue, mut got) = (&*self.forth, Vec::with_capacity(job.size));
        let drain = |got: &mut Vec<u8>| match queue.get(got, Wait::No) {
            Ok(()) | Err(GetFault::Empty) => Ok(()),
            Err(fault) => Err(fault.to_string()),
        };
        time_each(
            number,
            job,
            || drain(&mut got).map(|()| job.how.pause()),
            |message, _| queue.put(&[message], Wait::Forever).map_err(|fault| fault.to_string()),
        )
    }

    fn put_batches(&self, number: u32, job: Job, size: usize) -> Result<Report, String> {
        let (mut maker, mut batch) = (Maker::new(number, job.size), Batch::new());
        let (mut left, began) = (job.messages, now());
        while left > 0 {
            batch.clear();
            for _ in 0..size.min(left) {
                maker.append(&mut batch);
            }
            let (count, end) = self.forth.put_many(&batch, 0, Wait::Forever);
            end.map_err(|fault: PutFault| fault.to_string())?;
            left -= count;
        }
        Ok(Report { began, ended: now(), sum: maker.sum(), ..Report::default() })
    }

    fn get_batches(&self, job: Job, size: usize) -> Result<Report, String> {
        let (mut checker, mut batch) = (Checker::new(job.size), Batch::new());
        let (mut left, began) = (job.messages, now());
        while left > 0 {
            batch.clear();
            let limit = Limit::messages(size.min(left));
            left -=
                self.forth.get_many(&mut batch, limit, Wait::Forever).map_err(|fault| fault.to_string())?;
            for message in batch.iter() {
                ensure(checker.check(message))?;
            }
        }
        Ok(Report { began, ended: now(), sum: checker.sum(), ..Report::default() })
    }
}

fn receive(queue: &dyn Channel, message: &mut Vec<u8>, waiting: Waiting) -> Result<(), String> {
    let wait = if waiting == Waiting::Busy { Wait::No } else { Wait::Forever };
    let mut spin = Spin::default();
    loop {
        match queue.get(message, wait) {
            Ok(()) => return Ok(()),
            Err(GetFault::Empty | GetFault::Busy) => spin.turn(),
            Err(fault) => return Err(fault.to_string()),
        }
    }
}
