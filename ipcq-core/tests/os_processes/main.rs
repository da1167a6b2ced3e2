//! What `os` promises about processes and files, checked with real ones.
#![cfg(feature = "os")]

// Queue files: made, published, found, removed, listed.
mod directory;
// Queues passed to the children of a `Command`.
mod inherit;
// Who is alive in a queue.
mod participants;
// Forked processes, their watchdog, and the memory that they share.
mod processes;
