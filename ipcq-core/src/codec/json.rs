//! JSON, for programs in other languages and for people.

use std::io::{self, ErrorKind, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Codec, DecodeFailure, EncodeError};

/// JSON through serde, with the feature `json`: for queues that programs in other languages use, or that people look at.
///
/// Any type that implements serde's `Serialize` and `Deserialize` and that JSON can write: map keys are texts or numbers,
/// and numbers that are not finite become `null`, which is no number when it is read. Values nest at most
/// [`MAX_DEPTH`](Self::MAX_DEPTH) levels deep in both directions, so that no message overflows the stack.
///
/// ```
/// use ipcq_core::memory::MemoryTransport;
/// use ipcq_core::{Bytes, Json, Queue, QueueOptions};
///
/// let transport = MemoryTransport::new();
/// let jobs = Queue::<(u32, String), Json>::create(&transport, "jobs", &QueueOptions::new())?;
/// jobs.put((7, "sweep".to_owned()))?;
/// assert_eq!(Queue::<Vec<u8>, Bytes>::open_raw(&transport, "jobs")?.get()?, br#"[7,"sweep"]"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json;

impl Json {
    /// How deep arrays and objects may nest.
    pub const MAX_DEPTH: usize = 127;
}

impl<T: Serialize + DeserializeOwned> Codec<T> for Json {
    const NAME: &'static str = "json";

    fn encode<'a>(&self, value: &'a T, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], EncodeError> {
        scratch.clear();
        serde_json::to_writer(Growing(scratch), value).map_err(|error| match error.io_error_kind() {
            Some(ErrorKind::OutOfMemory) => EncodeError::no_room(),
            _ => EncodeError::new(error),
        })?;
        if is_too_deep(scratch) {
            return Err(EncodeError::new("the message nests more than 127 levels deep"));
        }
        Ok(scratch)
    }

    fn decode(&self, bytes: &[u8]) -> Result<T, DecodeFailure> {
        serde_json::from_slice(bytes).map_err(DecodeFailure::new)
    }
}

/// A buffer that says when there is no memory for more.
struct Growing<'a>(&'a mut Vec<u8>);

impl Write for Growing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_reserve(bytes.len()).map_err(|_| ErrorKind::OutOfMemory)?;
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether `json`, which is sound, nests deeper than it could be read.
fn is_too_deep(json: &[u8]) -> bool {
    let (mut depth, mut is_text, mut is_escaped) = (0_usize, false, false);
    for byte in json {
        match (is_text, *byte) {
            (true, _) if is_escaped => is_escaped = false,
            (true, b'\\') => is_escaped = true,
            (_, b'"') => is_text = !is_text,
            (false, b'[' | b'{') => depth += 1,
            (false, b']' | b'}') => depth -= 1,
            _ => {}
        }
        if depth > Json::MAX_DEPTH {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Nested(Vec<Nested>);

    fn nested(depth: usize) -> Nested {
        (1..depth).fold(Nested(Vec::new()), |inner, _| Nested(vec![inner]))
    }

    #[test]
    fn what_is_put_can_be_got_and_what_is_too_deep_is_refused() {
        let mut scratch = Vec::new();
        let deepest = nested(Json::MAX_DEPTH);
        let bytes = Json.encode(&deepest, &mut scratch).expect("within the limit").to_vec();
        assert_eq!(Codec::<Nested>::decode(&Json, &bytes).expect("what was encoded"), deepest);
        assert!(Json.encode(&nested(Json::MAX_DEPTH + 1), &mut scratch).is_err());
        assert!(Codec::<Nested>::decode(&Json, &b"[".repeat(1 << 20)).is_err());
    }

    #[test]
    fn brackets_in_a_text_nest_nothing() {
        let text = "[\"\\{".repeat(1000);
        let mut scratch = Vec::new();
        let bytes = Json.encode(&text, &mut scratch).expect("a text").to_vec();
        assert_eq!(Codec::<String>::decode(&Json, &bytes).expect("what was encoded"), text);
    }

    #[test]
    fn what_follows_a_message_is_an_error() {
        for bytes in [&b"7 8"[..], b"", b"\xff", b"7,", b"\"7\""] {
            assert!(Codec::<u32>::decode(&Json, bytes).is_err(), "{bytes:?}");
        }
    }
}
