//! The typed queue over the reference transport.
#![cfg(feature = "bincode")]

use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use ipcq_core::memory::MemoryTransport;
use ipcq_core::{
    Bytes, Codec, CreateError, DecodeFailure, EncodeError, OpenError, Queue, QueueOptions, Wait,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

fn queue<T: Serialize + serde::de::DeserializeOwned>(capacity: usize) -> Queue<T> {
    Queue::anonymous(&MemoryTransport::new(), &QueueOptions::new().capacity(capacity)).unwrap()
}

/// Does `work` on a thread of its own and fails when it takes a minute.
fn within_a_minute<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, result) = mpsc::channel();
    thread::spawn(move || done.send(work()));
    result.recv_timeout(Duration::from_secs(60)).expect("the test hangs, or its thread panicked")
}

#[test]
fn a_handle_is_for_many_threads_whatever_the_messages_are() {
    fn shared<S: Send + Sync + Clone>() {}
    shared::<Queue<Rc<Cell<u8>>>>();
    shared::<Queue<Vec<u8>, Bytes>>();
}

#[test]
fn the_value_that_is_not_put_comes_back() {
    let queue = queue::<String>(1);
    queue.put("first".to_owned()).unwrap();

    let full = queue.try_put("second".to_owned()).unwrap_err();
    assert!(full.is_full() && !full.is_closed() && !full.is_busy());
    assert_eq!(full.into_inner(), "second");

    let late = queue.put_deadline("third".to_owned(), Instant::now()).unwrap_err();
    assert!(late.is_timeout() && !late.is_closed());
    assert_eq!(late.into_inner(), "third");

    queue.close().unwrap();
    let closed = queue.put("fourth".to_owned()).unwrap_err();
    assert!(closed.is_closed() && closed.backend().is_none());
    assert_eq!(closed.into_inner(), "fourth");
    assert_eq!(queue.get().unwrap(), "first");
    assert!(queue.get().unwrap_err().is_closed());
    assert!(queue.try_get().unwrap_err().is_closed());
}

#[test]
fn a_message_that_never_fits_is_refused_with_its_size() {
    let options = QueueOptions::new().max_message(3);
    let queue = Queue::<Vec<u8>, Bytes>::anonymous(&MemoryTransport::new(), &options).unwrap();
    queue.put(b"123".to_vec()).unwrap();
    let refused = queue.put(b"1234".to_vec()).unwrap_err();
    assert!(refused.is_too_long());
    assert!(refused.to_string().contains("4 bytes") && refused.to_string().contains("takes 3 at most"));
    assert_eq!(queue.len().unwrap(), 1);
}

#[test]
fn bytes_that_do_not_decode_are_an_error_for_their_receiver_alone() {
    let queue = queue::<String>(10);
    queue.channel().put(&[&[9, 9, 9]], Wait::No).unwrap();
    queue.put("sound".to_owned()).unwrap();
    let error = queue.get().unwrap_err();
    assert!(error.is_decode() && !error.is_closed());
    assert_eq!(error.into_bytes().unwrap(), [9, 9, 9]);
    assert_eq!(queue.get().unwrap(), "sound");
}

#[test]
fn sound_messages_beside_broken_ones_are_not_lost() {
    let queue = queue::<String>(10);
    queue.put("one".to_owned()).unwrap();
    queue.channel().put(&[&[9]], Wait::No).unwrap();
    queue.put("three".to_owned()).unwrap();
    queue.channel().put(&[&[8]], Wait::No).unwrap();

    let error = queue.get_many(10).unwrap_err();
    assert!(error.is_decode());
    assert!(error.to_string().starts_with("2 of 4 messages taken from queue memory:(anonymous)"), "{error}");
    let results: Vec<_> =
        error.into_results().into_iter().map(|r| r.map_err(|broken| broken.into_bytes())).collect();
    assert_eq!(results, [Ok("one".to_owned()), Err(vec![9]), Ok("three".to_owned()), Err(vec![8])]);
    assert!(queue.try_get_many(10).unwrap_err().is_empty());
}

#[test]
fn iterators_end_where_they_say_and_show_broken_messages_in_their_place() {
    let queue = queue::<String>(10);
    queue.put("one".to_owned()).unwrap();
    queue.channel().put(&[&[9]], Wait::No).unwrap();
    queue.put("three".to_owned()).unwrap();
    let sound: Vec<_> = queue.try_iter().map(|message| message.is_ok()).collect();
    assert_eq!(sound, [true, false, true]);
    assert!(queue.is_empty().unwrap());

    queue.put_many(["four".to_owned(), "five".to_owned()]).unwrap();
    queue.close().unwrap();
    let mut messages = queue.iter();
    assert_eq!(messages.next().unwrap().unwrap(), "four");
    assert_eq!(messages.next().unwrap().unwrap(), "five");
    assert!(messages.next().is_none());
    assert!(messages.next().is_none());
}

#[test]
fn put_many_without_end_stops_where_the_queue_does() {
    let queue = queue::<u64>(5000);
    let mut numbers = 0..;
    let full = queue.try_put_many(&mut numbers).unwrap_err();
    assert!(full.is_full() && !full.is_timeout());
    assert_eq!(full.put(), 5000);
    assert!(full.to_string().ends_with("(messages put before: 5000)"), "{full}");
    let rest: Vec<_> = full.into_rest().take(2000).collect();
    assert_eq!(rest, (5000..7000).collect::<Vec<_>>());
    assert_eq!(queue.get_many(6000).unwrap(), (0..5000).collect::<Vec<_>>());
}

#[test]
fn the_rest_of_put_many_can_be_put_later() {
    let queue = queue::<u64>(1500);
    let full = queue.try_put_many(0..4000).unwrap_err();
    assert_eq!(queue.get_many(5000).unwrap().len(), 1500);
    let full = queue.try_put_many(full.into_rest()).unwrap_err();
    assert_eq!(queue.get_many(5000).unwrap(), (1500..3000).collect::<Vec<_>>());
    assert_eq!(queue.put_many(full.into_rest()).unwrap(), 1000);
    assert_eq!(queue.get_many(5000).unwrap(), (3000..4000).collect::<Vec<_>>());
}

#[test]
fn what_a_slow_iterator_gave_is_put_before_it_is_asked_for_more() {
    within_a_minute(|| {
        let queue = queue::<u64>(100);
        let consumer = queue.clone();
        // Gives a number only when the one before it has been taken, so any hoarding would hang.
        let (taken, gate) = mpsc::channel();
        taken.send(()).unwrap();
        let slow = (0..20).inspect(move |_| {
            gate.recv().unwrap();
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(2) {
                thread::yield_now();
            }
        });
        let producer = thread::spawn(move || queue.put_many(slow).map_err(|error| error.to_string()));
        for number in 0..20 {
            assert_eq!(consumer.get().unwrap(), number);
            let _ = taken.send(());
        }
        assert_eq!(producer.join().unwrap(), Ok(20));
    });
}

#[test]
fn a_value_that_does_not_encode_stops_put_many_there() {
    let transport = MemoryTransport::new();
    let queue = Queue::<u8, Even>::create(&transport, "even", &QueueOptions::new()).unwrap();
    let error = queue.put_many([2, 4, 5, 6]).unwrap_err();
    assert!(error.is_encode());
    assert_eq!(error.put(), 2);
    assert_eq!(error.into_rest().collect::<Vec<_>>(), [5, 6]);
    assert_eq!(queue.get_many(9).unwrap(), [2, 4]);

    let error = queue.put(7).unwrap_err();
    assert!(error.is_encode());
    assert_eq!(error.into_inner(), 7);
}

#[derive(Clone, Default)]
struct Even;

impl Codec<u8> for Even {
    const NAME: &'static str = "even";

    fn encode<'a>(&self, value: &'a u8, _: &'a mut Vec<u8>) -> Result<&'a [u8], EncodeError> {
        if value.is_multiple_of(2) { Ok(std::slice::from_ref(value)) } else { Err(EncodeError::new("odd")) }
    }

    fn decode(&self, bytes: &[u8]) -> Result<u8, DecodeFailure> {
        bytes.first().copied().ok_or_else(|| DecodeFailure::new("nothing"))
    }
}

#[test]
fn a_message_too_long_stops_put_many_there() {
    let options = QueueOptions::new().max_message(2);
    let queue = Queue::<Vec<u8>, Bytes>::anonymous(&MemoryTransport::new(), &options).unwrap();
    let error = queue.put_many([vec![1], vec![2; 3], vec![3]]).unwrap_err();
    assert!(error.is_too_long());
    assert_eq!(error.put(), 1);
    assert_eq!(error.into_rest().collect::<Vec<_>>(), [vec![2; 3], vec![3]]);
}

/// Puts a note into another queue whenever it is written or read.
struct Chatty(Queue<String>);

impl Serialize for Chatty {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.put("written".to_owned()).map_err(serde::ser::Error::custom)?;
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Chatty {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let queue = Queue::<String>::deserialize(deserializer)?;
        let note = queue.get().map_err(serde::de::Error::custom)?;
        queue.put(note + ", read").map_err(serde::de::Error::custom)?;
        Ok(Self(queue))
    }
}

#[test]
fn a_serialiser_may_use_a_queue_itself() {
    let transport = MemoryTransport::new();
    let notes = Queue::create(&transport, "notes", &QueueOptions::new()).unwrap();
    let outer = queue::<Chatty>(10);
    outer.put(Chatty(notes.clone())).unwrap();
    outer.put_many([Chatty(notes.clone())]).unwrap();
    outer.get().unwrap();
    outer.get_many(1).unwrap();
    let said: Vec<_> = notes.try_iter().map(Result::unwrap).collect();
    assert_eq!(said, ["written, read", "written, read"]);
}

#[test]
fn a_queue_travels_inside_a_message() {
    let transport = MemoryTransport::new();
    let replies = Queue::<u32>::create(&transport, "replies", &QueueOptions::new()).unwrap();
    let requests = queue::<(u32, Queue<u32>)>(10);
    requests.put((20, replies.clone())).unwrap();
    let (number, back) = requests.get().unwrap();
    back.put(number + 1).unwrap();
    assert_eq!(replies.get().unwrap(), 21);
}

#[test]
fn a_queue_that_arrives_is_the_very_one_that_was_sent() {
    let transport = MemoryTransport::new();
    let first = Queue::<u32>::create(&transport, "replies", &QueueOptions::new()).unwrap();
    let requests = queue::<Queue<u32>>(10);
    requests.put_many([first.clone(), first.clone()]).unwrap();
    let address = first.address().unwrap();

    remove(&transport, "replies");
    let gone = requests.get().unwrap_err();
    assert!(gone.is_decode());
    assert!(matches!(address.open().unwrap_err(), OpenError::Gone { .. }));

    Queue::<u32>::create(&transport, "replies", &QueueOptions::new()).unwrap();
    let gone = requests.get().unwrap_err();
    let source = std::error::Error::source(&gone).unwrap().to_string();
    assert!(source.contains("memory:replies that this handle stood for is gone"), "{source}");
}

fn remove(transport: &dyn ipcq_core::Transport, name: &str) {
    transport.remove(&name.parse().unwrap()).unwrap();
}

#[test]
fn an_anonymous_queue_cannot_travel() {
    let requests = queue::<Queue<u32>>(10);
    let refused = requests.put(queue(1)).unwrap_err();
    assert!(refused.is_encode());
    let text = refused.to_string();
    assert!(text.contains("queue memory:(anonymous) has no name to be found by"), "{text}");
}

#[test]
fn a_queue_of_another_codec_is_not_opened() {
    let transport = MemoryTransport::new();
    let queue = Queue::<String>::create(&transport, "jobs", &QueueOptions::new()).unwrap();
    let error = Queue::<Vec<u8>, Bytes>::open(&transport, "jobs").unwrap_err();
    assert!(matches!(error, OpenError::Mismatch { what: "codec", .. }), "{error}");
    assert!(Queue::<u8, Even>::from_channel(queue.channel().clone()).is_err());

    let raw = Queue::<Vec<u8>, Bytes>::open_raw(&transport, "jobs").unwrap();
    queue.put("a".to_owned()).unwrap();
    assert_eq!(raw.get().unwrap(), [1, b'a']);
    assert_eq!(raw.put_many([vec![1]]).unwrap_err().into_rest().collect::<Vec<_>>(), [[1]]);
    assert!(queue.is_empty().unwrap());

    Queue::<Vec<u8>, Bytes>::create(&transport, "lines", &QueueOptions::new()).unwrap();
    Queue::<Vec<u8>, Bytes>::open_raw(&transport, "lines").unwrap().put(vec![1]).unwrap();
}

#[test]
fn names_are_checked_before_the_transport_sees_them() {
    let transport = MemoryTransport::new();
    let made = Queue::<u8>::create(&transport, "../jobs", &QueueOptions::new());
    assert!(matches!(made.unwrap_err(), CreateError::Name(_)));
    assert!(matches!(Queue::<u8>::open(&transport, "").unwrap_err(), OpenError::Name(_)));
}

#[test]
fn a_short_message_does_not_keep_the_memory_of_a_long_one() {
    let queue = Queue::<Vec<u8>, Bytes>::anonymous(&MemoryTransport::new(), &QueueOptions::new()).unwrap();
    let mut buffer = Vec::with_capacity(1 << 16);
    buffer.extend_from_slice(b"short");
    let message: Vec<u8> = Bytes.decode_buffer(&mut buffer).unwrap();
    assert_eq!((message.as_slice(), message.capacity()), (&b"short"[..], 5));

    let long = vec![7; 1 << 16];
    let place = long.as_ptr();
    let moved: Vec<u8> = Bytes.decode_buffer(&mut { long }).unwrap();
    assert_eq!(moved.as_ptr(), place);
    queue.put(moved).unwrap();
    assert_eq!(queue.get().unwrap().len(), 1 << 16);
}

#[test]
fn handles_and_errors_never_show_a_message() {
    let queue = queue::<String>(1);
    queue.put("secret".to_owned()).unwrap();
    let error = queue.try_put("secret".to_owned()).unwrap_err();
    for text in
        [format!("{queue:?}"), format!("{error:?}"), format!("{error}"), format!("{:?}", queue.channel())]
    {
        assert!(!text.contains("secret"), "{text}");
    }
    assert_eq!(
        format!("{queue:?}"),
        r#"Queue { queue: "memory:(anonymous)", codec: "bincode", capacity: 1, .. }"#
    );
}
