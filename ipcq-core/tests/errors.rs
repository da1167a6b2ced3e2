//! What errors say: which queue, what happened, what to do next; and what they hand back.
#![cfg(feature = "bincode")]

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use ipcq_core::memory::MemoryTransport;
use ipcq_core::{
    BackendError, BackendErrorKind, CreateError, GetTimeoutError, OpenError, PutTimeoutError, Queue,
    QueueAddress, QueueName, QueueOptions, RemoveError, Transport, TryGetError, TryPutError, Wait,
};

/// Neither `Debug` nor `Display`: errors must not need them.
#[derive(serde::Serialize, serde::Deserialize)]
struct Opaque(u32);

fn jobs<T: serde::Serialize + serde::de::DeserializeOwned>(
    options: &QueueOptions,
) -> (MemoryTransport, Queue<T>) {
    let transport = MemoryTransport::new();
    let queue = Queue::create(&transport, "jobs", options).unwrap();
    (transport, queue)
}

/// A sentence as errors are written here.
fn well_formed(error: &(dyn Error + 'static)) -> String {
    let text = error.to_string();
    assert!(!text.ends_with('.') && !text.contains("Error") && !text.contains("::"), "{text}");
    assert!(!text.starts_with(|c: char| c.is_uppercase()), "{text}");
    if let Some(source) = error.source() {
        assert!(!text.contains(&source.to_string()), "{text:?} repeats its source {source}");
    }
    text
}

#[test]
fn put_errors_name_the_queue_and_the_way_on() {
    let (_transport, queue) = jobs::<Opaque>(&QueueOptions::new().capacity(1).max_message(1));
    let too_long = queue.put(Opaque(1000)).unwrap_err();
    assert_eq!(
        well_formed(&too_long),
        "the message has 3 bytes, and queue memory:jobs takes 1 at most; \
         split it, or make the queue with a higher message limit"
    );
    queue.put(Opaque(1)).unwrap();
    assert_eq!(
        well_formed(&queue.try_put(Opaque(2)).unwrap_err()),
        "queue memory:jobs is full; get messages from it, or wait for room"
    );
    assert_eq!(
        well_formed(&queue.put_deadline(Opaque(2), Instant::now()).unwrap_err()),
        "the time to put a message into queue memory:jobs ran out; try again, or wait longer"
    );
    queue.close().unwrap();
    let closed = queue.put(Opaque(2)).unwrap_err();
    assert_eq!(
        well_formed(&closed),
        "queue memory:jobs is closed; it takes no more messages, so put to another one"
    );
    assert_eq!(closed.queue(), "memory:jobs");
    assert_eq!(
        format!("{closed:?}"),
        r#"PutError { queue: "memory:jobs", cause: "closed", source: None, .. }"#
    );
}

#[test]
fn get_errors_name_the_queue_and_the_way_on() {
    let (_transport, queue) = jobs::<Opaque>(&QueueOptions::new());
    assert_eq!(
        well_formed(&queue.try_get().err().unwrap()),
        "queue memory:jobs is empty; put messages into it, or wait for one"
    );
    assert_eq!(
        well_formed(&queue.get_deadline(Instant::now()).err().unwrap()),
        "the time to get a message from queue memory:jobs ran out; try again, or wait longer"
    );
    queue.channel().put(&[&[1, 2]], Wait::No).unwrap();
    let broken = queue.get().err().unwrap();
    assert_eq!(
        well_formed(&broken),
        "a message from queue memory:jobs is not what codec bincode writes for this type; \
         it was taken, and the error holds its bytes (2 of them)"
    );
    assert_eq!(broken.source().unwrap().to_string(), "1 bytes follow the message");
    queue.close().unwrap();
    let closed = queue.get_many(2).err().unwrap();
    assert!(closed.is_closed());
    assert_eq!(well_formed(&closed), "queue memory:jobs is closed and drained; stop getting from it");
    assert!(closed.into_results().is_empty());
}

#[test]
fn narrower_errors_become_wider_ones() {
    let (_transport, queue) = jobs::<u8>(&QueueOptions::new());
    queue.close().unwrap();
    let wider: PutTimeoutError<u8> = queue.put(1).unwrap_err().into();
    assert!(wider.is_closed() && !wider.is_timeout());
    let wider: TryPutError<u8> = queue.put(1).unwrap_err().into();
    assert!(wider.is_closed() && !wider.is_full());
    let wider: GetTimeoutError = queue.get().unwrap_err().into();
    assert!(wider.is_closed() && !wider.is_timeout());
    let wider: TryGetError = queue.get().unwrap_err().into();
    assert!(wider.is_closed() && !wider.is_empty());
}

#[test]
fn making_opening_and_removing_say_what_is_wrong() {
    let (transport, queue) = jobs::<u8>(&QueueOptions::new());
    let again = Queue::<u8>::create(&transport, "jobs", &QueueOptions::new()).unwrap_err();
    assert_eq!(well_formed(&again), "queue memory:jobs exists; open it, or remove it first");
    let missing = Queue::<u8>::open(&transport, "none").unwrap_err();
    assert_eq!(
        well_formed(&missing),
        "there is no queue memory:none; create it first, or look at what there is"
    );
    let name: QueueName = "none".parse().unwrap();
    let missing = transport.remove(&name).unwrap_err();
    assert!(matches!(missing, RemoveError::Missing { .. }));
    assert_eq!(well_formed(&missing), "there is no queue memory:none; nothing was removed");
    let bad = Queue::<u8>::open(&transport, "a/b").unwrap_err();
    assert_eq!(
        well_formed(&bad),
        r#""a/b" is not a queue name: a queue name consists of letters, digits, '.', '_' and '-'"#
    );
    let codec = Queue::<Vec<u8>, ipcq_core::Bytes>::open(&transport, "jobs").unwrap_err();
    assert_eq!(
        well_formed(&codec),
        "queue memory:jobs cannot be used by this program: its codec is bincode, and must be bytes; open it with \
         that codec, or make another queue"
    );
    transport.remove(queue.identity().name.as_ref().unwrap()).unwrap();
    let gone = queue.len().unwrap_err();
    assert!(gone.is_gone());
    assert_eq!(well_formed(&gone), "queue memory:jobs: it was removed; make it again to go on");
}

#[test]
fn what_was_not_shared_is_no_missing_queue() {
    let (transport, _queue) = jobs::<u8>(&QueueOptions::new());
    let error = Queue::<u8>::inherited_number(&transport, 3).unwrap_err();
    assert!(error.is_missing());
    assert_eq!(
        well_formed(&error),
        "no queue of transport memory with number 3 was shared with this process; share it with the command that \
         starts this program, before it starts"
    );
}

#[test]
fn what_concerns_all_queues_names_the_transport() {
    let error = BackendError::new(BackendErrorKind::Other, "shm", "its directory cannot be read");
    assert_eq!(well_formed(&error), "transport shm: its directory cannot be read");
}

#[test]
fn a_queue_without_a_name_says_why_it_cannot_travel() {
    let (transport, _queue) = jobs::<u8>(&QueueOptions::new());
    let carrier: Queue<Queue<u8>> = Queue::anonymous(&transport, &QueueOptions::new()).unwrap();
    let inside: Queue<u8> = Queue::anonymous(&transport, &QueueOptions::new()).unwrap();
    let error = carrier.put(inside).unwrap_err();
    let text = well_formed(&error);
    assert!(text.contains("has no name to be found by; share it with a child process"), "{text}");
    assert!(error.source().is_none());
}

#[test]
fn backend_errors_become_what_opening_says() {
    let of = |kind| OpenError::from(BackendError::new(kind, "shm:jobs", "it went wrong"));
    assert!(matches!(of(BackendErrorKind::Gone), OpenError::Gone { .. }));
    assert!(matches!(of(BackendErrorKind::Denied), OpenError::Denied { .. }));
    assert!(matches!(of(BackendErrorKind::Damaged), OpenError::Backend(_)));
    for error in [of(BackendErrorKind::Gone), of(BackendErrorKind::Denied), of(BackendErrorKind::Other)] {
        assert!(well_formed(&error).contains("shm:jobs"));
    }
    let address = QueueAddress::new("carrier", "loft".into(), "jobs".parse().unwrap(), 1);
    let unknown = address.open().unwrap_err();
    assert!(matches!(&unknown, OpenError::UnknownTransport { transport } if transport == "carrier"));
    assert_eq!(
        well_formed(&unknown),
        r#"no transport "carrier" is in use in this program; make one of it first"#
    );
}

#[test]
fn the_cause_is_the_source_and_not_in_the_text() {
    let cause = std::io::Error::other("the disk is on fire");
    let error = BackendError::new(BackendErrorKind::Other, "shm:jobs", "the directory cannot be read")
        .with_advice("look at the disk")
        .with_source(cause);
    let error = CreateError::from(error);
    assert_eq!(well_formed(&error), "queue shm:jobs: the directory cannot be read; look at the disk");
    assert_eq!(error.source().unwrap().to_string(), "the disk is on fire");
}

#[test]
fn errors_go_where_errors_go() {
    fn travels<E: Error + Send + Sync + 'static>(error: E) -> Arc<dyn Error + Send + Sync> {
        Arc::new(error)
    }
    let (_transport, queue) = jobs::<u8>(&QueueOptions::new());
    queue.close().unwrap();
    travels(queue.put(1).unwrap_err());
    travels(queue.get().unwrap_err());
    travels(queue.get_many(1).unwrap_err());
    let values = [1, 2];
    let borrowing = queue.put_many(values.iter().copied()).unwrap_err();
    let text = borrowing.to_string();
    assert_eq!(travels(borrowing.without_rest()).to_string(), text);
}
