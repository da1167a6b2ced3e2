//! Every error: what callers of a queue get, one type per operation, and what transports report
//! ([`PutFault`], [`GetFault`], [`BackendError`]).
//!
//! Each text is one sentence in lower case that names the queue as `shm:jobs` and says what to do next; what
//! `source` returns is not in it. Neither `Display` nor `Debug` shows a message or needs anything of its type.

mod backend;
mod decode;
mod delivery;
mod fault;
mod get;
mod lifecycle;
mod loan;
mod many;
mod put;

pub use backend::{BackendError, BackendErrorKind};
pub use decode::DecodeError;
pub use delivery::{DeliveryError, JoinError};
pub use fault::{DeliveryFault, GetFault, JoinFault, PutFault};
pub(crate) use get::{GetCause, Missed};
pub use get::{GetError, GetTimeoutError, TryGetError};
pub use lifecycle::{CreateError, OpenError, RemoveError};
pub use loan::LoanError;
pub(crate) use many::GetManyCause;
pub use many::{GetManyError, PutManyError, Rest};
pub(crate) use put::{PutCause, Refused};
pub use put::{PutError, PutTimeoutError, TryPutError};
