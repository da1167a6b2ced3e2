//! Q3 payload.

use super::Harness;
use super::stage::{Stage, assert_says, get, next_random, pattern, put, try_get, try_put};
use crate::error::{CreateError, PutFault};
use crate::{Batch, QueueOptions, Transport, Wait};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Q3: a message of any length arrives whole and unchanged: none, one byte, around every power of two.
pub fn q03_every_length_arrives_whole<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(4);
    let powers = (1..=16).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + 1]);
    for len in [0, 1].into_iter().chain(powers).chain([100_000, MIB]) {
        let message = pattern(len, 1);
        put(&queue, &message);
        assert!(get(&queue) == message, "a message of {len} bytes came out changed");
    }
}

/// Q3: long messages are messages like others, and several of them can be in the queue.
pub fn q03_long_messages_arrive_whole<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(4);
    let lengths = [3 * MIB + 1, 9 * MIB, 5, 17 * MIB - 1];
    for (seed, len) in (1..).zip(lengths) {
        put(&queue, &pattern(len, seed));
    }
    for (seed, len) in (1..).zip(lengths) {
        assert!(get(&queue) == pattern(len, seed), "a message of {len} bytes came out changed");
    }
}

/// Q3: the parts of a message arrive as one.
pub fn q03_several_parts_are_one_message<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(4);
    let long = pattern(70_000, 9);
    let parts: [&[u8]; 5] = [b"", b"head", &long, b"", b"tail"];
    queue.put(&parts, Wait::No).expect("there is room");
    queue.put(&[], Wait::No).expect("there is room");
    assert_eq!(queue.len().expect("a queue that works"), 2);
    assert!(get(&queue) == [b"head", long.as_slice(), b"tail"].concat());
    assert_eq!(get(&queue), b"");
}

/// Q3: short and long messages may follow each other for ever, however full the queue is.
pub fn q03_lengths_may_alternate<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(64);
    let length = |n: u64| {
        let random = next_random(n + 1);
        let most = [16, 300, 5000, 66 * KIB][usize::try_from(random % 4).expect("a small number")];
        usize::try_from(random >> 8).expect("64 bits") % most
    };
    let mut first = 0;
    for n in 0..3000 {
        put(&queue, &pattern(length(n), n));
        // The queue fills and drains in waves.
        let wanted = [60, 1, 30, 10][usize::try_from(n / 100 % 4).expect("a small number")];
        while n + 1 - first > wanted {
            assert!(get(&queue) == pattern(length(first), first), "message {first} came out changed");
            first += 1;
        }
    }
}

/// Q3: a buffer that is longer than the message, or shorter, or in use already, ends up holding the message alone.
pub fn q03_a_get_replaces_what_the_buffer_held<H: Harness>(stage: &Stage<H>) {
    let queue = stage.queue(4);
    let mut buffer = b"something else".to_vec();
    for message in [b"short".as_slice(), &[7; 50_000], b""] {
        put(&queue, message);
        queue.get(&mut buffer, Wait::No).expect("there is a message");
        assert!(buffer == message);
    }
}

/// Q3: a message that can never fit is refused at once with its length and the limit, also by a full queue, and
/// nothing is queued. One of just the limit fits.
pub fn q03_too_long_is_refused_at_once<H: Harness>(stage: &Stage<H>) {
    let queue = stage.create("q", &QueueOptions::new().capacity(1).max_message(100));
    assert_eq!(queue.identity().max_message, 100);
    for wait in [Wait::No, Wait::Forever] {
        assert_says!(queue.put(&[&[0; 101]], wait), Err(PutFault::TooLong { len: 101, max: 100 }));
        assert_says!(queue.put(&[&[0; 60], &[0; 60]], wait), Err(PutFault::TooLong { len: 120, max: 100 }));
        assert!(queue.is_empty().expect("a queue that works"));
    }
    try_put(&queue, &[1; 100]).expect("a message of the limit fits");
    assert_says!(queue.put(&[&[0; 101]], Wait::Forever), Err(PutFault::TooLong { len: 101, max: 100 }));
    assert_eq!(get(&queue), [1; 100]);
    assert!(try_get(&queue).is_err());
}

/// Q3, Q8: a message that can never fit ends a batch; what came before it is in the queue.
pub fn q03_too_long_ends_a_batch<H: Harness>(stage: &Stage<H>) {
    let queue = stage.create("q", &QueueOptions::new().max_message(10));
    let mut batch = Batch::new();
    [b"one".as_slice(), b"two", b"far too long", b"four"].into_iter().for_each(|message| batch.push(message));
    let (done, result) = queue.put_many(&batch, 0, Wait::Forever);
    assert_says!(result, Err(PutFault::TooLong { len: 12, max: 10 }));
    assert_eq!(done, 2);
    assert_eq!([get(&queue), get(&queue)], [b"one", b"two"]);
    assert!(queue.is_empty().expect("a queue that works"));
}

/// Q3, Q8: a message that can never fit is refused at once in a batch, too, when there is no room for one that fits.
pub fn q03_too_long_in_a_batch_does_not_wait<H: Harness>(stage: &Stage<H>) {
    let queue = stage.create("q", &QueueOptions::new().capacity(2).max_message(10));
    let mut batch = Batch::new();
    [b"one".as_slice(), b"two", b"far too long"].into_iter().for_each(|message| batch.push(message));
    for wait in [Wait::No, Wait::Forever] {
        assert_says!(queue.put_many(&batch, 0, wait), (2, Err(PutFault::TooLong { len: 12, max: 10 })));
        assert_says!(queue.put_many(&batch, 2, wait), (0, Err(PutFault::TooLong { len: 12, max: 10 })));
        assert_eq!([get(&queue), get(&queue)], [b"one", b"two"]);
    }
}

/// Q3: the limit is 1 GiB unless another is asked for, and one that the transport cannot keep is refused.
pub fn q03_the_limit_is_settled_at_creation<H: Harness>(stage: &Stage<H>) {
    let most = stage.transport().capabilities().max_message;
    assert!(most >= QueueOptions::DEFAULT_MAX_MESSAGE, "{most}");
    assert_eq!(stage.create("plain", &QueueOptions::new()).identity().max_message, 1 << 30);
    assert_eq!(stage.create("most", &QueueOptions::new().max_message(most)).identity().max_message, most);
    if let Some(more) = most.checked_add(1) {
        let refused = stage.transport().create_anonymous(&QueueOptions::new().max_message(more));
        assert_says!(refused, Err(CreateError::Unsupported { .. }));
    }
}
