//! The codec of `postcard`, safe against hostile bytes.
//!
//! Format and bytes are the crate's. Around its serializer and its deserializer stand ours, which pass everything on and
//! count: how deep values nest, and how many elements take no bytes. The crate's own follow a message down as deep as
//! it claims to go, which overflows the stack, and read as many empty elements as it claims, which never ends.

mod decode;
mod encode;

use std::cell::Cell;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Codec, DecodeFailure, EncodeError};

/// `postcard` through serde, with the feature `postcard`: small messages, for queues whose other side is written in Rust,
/// or speaks [its format](https://postcard.jamesmunns.com/), as programs for small devices do.
///
/// Whatever bytes arrive, decoding gives a message or an error: no length that they claim is believed beyond the bytes
/// left, and bytes after the message are an error. Two limits hold in both directions, so that what was put can be got:
///
/// - values nest at most [`MAX_DEPTH`](Self::MAX_DEPTH) deep, counting each struct, tuple, sequence, map, enum with
///   content and `Some` as one level, so that no message overflows the stack;
/// - elements of sequences and maps that take no bytes at all, as those of `Vec<()>`, number at most
///   [`MAX_EMPTY`](Self::MAX_EMPTY) in one message. When it is decoded, those that nevertheless take memory count once
///   for each byte of it.
///
/// Types that must know the format to describe themselves (`serde_json::Value`, untagged and flattened enums) cannot be
/// read back; decoding them is an error.
///
/// ```
/// use ipcq_core::memory::MemoryTransport;
/// use ipcq_core::{Bytes, Postcard, Queue, QueueOptions};
///
/// let transport = MemoryTransport::new();
/// let jobs = Queue::<(u32, String), Postcard>::create(&transport, "jobs", &QueueOptions::new())?;
/// jobs.put((300, "sweep".to_owned()))?;
/// assert_eq!(Queue::<Vec<u8>, Bytes>::open_raw(&transport, "jobs")?.get()?, b"\xac\x02\x05sweep");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Postcard;

impl Postcard {
    /// How deep values may nest.
    pub const MAX_DEPTH: usize = 128;
    /// How many elements that take no bytes may be in one message.
    pub const MAX_EMPTY: usize = 1 << 20;
}

impl<T: Serialize + DeserializeOwned> Codec<T> for Postcard {
    const NAME: &'static str = "postcard";

    fn encode<'a>(&self, value: &'a T, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], EncodeError> {
        scratch.clear();
        encode::append(value, scratch)?;
        Ok(scratch)
    }

    fn decode(&self, bytes: &[u8]) -> Result<T, DecodeFailure> {
        decode::whole(bytes)
    }
}

const TOO_DEEP: &str = "the message nests more than 128 levels deep";
const TOO_MANY_EMPTY: &str = "the message has more than 1048576 elements that take no bytes";

/// What both directions count. The crate's errors carry no text, so a rule that was broken is noted here.
struct Meter {
    /// Bytes left to read, or written so far: an element that takes none leaves this as it was.
    bytes: Cell<usize>,
    depth: Cell<usize>,
    empty: Cell<usize>,
    broken: Cell<Option<&'static str>>,
}

impl Meter {
    const fn new(bytes: usize) -> Self {
        Self {
            bytes: Cell::new(bytes),
            depth: Cell::new(Postcard::MAX_DEPTH),
            empty: Cell::new(Postcard::MAX_EMPTY),
            broken: Cell::new(None),
        }
    }

    /// Takes `by` from what `left` allows, or notes that `rule` is broken.
    fn spend(&self, left: &Cell<usize>, by: usize, rule: &'static str) -> Result<(), &'static str> {
        match left.get().checked_sub(by) {
            Some(rest) => {
                left.set(rest);
                Ok(())
            }
            None => {
                self.broken.set(Some(rule));
                Err(rule)
            }
        }
    }

    /// Goes one level down; `leave` comes back up.
    fn enter(&self) -> Result<(), &'static str> {
        self.spend(&self.depth, 1, TOO_DEEP)
    }

    fn leave(&self) {
        self.depth.set(self.depth.get() + 1);
    }

    /// Counts an element that took no bytes in the message, for `weight`.
    fn count_empty(&self, weight: usize) -> Result<(), &'static str> {
        self.spend(&self.empty, weight.max(1), TOO_MANY_EMPTY)
    }
}

#[cfg(all(test, feature = "json"))]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Kind {
        Unit,
        New(Box<Option<Kind>>),
        Pair(i8, u128),
        Named { text: String, map: BTreeMap<u16, Vec<()>> },
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Nested(Vec<Nested>);

    fn nested(depth: usize) -> Nested {
        (1..depth).fold(Nested(Vec::new()), |inner, _| Nested(vec![inner]))
    }

    fn encoded<T: Serialize + DeserializeOwned>(value: &T) -> Result<Vec<u8>, EncodeError> {
        let mut scratch = Vec::new();
        Postcard.encode(value, &mut scratch).map(<[u8]>::to_vec)
    }

    type Value = ([Kind; 3], (f32, f64, char, bool), Option<String>, ());

    #[test]
    fn bytes_are_those_of_the_crate_and_come_back() {
        let map = BTreeMap::from([(7, vec![(); 3]), (300, Vec::new())]);
        let inner = Kind::Named { text: "sweep".to_owned(), map };
        let kinds = [Kind::Unit, Kind::New(Box::new(Some(inner))), Kind::Pair(-3, u128::MAX)];
        let value: Value = (kinds, (1.5_f32, 2.5_f64, 'ß', true), Some("text".to_owned()), ());
        let bytes = encoded(&value).expect("a sound value");
        assert_eq!(bytes, ::postcard::to_stdvec(&value).expect("a sound value"));
        let decoded: Value = Postcard.decode(&bytes).expect("what was encoded");
        assert_eq!(decoded, value);
    }

    #[test]
    fn what_is_put_can_be_got_and_what_is_too_deep_is_refused() {
        // A struct and a sequence in each.
        let deepest = nested(Postcard::MAX_DEPTH / 2);
        let bytes = encoded(&deepest).expect("within the limit");
        assert_eq!(Codec::<Nested>::decode(&Postcard, &bytes).expect("what was encoded"), deepest);
        let deeper = encoded(&nested(Postcard::MAX_DEPTH / 2 + 1)).expect_err("beyond the limit");
        assert!(deeper.to_string().contains("128 levels"), "{deeper}");
        let hostile = Codec::<Nested>::decode(&Postcard, &[1; 1 << 20]).expect_err("beyond the limit");
        assert_eq!(hostile.to_string(), TOO_DEEP);
    }

    #[test]
    fn elements_without_bytes_have_an_end() {
        let most = vec![(); Postcard::MAX_EMPTY];
        let bytes = encoded(&most).expect("within the limit");
        assert_eq!(Codec::<Vec<()>>::decode(&Postcard, &bytes).expect("what was encoded"), most);
        assert!(encoded(&vec![(); Postcard::MAX_EMPTY + 1]).is_err());
        let claim = encoded(&u64::MAX).expect("a number");
        let failure = Codec::<Vec<()>>::decode(&Postcard, &claim).expect_err("more than there can be");
        assert_eq!(failure.to_string(), TOO_MANY_EMPTY);
        assert!(Codec::<BTreeMap<(), ()>>::decode(&Postcard, &claim).is_err());
    }

    #[test]
    fn a_queue_of_another_codec_is_not_opened() {
        use crate::memory::MemoryTransport;
        use crate::{Json, OpenError, Queue, QueueOptions};

        let transport = MemoryTransport::new();
        Queue::<u32, Postcard>::create(&transport, "jobs", &QueueOptions::new()).expect("a fresh name");
        assert!(Queue::<u32, Postcard>::open(&transport, "jobs").is_ok());
        let error = Queue::<u32, Json>::open(&transport, "jobs").expect_err("another codec");
        assert!(matches!(error, OpenError::Mismatch { what: "codec", .. }), "{error}");
        let said = error.to_string();
        assert!(said.contains("postcard") && said.contains("json") && said.contains("memory:jobs"), "{said}");
    }

    #[test]
    fn what_follows_a_message_is_an_error() {
        for bytes in [&b"\x07\x08"[..], b"", b"\xff", b"\xff\xff\xff\xff\x7f"] {
            assert!(Codec::<u32>::decode(&Postcard, bytes).is_err(), "{bytes:?}");
        }
    }
}
