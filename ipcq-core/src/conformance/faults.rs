//! Q16 bad bytes and Q17 no room.

use super::Harness;
use super::helper::{BIG, Helper, Role};
use super::stage::{Shared, Stage, assert_says, drain_numbers, get, put, put_numbers};
use crate::error::{OpenError, PutFault};
use crate::{Bincode, Bytes, Codec, Queue, QueueOptions, Transport, Wait};

/// The queue `q` of strings, and a way to put into it what no string is.
fn strings<H: Harness>(stage: &Stage<H>) -> Queue<String> {
    Queue::create(stage.transport(), "q", &QueueOptions::new()).expect("a fresh name is free")
}

/// Q16: a message that does not decode is an error for its receiver alone, which carries the bytes; the queue goes on.
pub fn q16_a_message_that_does_not_decode_is_an_error_for_one<H: Harness>(stage: &Stage<H>) {
    let queue = strings(stage);
    let bad = b"\x03\xff\xfe\xfd".as_slice();
    for round in 0..3 {
        queue.put("before".to_owned()).expect("there is room");
        put(queue.channel(), bad);
        queue.put("after".to_owned()).expect("there is room");
        assert_eq!(queue.get().expect("a sound message"), "before");
        let error = queue.get().expect_err("bytes that are no text");
        assert!(error.is_decode() && !error.is_closed(), "round {round}: {error}");
        assert_eq!(error.into_bytes().as_deref(), Some(bad));
        assert_eq!(queue.len().expect("a queue that works"), 1);
        assert_eq!(queue.try_get().expect("a sound message"), "after");
    }
}

/// Q16: in a batch, too, the sound messages are not lost with the bad one.
pub fn q16_a_batch_with_a_bad_message_hands_out_the_sound_ones<H: Harness>(stage: &Stage<H>) {
    let queue = strings(stage);
    queue.put("before".to_owned()).expect("there is room");
    put(queue.channel(), b"\x03\xff\xfe\xfd");
    queue.put("after".to_owned()).expect("there is room");
    let error = queue.get_many(10).expect_err("one of them does not decode");
    assert!(error.is_decode(), "{error}");
    let results = error.into_results();
    let sound: Vec<_> = results.iter().filter_map(|result| result.as_deref().ok()).collect();
    assert_eq!(sound, ["before", "after"]);
    assert!(queue.is_empty().expect("a queue that works"));
}

/// Q16: no length that a message claims is believed beyond its bytes, and bytes left over are an error.
pub fn q16_no_claimed_length_is_believed<H: Harness>(stage: &Stage<H>) {
    let queue = strings(stage);
    let claims: [&[u8]; 6] = [
        b"\xfd\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xfd\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\xfc\xff\xff\xff\x7fabc",
        b"\xfb\xff\xffabc",
        b"\x05four",
        b"\x04four and more",
    ];
    for claim in claims {
        put(queue.channel(), claim);
        let error = queue.get().expect_err("a length that is not there");
        assert_eq!(error.bytes(), Some(claim), "{error}");
    }
    put(queue.channel(), b"");
    assert!(queue.get().expect_err("not even a length").is_decode());
    queue.put("sound".to_owned()).expect("there is room");
    assert_eq!(queue.get().expect("a sound message"), "sound");
}

/// Q12, Q16: opening a queue with another codec is an error that names both; reading its bytes is always possible.
pub fn q12_another_codec_is_refused<H: Harness>(stage: &Stage<H>) {
    let (bincode, bytes) = (<Bincode as Codec<String>>::NAME, <Bytes as Codec<Vec<u8>>>::NAME);
    let strings = strings(stage);
    strings.put("four".to_owned()).expect("there is room");
    let refused = Queue::<Vec<u8>, Bytes>::open(stage.transport(), "q").expect_err("another codec");
    assert_says!(&refused, OpenError::Mismatch { what: "codec", found, expected, .. }
        if found == bincode && expected == bytes);
    let raw = Queue::<Vec<u8>, Bytes>::open_raw(stage.transport(), "q").expect("bytes can always be read");
    assert_eq!(raw.get().expect("a message"), b"\x04four");
    let error = raw.put(b"\x04four".to_vec()).expect_err("the handle is for reading");
    assert_eq!(error.into_inner(), b"\x04four");
}

/// Q17: a message for which there is no room fails at once with `NoRoom`, never waits as if the queue were full,
/// leaves the queue as it was, and does not hinder what comes later.
pub fn q17_no_room_is_an_error_at_once<H: Harness>(stage: &Stage<H>) {
    if let Some(command) = stage.cramped_helper(Role::PutTooMuch) {
        return Helper::spawn(command).finish();
    }
    // Where no second process can be given less room, the message must be longer than any address space.
    let len = stage.transport().capabilities().max_message;
    assert!(len >= 1 << 48, "a message of {len} bytes may fit: offer 2^48 or more");
    assert_refuses(&stage.create("q", &QueueOptions::new().capacity(3).max_message(len)), 1 << 48);
}

/// Q17: a message for which its receiver has no room stays in the queue.
pub fn q17_a_message_without_room_for_it_stays<H: Harness>(stage: &Stage<H>) {
    let Some(command) = stage.cramped_helper(Role::GetTooMuch) else { return stage.assert_confined() };
    let queue = stage.queue(3);
    let piece = vec![5; 1 << 20];
    queue.put(&[piece.as_slice(); BIG >> 20], Wait::No).expect("there is room here");
    put_numbers(&queue, 0..1);
    Helper::spawn(command).finish();
    assert_eq!(get(&queue).len(), BIG);
    assert_eq!(drain_numbers(&queue), [0]);
}

/// Q17: without file handles no queue can be made or opened, which is `NoRoom`; with some it can.
pub fn q17_no_file_handles_is_no_room<H: Harness>(stage: &Stage<H>) {
    let Some(command) = stage.cramped_helper(Role::OpenTooMuch) else { return stage.assert_confined() };
    let queue = stage.queue(3);
    put_numbers(&queue, 0..1);
    Helper::spawn(command).finish();
    let left = if stage.keeper("q").is_none() { 2 } else { 1 };
    assert_eq!(stage.transport().list().expect("a readable place").len(), left);
}

/// Asserts that `queue` has no room for a message of `len` bytes, and is none the worse for it.
pub(super) fn assert_refuses(queue: &Shared, len: usize) {
    // The parts are one and the same piece of memory, over and over.
    let piece = vec![0; (len >> 20).max(1 << 20)];
    let parts = vec![piece.as_slice(); len / piece.len()];
    put_numbers(queue, 0..1);
    for wait in [Wait::No, Wait::Forever] {
        assert_says!(queue.put(&parts, wait), Err(PutFault::Backend(error)) if error.is_no_room());
        assert_eq!(queue.len().expect("a queue that works"), 1);
    }
    put_numbers(queue, 1..3);
    assert!(queue.is_full().expect("a queue that works"));
    assert_eq!(drain_numbers(queue), [0, 1, 2]);
}
