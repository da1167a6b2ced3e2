//! ipcq over kernel pipes: typed, bounded queues between processes, which any participant may leave by being killed at
//! any instruction, and which end by themselves with the last process that holds them.
//!
//! ```
//! use ipcq_pipe::{PipeTransport, Queue, QueueOptions};
//!
//! let pipes = PipeTransport::new();
//! let queue: Queue<String> = Queue::anonymous(&pipes, &QueueOptions::new())?;
//! queue.put("hello".to_owned())?;
//! assert_eq!(queue.get()?, "hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A *named* queue ([`Queue::create`], [`Queue::open`]) is a FIFO in the queue directory and a file beside it, and lives
//! while any process has a handle of it: with the last one it is gone, with what was in it, and its name is free. What
//! is left of its files is taken away by the next that makes a queue of the name, and by
//! [`collect_garbage`](Transport::collect_garbage). An *anonymous* one ([`Queue::anonymous`]) is a pipe without a name,
//! and reaches children by inheritance ([`Queue::share_with`] here, [`Queue::inherited`] there).
//!
//! # How it works
//!
//! A pipe by itself is a queue of bytes: it has no capacity in messages, no closing, no deadlines, and who is killed
//! after reading has taken something that nobody knows of. So each message is one *record* of fixed size in the pipe,
//! with its number, and two counts in a shared *control file* say which records are in the queue: a putter writes its
//! record, then publishes it by one compare-and-swap of `tail`; a getter reads a record before `tail`, and gives it up
//! by one store of `head`. Each side has a lock that the kernel gives back when its holder dies, and neither waits for
//! the other. A message that does not fit into its record lies in a *pool* of the control file, in memory that stays
//! warm, and its record says where.
//!
//! | clause | how it is kept |
//! |---|---|
//! | Q1, Q2 | one pipe, one lock for each side; `tail` and `head` are each one word |
//! | Q3 | up to 120 bytes (56 at the largest capacities) in the record, longer ones in the pool |
//! | Q4 | `tail - head`; the pipe is made so large that so many records fit at any time, and batches are cut where its pages end, so that none is wasted |
//! | Q5 | nobody ever sleeps in the pipe: waiters spin, then sleep on a word that names one of them to wake |
//! | Q6, Q7 | the counts are read without a lock; closing is a bit of `tail`, so that no put comes behind it |
//! | Q8 | one write, and one read, for up to 64 messages |
//! | Q12 | the control file gets its name last, at one instant; the FIFO has a name that no other queue has |
//! | Q13 | the kernel knows who holds a FIFO open: opening it for writing fails when nobody reads |
//! | Q15 | see below |
//! | Q16 | numbers, lengths and places are checked; the pipe is never waited on |
//! | Q17 | the pool reserves memory before it is touched; what a pipe cannot hold is refused when the queue is made |
//! | Q19 | as every queue of this house: a record lock of a living process on the control file |
//! | Q20, Q21 | what is handed out is kept beside the pipe, in the control file |
//!
//! # What happens when a participant is killed
//!
//! The kernel hands its lock to the next one, which looks at the first record in the pipe. If a *getter* was killed,
//! its number is the true head: what the dead had read, it had taken, a batch of up to 64 at most. If a *putter* was
//! killed, the number and how many records there are say what it had written and not published: that is put, unless the
//! queue is closed meanwhile. Blocks of the pool are in use if and only if their message is in the queue, so none is
//! ever lost. A call that finds the queue full or empty, observers, and calls that sleep look whether a lock has been
//! left by a dead one. A *stopped* participant keeps its lock: calls that do not wait say `Busy` after 10 ms, calls
//! with a deadline say `Timeout` in time, and the others wait.
//!
//! # Acknowledged queues
//!
//! What an [`AcknowledgedQueue`] hands out is kept in the control file until it is acknowledged, and so is the one record
//! that a getter has read and not taken yet: a getter that is killed, at whichever instruction, loses nothing. A holder
//! that is killed loses what it has within 50 ms to those who wait, and to the next get otherwise (one that comes within
//! 20 µs of the last look whether holders live may get a later message first); a stopped one keeps it. Leases are looked
//! after as often.
//!
//! Dead letters go to the queue of that name in the same directory, whichever it is at the time; while it is full, closed
//! or removed they are handed out again. Who has a queue by its name holds that of its dead letters, too, which so ends
//! with it at the earliest. A process that inherited a named queue, and did not open it by its name, does not know
//! where they go, and hands them out again.
//!
//! # What it costs
//!
//! Two system calls for each message, one to write and one to read, or two for each 64 in a batch. An empty queue uses
//! 28 KiB of memory, and up to 48 KiB more once long messages have been in it; beyond that, memory follows content, and
//! is given back within a second. A long message takes its length in the pool, rounded up to 1 KiB. A process that
//! empties a queue of much memory starts a thread that gives the memory back and ends. A process has two descriptors
//! for each queue, and needs two more for an instant when it finds that another was killed.
//!
//! # Limits
//!
//! | what | limit |
//! |---|---|
//! | capacity | what the largest pipe that `fs.pipe-max-size` allows holds: 16321 messages at 1 MiB, as it is by default |
//! | pipes of one user | `fs.pipe-user-pages-soft` pages (16384 by default) in all: 64 of the largest, 256 of queues with the default capacity; then there are only very small ones, and a queue that is asked to be larger is refused, with the largest capacity to be had and these two settings |
//! | content of the pool | 16 GiB, the memory there is, and an eighth of a limited address space (`ulimit -v`) |
//! | one message | 4 GiB - 1 |
//! | messages in flight or come back | what the capacity allows, and 16 GiB |
//! | processes that hold deliveries | 1024 at a time |
//! | address space of an acknowledged queue, and length of its file | 32 GiB and 16 GiB more, nearly all of them holes |
//! | processes that wait or are registered producers | 1024 at a time |
//! | where | 64-bit Linux 5.16 or newer, one boot, one PID namespace; a file system with FIFOs |
//!
//! Long messages are copied under the lock of their side: others on that side are `Busy` or wait while hundreds of
//! MiB are. A process in another PID namespace (a container) than the queue's maker is refused. Using a queue inside a
//! signal handler is not supported. Whoever may write a queue's files can read its pipe empty, which is an error for
//! everybody else, or truncate its control file, which ends those that use it: that is not defended against, and the
//! default directory is private.
//!
//! A process may fork while it has queues open; both sides go on using them, and both hold them. A child that was
//! started with [`share_with`](Queue::share_with) holds the queue from its first instruction, whether or not it asks for
//! it. Nothing else in a process may open and close the control file of one of its named queues: closing any descriptor
//! of it ends, for the kernel, the record lock that says that this process is alive.

mod conduit;
mod flow;
mod hand;
mod kernel;
mod layout;
mod map;
mod names;
mod operate;
mod pages;
mod pool;
mod record;
mod recover;
mod size;
mod transport;
mod upkeep;
mod wait;

pub use ipcq_core::codec;
pub use ipcq_core::error;
pub use ipcq_core::{
    AcknowledgedQueue, Batch, Bincode, Bytes, Capacity, Channel, Codec, Delivery, Limit, Queue, QueueAddress,
    QueueName, QueueOptions, Receipt, Select, Stat, Transport, Wait,
};
pub use transport::PipeTransport;

/// The name of this transport.
const NAME: &str = "pipe";
/// What the pipe of a queue is called when a child inherits it, beside the control file.
const CARRIER_NAME: &str = "pipe_carrier";
