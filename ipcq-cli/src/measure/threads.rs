//! A reference: `crossbeam-channel` between threads of one process.
//!
//! Messages are moved as a program would that cares for speed: up to 64 bytes inside the channel, longer ones as
//! one allocation each, which the channel then hands over by pointer.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

use super::Fault;
use super::content::{Checker, Maker};
use super::crew::{Measured, Shape};
use super::job::{How, Job, Spin, Waiting, now};
use super::placement::Place;
use super::spread::percentiles;

/// The longest message that is moved inside the channel.
const INSIDE: usize = 64;

/// A message on its way through a channel.
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

/// What one thread did: when it began and ended, and the sum of its messages.
struct Done {
    began: u64,
    ended: u64,
    sum: u64,
}

/// Does `job` through a channel for `capacity` messages, and says how fast that was.
///
/// # Errors
/// When a message was lost or changed.
pub fn measure(shape: Shape, capacity: usize, job: Job) -> Result<Measured, Fault> {
    match (job.how, job.size <= INSIDE) {
        (How::RoundTrip(waiting) | How::Call(waiting), true) => round_trips::<Inside>(capacity, job, waiting),
        (How::RoundTrip(waiting) | How::Call(waiting), false) => {
            round_trips::<Box<[u8]>>(capacity, job, waiting)
        }
        (_, true) => throughput::<Inside>(shape, capacity, job),
        (_, false) => throughput::<Box<[u8]>>(shape, capacity, job),
    }
}

fn throughput<P: Payload>(shape: Shape, capacity: usize, job: Job) -> Result<Measured, Fault> {
    let (sender, receiver) = bounded::<P>(capacity);
    let start = &Barrier::new(shape.producers + shape.consumers);
    let put = Job { messages: job.messages / shape.producers, ..job };
    let got = Job { messages: job.messages / shape.consumers, ..job };
    let (producers, consumers) = thread::scope(|scope| {
        let producers: Vec<_> = (0..shape.producers)
            .map(|number| (u32::try_from(number).unwrap_or(u32::MAX), sender.clone()))
            .map(|(number, sender)| scope.spawn(move || produce(number, sender, start, put)))
            .collect();
        let consumers: Vec<_> = (0..shape.consumers)
            .map(|_| receiver.clone())
            .map(|receiver| scope.spawn(move || consume(receiver, start, got)))
            .collect();
        drop((sender, receiver));
        (producers.into_iter().map(joined).collect(), consumers.into_iter().map(joined).collect())
    });
    summarise(producers, consumers, job.messages)
}

fn produce<P: Payload>(number: u32, sender: Sender<P>, start: &Barrier, job: Job) -> Option<Done> {
    Place::here().settle(job.pair, true);
    let mut maker = Maker::new(number, job.size);
    start.wait();
    let began = now();
    for _ in 0..job.messages {
        sender.send(P::of(maker.make())).ok()?;
    }
    Some(Done { began, ended: now(), sum: maker.sum() })
}

fn consume<P: Payload>(receiver: Receiver<P>, start: &Barrier, job: Job) -> Option<Done> {
    Place::here().settle(job.pair, false);
    let mut checker = Checker::new(job.size);
    start.wait();
    let began = now();
    for _ in 0..job.messages {
        let message = receiver.recv().ok()?;
        checker.check(message.bytes(job.size)).then_some(())?;
    }
    Some(Done { began, ended: now(), sum: checker.sum() })
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, Option<T>>) -> Option<T> {
    thread.join().ok().flatten()
}

fn wrong() -> Fault {
    Fault::failed("the reference lost or changed a message")
}

fn summarise(
    producers: Option<Vec<Done>>,
    consumers: Option<Vec<Done>>,
    messages: usize,
) -> Result<Measured, Fault> {
    let (Some(producers), Some(consumers)) = (producers, consumers) else { return Err(wrong()) };
    let sum = |side: &[Done]| side.iter().fold(0_u64, |sum, done| sum.wrapping_add(done.sum));
    if sum(&producers) != sum(&consumers) {
        return Err(wrong());
    }
    let all = || producers.iter().chain(&consumers);
    let began = all().map(|done| done.began).min().unwrap_or(0);
    let ended = all().map(|done| done.ended).max().unwrap_or(0);
    Ok(Measured::new(messages, Duration::from_nanos(ended - began), 0, 0))
}

fn round_trips<P: Payload>(capacity: usize, job: Job, waiting: Waiting) -> Result<Measured, Fault> {
    let (forth, receiver) = bounded::<P>(capacity);
    let (sender, back) = bounded::<P>(capacity);
    let times = thread::scope(|scope| {
        let ping = scope.spawn(move || ping(&forth, &back, job, waiting));
        let pong = scope.spawn(move || pong(&receiver, &sender, job, waiting));
        joined(pong).and(joined(ping))
    });
    let mut times = times.ok_or_else(wrong)?;
    let total = times.iter().sum();
    let (p50, p99) = percentiles(&mut times);
    Ok(Measured::new(job.messages, Duration::from_nanos(total), p50, p99))
}

fn ping<P: Payload>(forth: &Sender<P>, back: &Receiver<P>, job: Job, waiting: Waiting) -> Option<Vec<u64>> {
    Place::here().settle(job.pair, true);
    let (mut maker, mut checker) = (Maker::new(0, job.size), Checker::new(job.size));
    let mut times = Vec::with_capacity(job.messages);
    for _ in 0..job.messages {
        job.how.pause();
        let before = now();
        forth.send(P::of(maker.make())).ok()?;
        let message = receive(back, waiting)?;
        checker.check(message.bytes(job.size)).then_some(())?;
        times.push(now() - before);
    }
    Some(times)
}

fn pong<P: Payload>(receiver: &Receiver<P>, sender: &Sender<P>, job: Job, waiting: Waiting) -> Option<()> {
    Place::here().settle(job.pair, false);
    let mut checker = Checker::new(job.size);
    for _ in 0..job.messages {
        let message: P = receive(receiver, waiting)?;
        let sound = checker.check(message.bytes(job.size));
        sender.send(message).ok()?;
        sound.then_some(())?;
    }
    Some(())
}

fn receive<P>(channel: &Receiver<P>, waiting: Waiting) -> Option<P> {
    if waiting != Waiting::Busy {
        return channel.recv().ok();
    }
    let mut spin = Spin::default();
    loop {
        match channel.try_recv() {
            Err(TryRecvError::Empty) => spin.turn(),
            received => return received.ok(),
        }
    }
}
