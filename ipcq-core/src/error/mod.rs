//! Every error: what transports report ([`PutFault`], [`GetFault`], [`BackendError`]), and what callers of a
//! queue get, one type per operation.

mod backend;
mod fault;
mod lifecycle;

pub use backend::{BackendError, BackendErrorKind};
pub use fault::{GetFault, PutFault};
pub use lifecycle::{CreateError, OpenError, RemoveError};
