//! ipcq over shared memory: typed, bounded queues between processes, which any participant may leave by being
//! killed at any instruction.
//!
//! ```
//! use ipcq_shm::{Queue, QueueOptions, ShmTransport};
//!
//! let shm = ShmTransport::new();
//! let queue: Queue<String> = Queue::anonymous(&shm, &QueueOptions::new())?;
//! queue.put("hello".to_owned())?;
//! assert_eq!(queue.get()?, "hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A *named* queue ([`Queue::create`], [`Queue::open`]) lives in a file of the queue directory, in memory, until it is
//! removed ([`Queue::remove`]) or the machine stops; processes come and go. An *anonymous* one ([`Queue::anonymous`]) ends with its last
//! handle, and reaches children by inheritance ([`Queue::share_with`] here, [`Queue::inherited`] there).
//!
//! # What happens when a participant is killed
//!
//! The kernel hands its lock to the next one. A put that it was in is wholly there or not at
//! all; a message that a get was copying is still there, unless the get had just given it up: then it went with its
//! taker, and no other one did. Memory that it had reserved and not used is given back by the next putter, by a call
//! that sleeps, or by whoever opens the queue or asks for its statistics. A *stopped* participant keeps its lock:
//! calls that do not wait say `Busy` after 10 ms, calls with a deadline say `Timeout` in time, and the others wait.
//!
//! # Acknowledged queues
//!
//! What an [`AcknowledgedQueue`] hands out is kept in the queue's file until it is acknowledged. A holder that is killed
//! loses it within 50 ms to those who wait, and to the next get otherwise (one that comes within 20 µs of the last look
//! whether holders live may get a later message first); a stopped one keeps it. Leases are looked after as often.
//! Dead letters go to the queue of that name in the same directory, whichever it is at the time; while it is full,
//! closed or removed they are handed out again. A process that inherited a named queue, and did not open it by its name,
//! does not know where they go, and hands them out again, too.
//!
//! # Messages in place
//!
//! [`Queue::loan`] lends memory of the queue to build a message of 32 KiB or more, and [`Queue::get_loan`] gives it to who
//! reads it there; nobody copies it. At most 1536 messages are in place at a time; beyond that, and on acknowledged queues, the same
//! calls copy. What a killed process has on loan is free again with the next loan, or when somebody waits for the queue, opens it or
//! looks at it.
//!
//! # What it costs
//!
//! An empty queue uses 88 KiB of memory, and up to 1 MiB more stays warm once it has been used; beyond that, memory
//! follows content, and is given back within a second. A message takes 8 bytes more than it has, rounded up to 8; one in place takes whole chunks of
//! 64 KiB, an eighth more than it has at most, rounded up.
//! Waiters spin for 3 µs, give way until 120 have passed, and then sleep, with at most 22 wake-ups a second. A process that empties a queue of much
//! memory starts a thread that gives the memory back and ends.
//!
//! # Limits
//!
//! | what | limit |
//! |---|---|
//! | content of a queue | 32 GiB, the memory there is, and an eighth of a limited address space (`ulimit -v`) |
//! | capacity | 2^29 - 1 messages |
//! | one message | 4 GiB - 1 |
//! | processes that wait or are registered producers | 1024 at a time |
//! | messages in flight or come back | 2^20, and 16 GiB |
//! | processes that hold deliveries | 1024 at a time |
//! | address space of an acknowledged queue, and length of its file | 32 GiB and 16 GiB more, nearly all of them holes |
//! | where | 64-bit Linux 5.16 or newer, one boot, one PID namespace |
//!
//! A process in another PID namespace (a container) than the queue's maker is refused when it opens the queue, since
//! the thread ids in the locks would mean other threads to it; it can remove the queue, which takes no lock. Using a queue inside a signal handler is not
//! supported. Whoever may write a queue's file can truncate it, or punch holes into it on a full file system,
//! and end those that use it: that is not defended against, and the default directory is private. (Holes that are there
//! when a queue is opened are filled as far as the links and both ends of the queue go, or the queue is refused.)
//!
//! A process may fork while it has queues open; both sides go on using them. A child is a producer of a queue made
//! with `auto_close` only once it puts. Nothing else in a process may open and close the file of one of its named
//! queues: closing any descriptor of it ends, for the kernel, the record lock that says that this process is alive.

mod chunks;
mod in_place;
mod layout;
mod loans;
mod map;
mod operate;
mod position;
mod reference;
mod ring;
mod run;
mod segment;
mod storage;
mod store;
#[cfg(test)]
mod told;
mod transport;
mod upkeep;
mod wait;

pub use ipcq_core::codec;
pub use ipcq_core::error;
pub use ipcq_core::{
    AcknowledgedQueue, Batch, Bincode, Bytes, Capacity, Channel, Codec, Delivery, Limit, Loan, Queue,
    QueueAddress, QueueName, QueueOptions, Receipt, Select, Stat, Transport, Wait,
};
pub use transport::ShmTransport;

/// The name of this transport.
const NAME: &str = "shm";
