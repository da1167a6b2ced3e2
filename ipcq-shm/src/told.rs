//! What is told of a queue, with the feature `tracing`.

use std::fmt::{self, Write};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ipcq_core::{AcknowledgedQueue, Identity, Queue, QueueOptions, Wait};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::ShmTransport;
use crate::segment::Segment;
use ipcq_core::os::two_lock::TwoLock;

type Tested = Result<(), Box<dyn std::error::Error>>;

/// Keeps each event as a line: its level, and its fields as they come.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Vec<String>>>);

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "ipcq"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().expect("no listener fails").push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

/// What is told in this thread while `act` runs.
fn told(act: impl FnOnce() -> Tested) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let listener = Listener::default();
    tracing::subscriber::with_default(listener.clone(), act)?;
    let lines = std::mem::take(&mut *listener.0.lock().expect("no listener fails"));
    Ok(lines)
}

#[test]
fn the_life_of_a_queue_is_told() -> Tested {
    let directory = tempfile::tempdir()?;
    let shm = ShmTransport::in_directory(directory.path().join("queues"));
    let lines = told(|| {
        let options = QueueOptions::new().capacity(7);
        let jobs = Queue::<u8>::create(&shm, "jobs", &options)?;
        let same = Queue::<u8>::open(&shm, "jobs")?;
        jobs.put(1)?;
        same.get()?;
        same.close()?;
        Queue::<u8>::remove(&shm, "jobs")?;
        let left = Queue::<u8>::create(&shm, "left", &options.auto_close(true))?;
        left.register_producer()?;
        left.unregister_producer()?;
        Ok(())
    })?;
    let expected = [
        "DEBUG message=created queue=shm:jobs capacity=7 codec=\"bincode\"",
        "DEBUG message=opened queue=shm:jobs capacity=7 codec=\"bincode\"",
        "DEBUG message=closed queue=shm:jobs",
        "DEBUG message=removed queue=shm:jobs",
        "DEBUG message=created queue=shm:left capacity=7 codec=\"bincode\"",
        "DEBUG message=abandoned queue=shm:left",
    ];
    assert_eq!(lines, expected);
    Ok(())
}

#[test]
fn what_comes_back_and_a_long_sleep_are_told() -> Tested {
    let lines = told(|| {
        let shm = ShmTransport::new();
        let jobs = AcknowledgedQueue::<u8>::anonymous(&shm, &QueueOptions::new().capacity(7))?;
        jobs.put(1)?;
        drop(jobs.get()?);
        jobs.get()?.acknowledge()?;
        jobs.get_timeout(Duration::from_millis(100)).expect_err("it is empty");
        jobs.get_timeout(Duration::from_millis(1100)).expect_err("it is empty");
        Ok(())
    })?;
    let expected = [
        "DEBUG message=created queue=shm:(anonymous) capacity=7 codec=\"bincode\"",
        "DEBUG message=redelivered queue=shm:(anonymous) number=0 redeliveries=1",
        "DEBUG message=slept queue=shm:(anonymous) side=\"get\" seconds=1.",
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:?}");
    assert!(lines.iter().zip(expected).all(|(line, start)| line.starts_with(start)), "{lines:?}");
    Ok(())
}

/// By whoever finds the lock, and once the lock is free again: the listener may use the queue.
#[test]
fn a_death_inside_a_call_is_told() -> Tested {
    let identity = Identity::new(crate::NAME, None, 1, 100, &QueueOptions::new());
    let segment = Segment::create(tempfile::tempfile()?.into(), identity)?;
    let locks = [&segment.header().put.0.lock, &segment.header().get.0.lock];
    let lines = told(|| {
        for lock in locks {
            let life = || std::mem::forget(lock.lock(Wait::Forever));
            thread::scope(|scope| scope.spawn(life).join()).expect("a thread that ends by itself");
            segment.put(&[b"x"], Wait::No)?;
            segment.get(&mut Vec::new(), Wait::No)?;
        }
        Ok(())
    })?;
    let expected =
        ["put", "get"].map(|side| format!("WARN message=recovered queue=shm:(anonymous) side=\"{side}\""));
    assert_eq!(lines, expected);
    Ok(())
}
