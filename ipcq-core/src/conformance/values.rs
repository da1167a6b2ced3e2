//! What callers of the typed queue get back: values, the rest of a batch, the ends of iterators.

use super::Harness;
use super::stage::Stage;
use crate::{CreateError, OpenError, Queue, QueueOptions};
use std::time::Duration;

fn words<H: Harness>(stage: &Stage<H>, capacity: usize) -> Queue<String> {
    let options = QueueOptions::new().capacity(capacity);
    Queue::create(stage.transport(), "words", &options).expect("a fresh name is free")
}

/// Q4: `Full` hands the value back, and so does a put whose time ran out.
pub fn q04_full_hands_the_value_back<H: Harness>(stage: &Stage<H>) {
    let queue = words(stage, 1);
    queue.put("first".to_owned()).expect("there is room");
    let error = queue.try_put("second".to_owned()).expect_err("the queue is full");
    assert!(error.is_full() && !error.is_closed(), "{error}");
    assert_eq!(error.into_inner(), "second");
    let error =
        queue.put_timeout("third".to_owned(), Duration::from_millis(5)).expect_err("the queue is full");
    assert!(error.is_timeout() && !error.is_closed(), "{error}");
    assert_eq!(error.into_inner(), "third");
}

/// Q7: a put into a closed queue hands the value back in every waiting form.
pub fn q07_closed_hands_the_value_back<H: Harness>(stage: &Stage<H>) {
    let queue = words(stage, 1);
    queue.close().expect("an open queue closes");
    let error = queue.put("put".to_owned()).expect_err("the queue is closed");
    assert!(error.is_closed(), "{error}");
    assert_eq!(error.into_inner(), "put");
    let error = queue.try_put("try".to_owned()).expect_err("the queue is closed");
    assert!(error.is_closed() && !error.is_full(), "{error}");
    assert_eq!(error.into_inner(), "try");
    let error =
        queue.put_timeout("timeout".to_owned(), Duration::from_secs(9)).expect_err("the queue is closed");
    assert!(error.is_closed() && !error.is_timeout(), "{error}");
    assert_eq!(error.into_inner(), "timeout");
}

/// Q3: a message that can never fit is handed back; the error says how long it is and what the limit is.
pub fn q03_too_long_hands_the_value_back<H: Harness>(stage: &Stage<H>) {
    let options = QueueOptions::new().max_message(10);
    let queue = Queue::<String>::create(stage.transport(), "q", &options).expect("a fresh name is free");
    let error = queue.put("x".repeat(20)).expect_err("the message can never fit");
    assert!(error.is_too_long(), "{error}");
    let text = error.to_string();
    assert!(text.contains("21 bytes") && text.contains("10"), "{text}");
    assert_eq!(error.into_inner(), "x".repeat(20));
    assert!(queue.is_empty().expect("a queue that works"));
}

/// Q8: a batch that does not go in whole says how many went in and hands the rest back, in order.
pub fn q08_the_rest_of_a_batch_is_handed_back<H: Harness>(stage: &Stage<H>) {
    let options = QueueOptions::new().capacity(3);
    let queue = Queue::<u32>::create(stage.transport(), "q", &options).expect("a fresh name is free");
    let error = queue.try_put_many(0..10).expect_err("the queue is full before the end");
    assert!(error.is_full(), "{error}");
    assert_eq!(error.put(), 3);
    let rest = error.into_rest();
    assert_eq!(queue.get_many(9).expect("three messages"), [0, 1, 2]);
    let error = queue.put_many_timeout(rest, Duration::from_millis(5)).expect_err("the time runs out");
    assert!(error.is_timeout(), "{error}");
    assert_eq!(error.put(), 3);
    queue.close().expect("an open queue closes");
    let error = queue.put_many(error.into_rest()).expect_err("the queue is closed");
    assert!(error.is_closed() && error.put() == 0, "{error}");
    assert!(error.into_rest().eq(6..10));
    assert_eq!(queue.get_many(9).expect("three messages"), [3, 4, 5]);
    assert!(queue.get_many(9).expect_err("closed and drained").is_closed());
}

/// Q5, Q8: the waiting forms of a get of many, and what they say.
pub fn q08_get_many_waits_in_three_forms<H: Harness>(stage: &Stage<H>) {
    let queue = words(stage, 9);
    assert!(queue.try_get_many(3).expect_err("nothing is there").is_empty());
    let error = queue.get_many_timeout(3, Duration::from_millis(5)).expect_err("the time runs out");
    assert!(error.is_timeout(), "{error}");
    assert_eq!(queue.put_many(["a", "b", "c"].map(str::to_owned)).expect("there is room"), 3);
    assert_eq!(queue.get_many_timeout(2, Duration::from_secs(9)).expect("messages"), ["a", "b"]);
    assert_eq!(queue.try_get_many(2).expect("a message"), ["c"]);
    assert_eq!(queue.get_many(0).expect("nothing asked for"), [""; 0]);
}

/// Q7: an iterator over a queue ends when the queue is closed and drained, the other kind when it is empty.
pub fn q07_iterators_end<H: Harness>(stage: &Stage<H>) {
    let queue =
        Queue::<u32>::create(stage.transport(), "q", &QueueOptions::new()).expect("a fresh name is free");
    assert_eq!(queue.put_many(0..5).expect("there is room"), 5);
    let there: Vec<u32> = queue.try_iter().map(|result| result.expect("a message")).collect();
    assert_eq!(there, [0, 1, 2, 3, 4]);
    assert_eq!(queue.put_many(5..8).expect("there is room"), 3);
    queue.close().expect("an open queue closes");
    let rest: Vec<u32> = queue.iter().map(|result| result.expect("a message")).collect();
    assert_eq!(rest, [5, 6, 7]);
}

/// Q11: a queue cannot be made or opened by an illegal name.
pub fn q11_queues_check_their_names<H: Harness>(stage: &Stage<H>) {
    for text in ["", "..", "../q", "a/b", "-x", ".x", "a b"] {
        let refused = Queue::<u32>::create(stage.transport(), text, &QueueOptions::new());
        assert!(matches!(refused, Err(CreateError::Name(_))), "{text:?}: {refused:?}");
        let refused = Queue::<u32>::open(stage.transport(), text);
        assert!(matches!(refused, Err(OpenError::Name(_))), "{text:?}: {refused:?}");
    }
}

/// Q2, Q6: the typed handle reports what the queue reports.
pub fn q06_the_typed_handle_reports_the_queue<H: Harness>(stage: &Stage<H>) {
    let queue = words(stage, 2);
    let state = || {
        let [full, empty, closed] = [queue.is_full(), queue.is_empty(), queue.is_closed()]
            .map(|answer| answer.expect("a queue that works"));
        (queue.len().expect("a queue that works"), full, empty, closed)
    };
    assert_eq!(queue.capacity(), 2);
    assert_eq!(state(), (0, false, true, false));
    queue.put("one".to_owned()).expect("there is room");
    assert_eq!(state(), (1, false, false, false));
    queue.put("two".to_owned()).expect("there is room");
    assert_eq!(state(), (2, true, false, false));
    queue.close().expect("an open queue closes");
    assert_eq!(state(), (2, true, false, true));
}
