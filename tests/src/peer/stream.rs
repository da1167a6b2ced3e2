//! Producers and consumers whose messages are accounted for.

use ipcq_core::{Bytes, Queue, Transport};

use super::{Played, say};
use crate::messages::{message, number_of};

type Raw = Queue<Vec<u8>, Bytes>;

/// Puts `count` messages, whose numbers tell the producer and the order, one at a time and in batches in turn.
pub(super) fn put(transport: &dyn Transport, queue: &str, producer: u32, count: u32) -> Played {
    let queue = Raw::open(transport, queue)?;
    let mut next = 0;
    while next < count {
        let batch = if next % 3 == 0 { 1 } else { (next % 11).min(count - next).max(1) };
        let numbers = (next..next + batch).map(|n| message(producer << 20 | n));
        if batch == 1 {
            for bytes in numbers {
                queue.put(bytes).map_err(|error| error.to_string())?;
            }
        } else {
            queue.put_many(numbers).map_err(|error| error.to_string())?;
        }
        next += batch;
    }
    Ok(())
}

/// Gets until the queue is closed and drained, one at a time and many in turn, and says the numbers in their order.
pub(super) fn get(transport: &dyn Transport, queue: &str) -> Played {
    let queue = Raw::open(transport, queue)?;
    let mut numbers: Vec<u32> = Vec::new();
    loop {
        let got = if numbers.len().is_multiple_of(2) {
            queue.get().map(|bytes| vec![bytes]).map_err(|error| (error.is_closed(), error.to_string()))
        } else {
            queue.get_many(7).map_err(|error| (error.is_closed(), error.to_string()))
        };
        match got {
            Ok(messages) => {
                for bytes in messages {
                    numbers.push(number_of(&bytes)?);
                }
            }
            Err((true, _)) => break,
            Err((false, error)) => return Err(error.into()),
        }
    }
    say(&serde_json::to_string(&numbers)?)?;
    Ok(())
}
