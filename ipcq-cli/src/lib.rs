//! The part of the command line that others can use: how it measures queues.
//!
//! `ipcq bench` is made of it, and so are the benchmarks that put ipcq beside other libraries.
#![deny(unsafe_code)]

pub mod measure;
