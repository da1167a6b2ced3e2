//! Puts, as requests.

use std::collections::TryReserveError;

use bytes::Bytes;
use ipcq_core::{BackendErrorKind, Batch, PutFault, Wait};

use crate::client::{Client, Failed};
use crate::connection::{Connection, Reply};
use crate::packed::{self, PREFIX};
use crate::wire::{Op, PIECE, Status, UPLOADED};

/// How many bytes of messages one request carries at most, the first message excepted.
pub(crate) const REQUEST: usize = 256 << 10;
/// How many messages one request carries at most.
const MESSAGES: usize = 4096;

/// What became of a put on a connection that works.
type Put<T> = Result<T, Failed>;

impl Client {
    /// Puts one message.
    pub(crate) fn put(
        &self,
        connection: &mut Connection,
        parts: &[&[u8]],
        wait: Wait,
    ) -> Put<Result<(), PutFault>> {
        let len = parts.iter().map(|part| part.len()).fold(0, usize::saturating_add);
        let max = self.identity().max_message;
        if len > max {
            return Ok(Err(PutFault::TooLong { len, max }));
        }
        if len > PIECE {
            return self.put_long(connection, parts, wait);
        }
        let prefix = packed::prefix(len);
        let content: Vec<&[u8]> = std::iter::once(prefix.as_slice()).chain(parts.iter().copied()).collect();
        let request = Self::request(connection, Op::Put, wait);
        let reply = self.exchange(connection, &request, &content)?;
        Ok(self.put_result(&reply, wait).1)
    }

    /// Puts one message that is longer than a frame may be: in pieces, which become a message together.
    fn put_long(
        &self,
        connection: &mut Connection,
        parts: &[&[u8]],
        wait: Wait,
    ) -> Put<Result<(), PutFault>> {
        let mut pieces = Pieces { parts: parts.iter(), rest: &[] };
        let mut offset = 0;
        loop {
            let piece = match pieces.next() {
                Ok(piece) if piece.is_empty() => break,
                Ok(piece) => piece,
                Err(error) => return Ok(Err(self.no_memory(error))),
            };
            let mut request = Self::request(connection, Op::Part, Wait::Forever);
            request.a = offset;
            offset += piece.len() as u64;
            let reply = self.exchange(connection, &request, &[&piece])?;
            if Status::parse(reply.header.code) != Some(Status::Ok) {
                return Ok(self.put_result(&reply, wait).1);
            }
        }
        let mut request = Self::request(connection, Op::Put, wait);
        request.flags |= UPLOADED;
        let reply = self.exchange(connection, &request, &[])?;
        Ok(self.put_result(&reply, wait).1)
    }

    /// Puts the messages of `batch` from number `from` on.
    pub(crate) fn put_many(&self, batch: &Batch, from: usize, wait: Wait) -> (usize, Result<(), PutFault>) {
        let mut done = 0;
        let put = self.with_connection(wait, |connection| {
            while from + done < batch.len() {
                let (count, result) = self.put_some(connection, batch, from + done, wait)?;
                done += count;
                if let Err(fault) = result {
                    return Ok(Err(fault));
                }
            }
            Ok(Ok(()))
        });
        (done, put.unwrap_or_else(|failed| Err(self.put_fault(failed, wait))))
    }

    /// Puts as many messages as one request carries.
    fn put_some(
        &self,
        connection: &mut Connection,
        batch: &Batch,
        from: usize,
        wait: Wait,
    ) -> Put<(usize, Result<(), PutFault>)> {
        let max = self.identity().max_message;
        let (mut count, mut len) = (0, 0);
        for message in batch.iter_from(from).take(MESSAGES) {
            if message.len() > max.min(PIECE) || (count > 0 && len + message.len() > REQUEST) {
                break;
            }
            count += 1;
            len += message.len();
        }
        if count == 0 {
            let message = batch.get(from).unwrap_or_default();
            let result = self.put(connection, &[message], wait)?;
            return Ok((usize::from(result.is_ok()), result));
        }
        let mut content = Vec::new();
        let packed = content.try_reserve_exact(len + count * PREFIX).and_then(|()| {
            batch.iter_from(from).take(count).try_for_each(|message| packed::push(&mut content, &[message]))
        });
        if let Err(error) = packed {
            return Ok((0, Err(self.no_memory(error))));
        }
        let request = Self::request(connection, Op::Put, wait);
        let reply = self.exchange(connection, &request, &[&content])?;
        Ok(self.put_result(&reply, wait))
    }

    /// How many messages went in, and why the rest did not.
    pub(crate) fn put_result(&self, reply: &Reply, wait: Wait) -> (usize, Result<(), PutFault>) {
        let [count, len, ..] = reply.header.fields;
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let max = self.identity().max_message;
        let result = match Status::parse(reply.header.code) {
            Some(Status::Ok) => Ok(()),
            Some(Status::Full) => Err(PutFault::Full),
            Some(Status::Timeout) if wait == Wait::No => Err(PutFault::Busy),
            Some(Status::Timeout) => Err(PutFault::Timeout),
            Some(Status::Closed) => Err(PutFault::Closed),
            Some(Status::TooLong) => Err(PutFault::TooLong { len: size(len), max }),
            Some(Status::NoRoom) => {
                let what = "the process that hosts it has no memory for a message";
                Err(self.error(BackendErrorKind::NoRoom, what).with_advice("free some and try again").into())
            }
            _ => Err(self.nonsense().into()),
        };
        (size(count), result)
    }

    pub(crate) fn no_memory(&self, source: TryReserveError) -> PutFault {
        let what = "this process has no memory to send a message from";
        let error = self.error(BackendErrorKind::NoRoom, what);
        error.with_advice("free some and try again").with_source(source).into()
    }
}

/// The bytes of several parts, cut anew.
struct Pieces<'a> {
    parts: std::slice::Iter<'a, &'a [u8]>,
    rest: &'a [u8],
}

impl Pieces<'_> {
    /// The next piece, which is full unless it is the last; an empty one is the end.
    fn next(&mut self) -> Result<Bytes, TryReserveError> {
        let mut piece = Vec::new();
        piece.try_reserve_exact(PIECE)?;
        while piece.len() < PIECE {
            if self.rest.is_empty() {
                match self.parts.next() {
                    Some(part) => self.rest = part,
                    None => break,
                }
            }
            let (now, later) = self.rest.split_at(self.rest.len().min(PIECE - piece.len()));
            piece.extend_from_slice(now);
            self.rest = later;
        }
        Ok(piece.into())
    }
}
