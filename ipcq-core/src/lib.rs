//! A bounded queue between processes: typed, exact, and unharmed by whatever dies around it.
//!
//! This crate is the contract and everything that is the same on every backend: the typed [`Queue`], codecs,
//! errors, options, and the traits that a backend implements. A program depends on a backend, such as
//! `ipcq-shm`, which re-exports [`Queue`]. The examples here run on [`memory::MemoryTransport`], whose queues
//! live in one process; another transport changes one line of them.
//!
//! # The smallest example
//!
//! ```
//! use ipcq_core::memory::MemoryTransport;
//! use ipcq_core::{Queue, QueueOptions};
//!
//! let transport = MemoryTransport::new();
//! let jobs = Queue::<String>::create(&transport, "jobs", &QueueOptions::new())?;
//! jobs.put("sweep".to_owned())?;
//! assert_eq!(jobs.get()?, "sweep");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Kinds of queues
//!
//! A *named* queue is made with [`Queue::create`] and found with [`Queue::open`] by any process of the user. How
//! long it lasts is its backend's [`Lifetime`]. An *anonymous* one, made with [`Queue::anonymous`], ends with its
//! last handle, and child processes inherit it.
//!
//! Every queue is bounded: it takes exactly as many messages as its [capacity](QueueOptions::capacity), 1000 if
//! none was asked for, whatever their sizes. Nothing is reserved for capacity; memory in use follows content.
//!
//! Messages are values of one type. Any type that serde can write and read will do, through the default codec
//! [`Bincode`]; with the codec [`Bytes`] a message is its own bytes. The queue records its codec, and opening it
//! with another is an error.
//!
//! ```
//! # use ipcq_core::memory::MemoryTransport;
//! use ipcq_core::{Bytes, Queue, QueueOptions};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Job {
//!     room: u32,
//!     tool: Option<String>,
//! }
//!
//! # let transport = MemoryTransport::new();
//! let options = QueueOptions::new().capacity(16).max_message(64 * 1024);
//! let jobs = Queue::<Job>::create(&transport, "jobs", &options)?;
//! let lines = Queue::<Vec<u8>, Bytes>::anonymous(&transport, &options)?;
//! # jobs.put(Job { room: 1, tool: None })?;
//! # assert_eq!(jobs.get()?.room, 1);
//! # lines.put(b"line".to_vec())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Sharing
//!
//! A handle may be used by many threads at once and cloned. To another process a queue goes by its name, by
//! inheritance ([`Queue::share_with`] in the parent, [`Queue::inherited`] in the child), or inside a message: a
//! handle of a named queue is itself a value that serde writes and reads.
//!
//! ```
//! # use ipcq_core::memory::MemoryTransport;
//! # use ipcq_core::{Queue, QueueOptions};
//! # let transport = MemoryTransport::new();
//! let questions = Queue::<(u32, Queue<u32>)>::create(&transport, "questions", &QueueOptions::new())?;
//! let answers = Queue::<u32>::create(&transport, "answers", &QueueOptions::new())?;
//!
//! questions.put((20, answers.clone()))?;
//! let (number, reply_to) = questions.get()?;
//! reply_to.put(number + 1)?;
//! assert_eq!(answers.get()?, 21);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Closing
//!
//! [`Queue::close`] closes the queue for everyone at one instant. Puts that take effect later are refused, gets
//! drain what is there and then say so, and whoever waits wakes. A loop over a queue ends there:
//!
//! ```
//! # use ipcq_core::memory::MemoryTransport;
//! # use ipcq_core::{Queue, QueueOptions};
//! # let jobs = Queue::<u32>::create(&MemoryTransport::new(), "jobs", &QueueOptions::new())?;
//! jobs.put_many([1, 2, 3])?;
//! jobs.close()?;
//! let mut sum = 0;
//! for job in &jobs {
//!     sum += job?;
//! }
//! assert_eq!(sum, 6);
//! assert!(jobs.put(4).unwrap_err().is_closed());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A queue made with [`auto_close`](QueueOptions::auto_close) closes by itself when its last producer has left,
//! whether it dropped its handles, exited or was killed. Dropping a handle closes no other queue.
//!
//! # Acknowledging
//!
//! What a getter has taken from a [`Queue`] is lost if it dies. An [`AcknowledgedQueue`] hands out a [`Delivery`]
//! instead: the message is gone once it is [acknowledged](Delivery::acknowledge), and goes back to its place when the
//! delivery is dropped, or its holder dies. [`join`](AcknowledgedQueue::join) waits until all that was put is done.
//!
//! ```
//! # use ipcq_core::memory::MemoryTransport;
//! use ipcq_core::{AcknowledgedQueue, QueueOptions};
//!
//! # let transport = MemoryTransport::new();
//! let jobs = AcknowledgedQueue::<String>::create(&transport, "jobs", &QueueOptions::new())?;
//! jobs.put("sweep".to_owned())?;
//! drop(jobs.get()?);
//! let again = jobs.get()?;
//! assert_eq!((again.as_str(), again.redeliveries()), ("sweep", 1));
//! again.acknowledge()?;
//! jobs.join()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Blocking
//!
//! Every operation that may wait comes in these forms, and so do [`put_many`](Queue::put_many) and
//! [`get_many`](Queue::get_many), which move many messages for little more than the price of one:
//!
//! | | does not wait | waits a while | waits as long as it takes |
//! |---|---|---|---|
//! | put | [`try_put`](Queue::try_put) | [`put_timeout`](Queue::put_timeout), [`put_deadline`](Queue::put_deadline) | [`put`](Queue::put) |
//! | get | [`try_get`](Queue::try_get), [`try_iter`](Queue::try_iter) | [`get_timeout`](Queue::get_timeout), [`get_deadline`](Queue::get_deadline) | [`get`](Queue::get), [`iter`](Queue::iter) |
//!
//! Behind the feature `os`, which every backend turns on, `Select` waits for several queues at once; behind `tokio`,
//! `get_async` and `put_async` wait in futures.
//!
//! [`len`](Queue::len), [`is_empty`](Queue::is_empty), [`is_full`](Queue::is_full) and
//! [`is_closed`](Queue::is_closed) are exact at an instant inside the call and never wait.
//!
//! # Errors
//!
//! Each operation has an error type of its own in [`error`], with a question for each state (`is_full`,
//! `is_empty`, `is_closed`, `is_timeout`, `is_busy`). A value that was not put is handed back, and a message that
//! does not decode keeps its bytes.
//!
//! ```
//! # use ipcq_core::memory::MemoryTransport;
//! # use ipcq_core::{Queue, QueueOptions};
//! # let jobs = Queue::<String>::create(&MemoryTransport::new(), "jobs", &QueueOptions::new().capacity(1))?;
//! jobs.put("first".to_owned())?;
//! match jobs.try_put("second".to_owned()) {
//!     Ok(()) => println!("put"),
//!     Err(error) if error.is_full() => println!("no room for {}", error.into_inner()),
//!     Err(error) => return Err(error.into()),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Watching
//!
//! [`Queue::stat`] says how many messages went through a queue, how often calls slept, and what else is known of it. With
//! the feature `tracing`, what is rare and worth knowing is told as [events](trace).
//!
//! # Writing a backend
//!
//! A backend implements [`Transport`], which makes and finds queues, and [`Channel`], which is one queue of
//! bytes; both are object-safe, so a program can choose at run time. What several backends need of the operating
//! system is behind the feature `os`. `examples/toy_backend.rs` is a whole one. Its steps:
//!
//! 1. *Make a queue.* [`QueueOptions::settle`] checks what was asked for against your [`Capabilities`] and says the capacity
//!    ([`settle_anonymous`](QueueOptions::settle_anonymous) for a queue without a name, if you offer dead letters).
//!    [`Identity::new`] keeps it, with the queue's name and its directory, and with an incarnation, a number that no other
//!    queue ever had. Where the name is taken, say [`CreateError::exists`].
//! 2. *Find it.* [`Transport::open`] says [`OpenError::missing`], and [`Transport::remove`] [`RemoveError::missing`], where there
//!    is none: of `toy:jobs`, say, for errors name a queue by its transport and its name, as [`Identity`] displays itself. [`Transport::list`] is sorted. Call [`register_transport`] whenever a transport is made, so that a handle inside
//!    a message opens: it gives you the directory and the name back.
//! 3. *Put.* [`Identity::gather`] checks the length before anything else, and makes one message of the parts. Wait until there
//!    is room or the queue is closed; closed counts first. If `wait` is over before, say [`PutFault::no_room_in`] it.
//! 4. *Get.* Wait until there is a message or the queue is closed. A message counts first: a closed queue is drained, and then
//!    says [`GetFault::Closed`]. If `wait` is over before, say [`GetFault::no_message_in`] it. Where the
//!    caller's buffer must grow, a failure to is an error, and the message stays.
//! 5. *Wait.* [`Wait::is_over`] and [`Wait::remaining`] are all you need. Look at the queue once even if the wait is over.
//!    Who sleeps is counted in [`Stat`], at the time and for ever ([`Stat::waits_mut`]): the suite waits
//!    for others to be asleep by looking there.
//! 6. *End.* [`Channel::close`] wakes everyone. Removing closes, wakes everyone, and forgets the messages; then
//!    observers and `close` say [`Identity::gone`], puts and gets `Closed`.
//!
//! Then give it to the suite: `ipcq_core::conformance_suite!(ipcq_core::conformance::InProcess<MyTransport>);`, with the feature
//! `conformance`.
//!
//! # The contract
//!
//! Every backend promises this, and what it cannot do it says in its [`Capabilities`]: asking for it is an error
//! when the queue is made.
//!
//! | clause | |
//! |---|---|
//! | Q1 order | first in, first out, over all processes; each message goes to exactly one getter |
//! | Q2 linearizable | every operation takes effect at one instant between its call and its return |
//! | Q3 payload | 0 bytes up to the queue's limit, whole and unchanged; what can never fit is refused at once |
//! | Q4 capacity | exact, whatever the sizes, with no consumer running |
//! | Q5 waiting | three forms; waiters sleep, and wake when they can proceed; time that ran out means no effect |
//! | Q6 observers | exact at an instant inside the call, and never wait for another participant |
//! | Q7 closing | for everyone at one instant; gets drain what is there |
//! | Q8 batches | each message takes effect by itself, in order; a killed batch leaves a prefix |
//! | Q9 handles | used by many threads, cloned, passed to other processes, and used after `fork` |
//! | Q10 fairness | none of those who wait gets less than a tenth of its even share |
//! | Q11 names | 1 to 200 of letters, digits, `.`, `_`, `-`; never outside the queue's own directory |
//! | Q12 making | one winner among racing creators; opening checks all that it trusts, and names what does not match |
//! | Q13 life | as the backend's [`Lifetime`] says; removing wakes everyone and leaves nothing |
//! | Q14 private | only the user who made a queue can open it, unless a wider mode was asked for |
//! | Q15 death | participants can be killed at any instruction: nothing is lost, doubled, torn or leaked |
//! | Q16 bad bytes | a message that does not decode is an error for its receiver alone; no content crashes anyone |
//! | Q17 no room | memory or disk that runs out is an error at once, and the queue works again when there is some |
//! | Q18 no ceremony | what was put stays put, without a join, flush or exit hook |
//! | Q19 nobody left | a queue can be made to close by itself when its last producer has left |
//! | Q20 acknowledged | a get hands out a delivery; what is not acknowledged goes back to its place |
//! | Q21 join | waits until all that was put before has been acknowledged or dead-lettered |
//!
//! # What is deliberately absent
//!
//! There are no priorities, no peeking and no resizing: each would make one of the promises above inexact.
//! Neither are there publishers and subscribers (a message goes to one getter), nor queues between machines.
#![deny(unsafe_code)]

mod address;
mod capabilities;
pub mod codec;
#[cfg(feature = "conformance")]
pub mod conformance;
mod deadline;
mod delivery;
pub mod error;
mod identity;
mod loan;
pub mod memory;
mod message;
mod name;
mod options;
#[cfg(feature = "os")]
pub mod os;
pub mod queue;
mod readiness;
mod registry;
#[cfg(feature = "os")]
pub mod select;
mod stat;
mod system_limit;
pub mod trace;
mod transport;

pub use address::QueueAddress;
pub use capabilities::{Capabilities, Lifetime};
#[cfg(feature = "bincode")]
pub use codec::Bincode;
#[cfg(feature = "json")]
pub use codec::Json;
#[cfg(feature = "postcard")]
pub use codec::Postcard;
pub use codec::{Bytes, Codec, DecodeFailure, DefaultCodec, EncodeError};
pub use deadline::Wait;
pub use delivery::DeliveryTag;
pub use error::{
    BackendError, BackendErrorKind, CreateError, DecodeError, DeliveryError, DeliveryFault, GetError,
    GetFault, GetManyError, GetTimeoutError, JoinError, JoinFault, LoanError, OpenError, PutError, PutFault,
    PutManyError, PutTimeoutError, RemoveError, TryGetError, TryPutError,
};
pub use identity::Identity;
pub use loan::{Lent, Loan};
pub use message::{Batch, Limit};
pub use name::{NameError, QueueName};
pub use options::{Capacity, QueueOptions};
pub use queue::{AcknowledgedQueue, Delivery, Queue, Receipt};
pub use readiness::{ASLEEP, Readiness, Side};
pub use registry::{OpenAddress, register_transport};
#[cfg(feature = "os")]
pub use select::Select;
pub use stat::Stat;
pub use system_limit::SystemLimit;
pub use transport::{Channel, Transport};
