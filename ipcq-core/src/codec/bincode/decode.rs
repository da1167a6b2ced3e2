//! Reads values from bytes that anyone may have written.

mod compound;

use std::str;

use bincode::de::Decode;
use serde::de::{DeserializeOwned, Deserializer, Visitor};

use self::compound::{Elements, Entries, Fields};
use super::left::{Left, Rules};
use super::{Bounds, Broken, ENDS_EARLY};

/// The most bytes that a type has in memory whose structs are read from copies.
const SMALL: usize = 64;

const UNDESCRIBED: &str = "the type wants to be told by the message what is in it, and messages do not say";

/// The value that `bytes`, all of them, stand for.
#[inline(always)]
pub(super) fn whole<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Broken> {
    if size_of::<T>() <= SMALL { read::<T, true>(bytes) } else { read::<T, false>(bytes) }
}

#[inline(always)]
fn read<T: DeserializeOwned, const COPIES: bool>(bytes: &[u8]) -> Result<T, Broken> {
    let mut input = Input::<COPIES> { left: Left::new(bytes), bounds: Bounds::new() };
    match T::deserialize(&mut input) {
        Ok(value) if input.left.len() == 0 && input.left.broken().are_kept() => Ok(value),
        Ok(_) => Err(input.unfinished()),
        Err(broken) => Err(input.check().err().unwrap_or(broken)),
    }
}

#[cold]
#[inline(never)]
fn neither(tag: u8) -> Broken {
    Broken::text(format!("{tag} tells neither none nor some"))
}

/// What is read, and how far. A struct in it is read from a copy where it `COPIES`: nobody else sees that, so it stays in
/// registers while the fields are read. In a large type they are read by calls, and copies would only be in the way.
#[derive(Clone, Copy)]
struct Input<'de, const COPIES: bool> {
    left: Left<'de>,
    bounds: Bounds,
}

impl<'de, const COPIES: bool> Input<'de, COPIES> {
    /// What is wrong with a message behind which there is something, or less than it claims.
    #[cold]
    fn unfinished(&self) -> Broken {
        let more = || Broken::text(format!("{} bytes follow the message", self.left.len()));
        self.check().err().unwrap_or_else(more)
    }

    /// What is read seldom goes through bincode.
    #[inline]
    fn read<P: Decode<()>>(&mut self) -> Result<P, Broken> {
        self.left.part(|rest| Ok(bincode::decode_from_slice(rest, bincode::config::standard())?))
    }

    #[inline(always)]
    fn byte(&mut self) -> u8 {
        let [byte] = self.left.array();
        byte
    }

    #[inline(always)]
    fn truth(&mut self) -> bool {
        let byte = self.byte();
        if byte > 1 {
            self.left.give_up(Rules::NO_TRUTH);
        }
        byte == 1
    }

    /// Whether elements can go on; else a message could make much of the zeroes behind its end.
    #[inline(always)]
    fn check(&self) -> Result<(), Broken> {
        let rules = self.left.broken();
        if rules.are_kept() { Ok(()) } else { Err(Broken::rule(rules.as_str())) }
    }

    /// A length that the message claims: no more than a number.
    #[inline]
    fn claimed(&mut self) -> Result<usize, Broken> {
        let len: u64 = self.left.number();
        usize::try_from(len).map_err(|_| Broken::rule(ENDS_EARLY))
    }

    /// How many elements the message claims. Each takes a byte of it or counts as empty, so more than there are
    /// of both is refused before the first.
    #[inline]
    fn claimed_elements(&mut self) -> Result<usize, Broken> {
        let claimed = self.claimed()?;
        let possible = self.left.len().saturating_add(self.bounds.empty);
        if claimed > possible { Err(Broken::rule(ENDS_EARLY)) } else { Ok(claimed) }
    }

    /// As many bytes of the message as it claims, which are there.
    #[inline]
    fn slice(&mut self) -> Result<&'de [u8], Broken> {
        let len = self.claimed()?;
        self.left.take(len).ok_or_else(|| Broken::rule(ENDS_EARLY))
    }

    #[inline]
    fn text(&mut self) -> Result<&'de str, Broken> {
        str::from_utf8(self.slice()?).map_err(|error| Broken::text(error.to_string()))
    }

    #[inline(always)]
    fn nested<V>(&mut self, read: impl FnOnce(&mut Self) -> Result<V, Broken>) -> Result<V, Broken> {
        self.bounds.enter()?;
        let value = read(self);
        self.bounds.leave();
        value
    }

    #[inline(always)]
    fn tuple<V: Visitor<'de>>(&mut self, len: usize, visitor: V) -> Result<V::Value, Broken> {
        if !COPIES {
            return self.nested(|input| visitor.visit_seq(Fields { input, left: len }));
        }
        self.bounds.enter()?;
        let mut input = *self;
        let value = visitor.visit_seq(Fields { input: &mut input, left: len });
        *self = input;
        self.bounds.leave();
        value
    }
}

macro_rules! primitives {
    ($($deserialize:ident $visit:ident: $input:ident => $read:expr,)*) => {$(
        #[inline(always)]
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Broken> {
            let $input = self;
            visitor.$visit($read)
        }
    )*};
}

impl<'de, const COPIES: bool> Deserializer<'de> for &mut Input<'de, COPIES> {
    type Error = Broken;

    primitives! {
        deserialize_bool visit_bool: input => input.truth(),
        deserialize_u8 visit_u8: input => input.byte(),
        deserialize_i8 visit_i8: input => input.byte().cast_signed(),
        deserialize_i16 visit_i16: input => input.left.number(),
        deserialize_i32 visit_i32: input => input.left.number(),
        deserialize_i64 visit_i64: input => input.left.number(),
        deserialize_u16 visit_u16: input => input.left.number(),
        deserialize_u32 visit_u32: input => input.left.number(),
        deserialize_u64 visit_u64: input => input.left.number(),
        deserialize_f32 visit_f32: input => f32::from_le_bytes(input.left.array()),
        deserialize_f64 visit_f64: input => f64::from_le_bytes(input.left.array()),
        deserialize_i128 visit_i128: input => input.read()?,
        deserialize_u128 visit_u128: input => input.read()?,
        deserialize_char visit_char: input => input.read()?,
        deserialize_byte_buf visit_borrowed_bytes: input => input.slice()?,
        deserialize_bytes visit_borrowed_bytes: input => input.slice()?,
        deserialize_string visit_borrowed_str: input => input.text()?,
        deserialize_str visit_borrowed_str: input => input.text()?,
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Broken> {
        Err(Broken::rule(UNDESCRIBED))
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Broken> {
        match self.byte() {
            0 => visitor.visit_none(),
            1 => self.nested(|input| visitor.visit_some(input)),
            tag => Err(neither(tag)),
        }
    }

    #[inline]
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Broken> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Broken> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Broken> {
        self.nested(|input| visitor.visit_newtype_struct(input))
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Broken> {
        let left = self.claimed_elements()?;
        self.nested(|input| visitor.visit_seq(Elements { input, left }))
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Broken> {
        self.tuple(len, visitor)
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Broken> {
        self.tuple(len, visitor)
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Broken> {
        let left = self.claimed_elements()?;
        self.nested(|input| visitor.visit_map(Entries { before: usize::MAX, size: 0, input, left }))
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Broken> {
        self.tuple(fields.len(), visitor)
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Broken> {
        visitor.visit_enum(self)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Broken> {
        Err(Broken::rule(UNDESCRIBED))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Broken> {
        Err(Broken::rule(UNDESCRIBED))
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}
