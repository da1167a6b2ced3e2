//! Puts and gets of single messages by several threads at a time, which go to the broker as one request.

use std::collections::TryReserveError;

use ipcq_core::{BackendError, BackendErrorKind, GetFault, PutFault, Wait};

use crate::client::{Client, Failed};
use crate::combine::Job;
use crate::connection::Connection;
use crate::get::Content;
use crate::packed;
use crate::put;
use crate::wire::{Op, SOME};

/// The longest message that is put along with others; the copying of a longer one costs more than a request.
const LONGEST: usize = 16 << 10;

/// A message to be put.
pub(crate) struct PutJob {
    packed: Vec<u8>,
    result: Option<Result<(), PutFault>>,
}

impl Job for PutJob {
    fn is_done(&self) -> bool {
        self.result.is_some()
    }

    fn size(&self) -> usize {
        self.packed.len()
    }
}

/// A message to be got.
pub(crate) struct GetJob {
    message: Vec<u8>,
    result: Option<Result<(), GetFault>>,
}

impl Job for GetJob {
    fn is_done(&self) -> bool {
        self.result.is_some()
    }

    fn size(&self) -> usize {
        0
    }
}

/// Whether a message of these parts may be put along with others.
pub(crate) fn fits(parts: &[&[u8]]) -> bool {
    parts.iter().map(|part| part.len()).fold(0, usize::saturating_add) <= LONGEST
}

/// Gives each of `jobs` a message of `packed`, as far as there are.
fn share_out(packed: &[u8], jobs: &mut [GetJob]) -> Result<(), TryReserveError> {
    for (job, content) in jobs.iter_mut().zip(packed::iter(packed)) {
        job.message.try_reserve(content.len())?;
        job.message.extend_from_slice(content);
    }
    Ok(())
}

impl Client {
    /// Puts one message, however long that takes.
    pub(crate) fn put_together(&self, parts: &[&[u8]]) -> Result<(), PutFault> {
        let (len, max) = (parts.iter().map(|part| part.len()).sum(), self.identity().max_message);
        if len > max {
            return Err(PutFault::TooLong { len, max });
        }
        let mut packed = Vec::new();
        packed::push(&mut packed, parts).map_err(|error| self.no_memory(error))?;
        let done = self.puts.run(PutJob { packed, result: None }, |jobs| self.put_all(jobs));
        done.and_then(|job| job.result).unwrap_or_else(|| Err(self.abandoned().into()))
    }

    /// Puts the messages of as many of `jobs` as fit, one at least.
    fn put_all(&self, jobs: &mut [PutJob]) {
        let put = self.with_connection(Wait::Forever, |connection| {
            let mut content = Vec::new();
            match &mut *jobs {
                [alone] => content = std::mem::take(&mut alone.packed),
                jobs => {
                    if let Err(error) = content.try_reserve_exact(jobs.iter().map(Job::size).sum()) {
                        return Ok((0, Err(self.no_memory(error))));
                    }
                    jobs.iter().for_each(|job| content.extend_from_slice(&job.packed));
                }
            }
            let mut request = Self::request(connection, Op::Put, Wait::Forever);
            request.flags |= SOME;
            let reply = self.exchange(connection, &request, &[&content])?;
            Ok(self.put_result(&reply, Wait::Forever))
        });
        let (count, result) = match put {
            Ok((count, Ok(()))) if count == 0 || count > jobs.len() => (0, Err(self.nonsense().into())),
            Ok(put) => put,
            Err(failed) => {
                // Whether their messages are in the queue is unknown, so they may not try again.
                let others = jobs.iter_mut().skip(1);
                others.for_each(|job| job.result = Some(Err(self.echo(&failed).into())));
                (0, Err(self.put_fault(failed, Wait::Forever)))
            }
        };
        jobs.iter_mut().take(count).for_each(|job| job.result = Some(Ok(())));
        // The one that was refused is told why; those behind it ask for themselves.
        if let (Err(fault), Some(job)) = (result, jobs.get_mut(count)) {
            job.result = Some(Err(fault));
        }
    }

    /// Gets one message, however long that takes.
    pub(crate) fn get_together(&self, message: &mut Vec<u8>) -> Result<(), GetFault> {
        let job = GetJob { message: std::mem::take(message), result: None };
        let done = self.gets.run(job, |jobs| self.get_all(jobs));
        let Some(GetJob { message: got, result: Some(result) }) = done else {
            return Err(self.abandoned().into());
        };
        *message = got;
        result
    }

    /// Gets messages for as many of `jobs` as there are, one at least.
    fn get_all(&self, jobs: &mut [GetJob]) {
        let got = self.with_connection(Wait::Forever, |connection| match &mut *jobs {
            [alone] => Ok(self.get(connection, &mut alone.message, Wait::Forever)?.map(|()| 1)),
            jobs => self.get_each(connection, jobs),
        });
        let got = got.unwrap_or_else(|failed| Err(self.get_fault(failed, Wait::Forever)));
        match got {
            Ok(count) => jobs.iter_mut().take(count).for_each(|job| job.result = Some(Ok(()))),
            // Nothing happened to the others, which ask for themselves.
            Err(fault) => {
                jobs.iter_mut().take(1).zip([fault]).for_each(|(job, fault)| job.result = Some(Err(fault)))
            }
        }
    }

    /// Gets a message for each of as many of `jobs` as there are messages; asks anew if they are called back.
    fn get_each(
        &self,
        connection: &mut Connection,
        jobs: &mut [GetJob],
    ) -> Result<Result<usize, GetFault>, Failed> {
        let number = jobs.len();
        loop {
            jobs.iter_mut().for_each(|job| job.message.clear());
            let Some(first) = jobs.first_mut() else { return Ok(Ok(0)) };
            let haul = match self.haul(connection, number, put::REQUEST, &mut first.message, Wait::Forever)? {
                Ok(haul) => haul,
                Err(fault) => return Ok(Err(fault)),
            };
            let arrival = haul.arrival();
            let (count, whole) = match haul.content {
                Content::Packed(packed, count, _) => {
                    if let Err(error) = share_out(&packed, jobs) {
                        return self.leave(connection, error);
                    }
                    (count, true)
                }
                Content::Long(piece, len) => {
                    first.message.extend_from_slice(&piece);
                    (1, self.fetch(connection, &mut first.message, len)?)
                }
            };
            if whole && self.acknowledge(connection, arrival)? {
                return Ok(Ok(count));
            }
        }
    }

    /// What a call failed with, for another one that it did along with its own.
    fn echo(&self, failed: &Failed) -> BackendError {
        match failed {
            Failed::Backend(error) if !error.is_gone() => {
                let what = "another thread failed to put this message along with its own";
                self.error(error.kind(), what).with_source(error.to_string())
            }
            _ => self.gone(),
        }
    }

    /// What a call says that another thread was to do, which panicked.
    fn abandoned(&self) -> BackendError {
        let what = "the thread that was to do this call panicked, and whether it took effect is unknown";
        self.error(BackendErrorKind::Other, what)
    }
}
