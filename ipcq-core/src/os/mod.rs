//! What several backends need of the operating system: who this thread is ([`process`]), a lock that the kernel
//! repairs ([`lock`]), what time it is ([`clock`]), sleep and wake ([`event`], [`waiting`], `sleep_on_many`), the calls of a queue with two of them ([`two_lock`], [`refusal`]), who is alive in a queue ([`participants`],
//! [`presence`]), the directory of its files ([`directory`], [`home`]), its memory ([`storage`], [`open_files`],
//! [`fixed`], [`mapping`], [`reaper`], [`allocator`]), how a child gets it ([`inherit`]), and what a queue is whose processes share
//! memory ([`ends`], [`shared_queue`], [`handle`]), of which some hand out what is to be acknowledged
//! ([`deliveries`]), and some lend it ([`lending`]).
//!
//! This is the one part of core with unsafe code. Everything here works on words in memory that other processes
//! share, and treats what they hold as hostile.
#![allow(unsafe_code, reason = "the one part of core that talks to the kernel")]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("ipcq needs a 64-bit Linux, 5.16 or newer");

pub mod allocator;
pub mod clock;
pub mod deliveries;
pub mod directory;
pub mod ends;
pub mod event;
pub mod failure;
pub mod fixed;
pub mod fork_lock;
mod futex;
pub mod handle;
pub mod home;
pub mod inherit;
pub mod lending;
pub mod lock;
pub mod machine;
pub mod mapping;
pub mod open_files;
pub mod participants;
pub mod presence;
pub mod process;
pub mod reaper;
pub mod refusal;
pub mod shared_queue;
pub(crate) mod sleep_on_many;
pub mod storage;
pub mod two_lock;
pub mod waiting;
