//! ipcq over ZeroMQ: typed, bounded queues between processes that a program in any language can join.
//!
//! ```
//! use ipcq_zmq::{Queue, QueueOptions, ZmqTransport};
//!
//! # let directory = tempfile::tempdir()?;
//! let zmq = ZmqTransport::in_directory(directory.path());
//! let queue: Queue<String> = Queue::create(&zmq, "jobs", &QueueOptions::new())?;
//! queue.put("hello".to_owned())?;
//! assert_eq!(queue.get()?, "hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The process that makes a queue hosts its *broker*, a thread that holds the messages and serves clients over a Unix
//! socket, `jobs.zmq` in the queue directory. Everyone else, and the host's own handles, are its clients. What they say
//! to each other is written down in `PROTOCOL.md`; `examples/client.py` is a client in plain pyzmq.
//!
//! # How long a queue lasts
//!
//! A *named* queue lasts until it is removed or its host ends, whether or not the host has a handle of it. When the host ends, calls that
//! wait are told within a second that the queue is gone, and its name is free. What was in it is lost. An *anonymous*
//! queue ends when its host has no handle left, no client is connected, and no child that it was shared with lives.
//!
//! # What happens when a participant is killed
//!
//! The kernel tells the broker, which asks before each request. What the dead process waited for does not happen; a put
//! that it was in is wholly there or not at all, and does not come to be there after that. A message that was sent to it
//! goes back to its place, unless one behind it has left by then, or it had arrived: a short one when it had been read,
//! which the kernel tells the broker, a longer one when the client had acknowledged it, which it does before a get
//! returns. So nothing is delivered twice. Where a session ends and its process lives, all that it had not acknowledged
//! goes back, also where that is more than the queue has room for: then it holds more than its capacity until as many
//! messages have left.
//!
//! On an [acknowledged](AcknowledgedQueue) queue a get hands out a delivery, which is the process's from then
//! on, stopped or not, until it acknowledges it, gives it back, or dies, or its lease runs out. The broker keeps the
//! message meanwhile. Its queue of dead letters is made along with it and hosted by the same process; while another process
//! hosts one of that name, the queue cannot be made.
//!
//! When a client is *stopped* while others wait, what it was sent last and has neither read nor acknowledged is called back
//! for them after 25 ms.
//!
//! When the host is *stopped*, calls that do not wait say `Busy` and calls with a deadline say `Timeout` within 0.3 s
//! of it; observers, `close` and `remove` fail after as long, for only the broker can answer them. These are the
//! promises that this transport cannot keep to the letter.
//!
//! # Whom it trusts
//!
//! The broker believes nothing that it reads, and speaks ZMTP itself. The crate `zeromq` allocates what a frame's header
//! claims before anything is checked, even before the handshake, and it accepts connections by itself, so that nothing
//! can stand between: 73 random bytes could end the host. Relaying everything through a filter would have cost two more
//! hops for each message. On their own machine clients speak ZMTP themselves, too, and believe a broker no more than it does
//! them. Over the network they run over the crate's DEALER socket. Before a client hands that an address, code that
//! believes nothing has looked at who listens there; a program that takes on the part of a broker at an address and lies
//! about lengths afterwards can still end a client.
//!
//! # Over the network
//!
//! A queue can listen at an address as well, if its maker says so: [`ZmqTransport::listening`]; who is to reach it from elsewhere opens
//! it by [`ZmqTransport::open_remote`]. **Anybody who can reach the address can put, get and close: there is no
//! authentication, and nothing is encrypted.** So it is an address of this machine alone, unless the maker asks for another.
//! The limits hold there too: nothing that a peer sends can end, stop or bloat the host.
//!
//! From elsewhere less can be known. A host that does not answer is given a second more than the call's deadline. A client
//! that was killed is noticed when its connection ends, and gone for good 5 s later; but the deliveries that it holds go
//! back at once, also if it lives and comes back: then they are not its own any more. What was sent to a stopped one
//! stays with it. A message whose acknowledgement is lost with the connection comes twice, unless its client makes another
//! call within 5 s. A child that it has forked keeps its connections open, so that its death shows when that has ended too, and
//! a call that it gave up may still take effect. A queue is removed, and passed to children, only on its own machine.
//!
//! # What it costs
//!
//! A call is one request and one reply, and a get of more than 8 KiB one acknowledgement more; a batch is one request too. A get
//! that does not wait, and finds nothing, takes up to 20 µs where one of the last eight had found something: so who asks time
//! and again has the next message when it comes. The calling thread does the work itself. Puts and gets that may wait
//! for ever, and are made by several threads at a time, are done together, as one request: where as many come again and
//! again, the first ones wait for the last one, 50 µs at most. Other calls have a connection each, which is kept for later
//! ones (at most 64 per queue). Both sides look for more to do for 50 µs at most before they sleep, a thread whose call
//! another one does for 100 µs, and a broker also until something is due that soon; a call that waits wakes four times a
//! second.
//!
//! # Limits
//!
//! | what | limit |
//! |---|---|
//! | capacity | 2^31 - 1 messages |
//! | one message | 16 GiB |
//! | content of a queue | 64 GiB, and the memory there is |
//! | connections | 16,384, and the file handles there are |
//! | where | 64-bit Linux 5.16 or newer |
//!
//! A process may fork while it has queues open. The child opens connections of its own and keeps those of its parent
//! open, unused. A child of the host is a client like any other.
#![deny(unsafe_code)]

mod address;
mod admission;
mod broker;
mod client;
mod clock;
mod combine;
mod company;
mod connection;
mod dead_letters;
mod deaths;
mod deliveries;
mod delivery;
mod desk;
mod exchange;
mod frames;
mod get;
mod handshake;
mod joins;
mod link;
mod liveness;
mod network;
mod numbers;
mod packed;
mod past;
mod peer;
mod pieces;
mod process;
mod put;
mod queue;
mod recall;
mod regulars;
mod remote;
#[cfg(test)]
mod schedule;
mod serve;
mod server;
mod session;
mod share;
mod slack;
mod socket;
mod spin;
mod store;
mod stream;
mod tally;
mod tcp;
mod together;
mod transport;
mod unread;
mod upkeep;
mod welcome;
mod wire;

pub use ipcq_core::codec;
pub use ipcq_core::error;
pub use ipcq_core::{
    AcknowledgedQueue, Batch, Bincode, Bytes, Capacity, Channel, Codec, Delivery, Limit, Queue, QueueAddress,
    QueueName, QueueOptions, Receipt, Select, Stat, Transport, Wait,
};
pub use transport::ZmqTransport;

/// The name of this transport.
const NAME: &str = "zmq";
