//! Messages that are built and read where they lie: putting and getting [loans](Loan), in three waiting forms.

use std::time::{Duration, Instant};

use super::Queue;
use crate::codec::{Bytes, Codec, EncodeError};
use crate::deadline::Wait;
use crate::error::{
    GetCause, GetError, GetTimeoutError, LoanError, Missed, PutCause, PutError, PutTimeoutError, Refused,
    TryGetError, TryPutError,
};
use crate::loan::Loan;

impl<T> Queue<T, Bytes>
where
    Bytes: Codec<T>,
{
    /// Lends room for a message of `len` bytes, to be built there and [put](Self::put_loan). What it holds at first is
    /// not said: zeros, or what an earlier message of this queue left there.
    ///
    /// It is the queue's own memory where the transport can do that and the message is long enough for it to pay, and
    /// memory of this process otherwise; [`Loan::is_in_place`] tells. It does not count as a message before it is
    /// put.
    ///
    /// # Blocking
    /// 10 ms at most for another process that is inside an operation.
    ///
    /// # Errors
    /// When the message is longer than the queue takes, or there is no memory for it.
    ///
    /// # Examples
    /// ```
    /// use ipcq_core::memory::MemoryTransport;
    /// use ipcq_core::{Bytes, Queue, QueueOptions};
    ///
    /// let frames = Queue::<Vec<u8>, Bytes>::anonymous(&MemoryTransport::new(), &QueueOptions::new())?;
    /// let mut frame = frames.loan(1920 * 1080)?;
    /// frame.fill(0x80);
    /// frames.put_loan(frame)?;
    /// assert_eq!(frames.get()?, vec![0x80; 1920 * 1080]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn loan(&self, len: usize) -> Result<Loan, LoanError> {
        self.channel.loan(len).map_err(|fault| LoanError::new(self.label.clone(), fault))
    }

    /// Puts the message that was built in `loan`, waiting for room as long as it takes. A loan of another queue is
    /// copied.
    ///
    /// # Blocking
    /// While the queue is full.
    ///
    /// # Errors
    /// As [`put`](Self::put). Nothing was put, and the error hands the loan back.
    pub fn put_loan(&self, loan: Loan) -> Result<(), PutError<Loan>> {
        self.put_loan_within(loan, Wait::Forever).map_err(PutError)
    }

    /// The same if there is room now.
    ///
    /// # Blocking
    /// Not for room; 10 ms at most for another process that is inside an operation.
    ///
    /// # Errors
    /// When the queue is full or busy, and as [`put_loan`](Self::put_loan).
    pub fn try_put_loan(&self, loan: Loan) -> Result<(), TryPutError<Loan>> {
        self.put_loan_within(loan, Wait::No).map_err(TryPutError)
    }

    /// The same, waiting for room for `timeout` at most. One that is too long for the clock is for ever.
    ///
    /// # Blocking
    /// While the queue is full, for `timeout` at most.
    ///
    /// # Errors
    /// When the time runs out, and as [`put_loan`](Self::put_loan).
    pub fn put_loan_timeout(&self, loan: Loan, timeout: Duration) -> Result<(), PutTimeoutError<Loan>> {
        self.put_loan_within(loan, Wait::timeout(timeout)).map_err(PutTimeoutError)
    }

    /// The same, waiting for room until `deadline` at most.
    ///
    /// # Blocking
    /// While the queue is full, until `deadline` at most.
    ///
    /// # Errors
    /// As [`put_loan_timeout`](Self::put_loan_timeout).
    pub fn put_loan_deadline(&self, loan: Loan, deadline: Instant) -> Result<(), PutTimeoutError<Loan>> {
        self.put_loan_within(loan, Wait::Until(deadline)).map_err(PutTimeoutError)
    }

    /// Gets the oldest message where it lies, waiting for one as long as it takes. It is taken by that: the loan is this
    /// process's alone. A message that was not built in place is copied, whoever put it, so that one kind of get serves
    /// all.
    ///
    /// # Blocking
    /// While the queue is empty and not closed.
    ///
    /// # Errors
    /// When the queue is closed and drained, or the backend fails; nothing was taken.
    ///
    /// # Examples
    /// ```
    /// use ipcq_core::memory::MemoryTransport;
    /// use ipcq_core::{Bytes, Queue, QueueOptions};
    ///
    /// let words = Queue::<Vec<u8>, Bytes>::anonymous(&MemoryTransport::new(), &QueueOptions::new())?;
    /// words.put(b"sweep".to_vec())?;
    /// let word = words.get_loan()?;
    /// assert_eq!(&word[..], b"sweep");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_loan(&self) -> Result<Loan, GetError> {
        self.get_loan_within(Wait::Forever).map_err(GetError)
    }

    /// The same if there is a message now.
    ///
    /// # Blocking
    /// Not for a message; 10 ms at most for another process that is inside an operation.
    ///
    /// # Errors
    /// When the queue is empty or busy, and as [`get_loan`](Self::get_loan).
    pub fn try_get_loan(&self) -> Result<Loan, TryGetError> {
        self.get_loan_within(Wait::No).map_err(TryGetError)
    }

    /// The same, waiting for a message for `timeout` at most. One that is too long for the clock is for ever.
    ///
    /// # Blocking
    /// While the queue is empty and not closed, for `timeout` at most.
    ///
    /// # Errors
    /// When the time runs out, and as [`get_loan`](Self::get_loan).
    pub fn get_loan_timeout(&self, timeout: Duration) -> Result<Loan, GetTimeoutError> {
        self.get_loan_within(Wait::timeout(timeout)).map_err(GetTimeoutError)
    }

    /// The same, waiting for a message until `deadline` at most.
    ///
    /// # Blocking
    /// While the queue is empty and not closed, until `deadline` at most.
    ///
    /// # Errors
    /// As [`get_loan_timeout`](Self::get_loan_timeout).
    pub fn get_loan_deadline(&self, deadline: Instant) -> Result<Loan, GetTimeoutError> {
        self.get_loan_within(Wait::Until(deadline)).map_err(GetTimeoutError)
    }

    fn put_loan_within(&self, mut loan: Loan, wait: Wait) -> Result<(), Refused<Loan>> {
        let outcome = if self.read_only {
            Err(PutCause::Encode(EncodeError::read_only()))
        } else {
            self.channel.put_loan(&mut loan, wait).map_err(PutCause::Fault)
        };
        outcome.map_err(|cause| Refused { value: loan, queue: self.label.clone(), cause })
    }

    fn get_loan_within(&self, wait: Wait) -> Result<Loan, Missed> {
        let missed = |fault| Missed { queue: self.label.clone(), cause: GetCause::Fault(fault) };
        self.channel.get_loan(wait).map_err(missed)
    }
}
