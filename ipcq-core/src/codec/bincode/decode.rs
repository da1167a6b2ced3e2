//! Reads values from bytes that anyone may have written.

use std::str;

use bincode::config::Configuration;
use bincode::de::{Decode, Decoder as _, DecoderImpl};
use serde::de::value::U32Deserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use super::left::Left;
use super::number::Whole;
use super::{Bounds, Broken, ENDS_EARLY};

/// The most elements that a collection is told to make room for before any has been read.
const MAX_HINT: usize = 4096;

const UNDESCRIBED: &str = "the type wants to be told by the message what is in it, and messages do not say";

/// The value that `bytes`, all of them, stand for.
pub(super) fn whole<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Broken> {
    let decoder = DecoderImpl::new(Left::new(bytes), bincode::config::standard(), ());
    let mut input = Input { decoder, bounds: Bounds::new() };
    let value = T::deserialize(&mut input)?;
    match input.left() {
        0 => Ok(value),
        more => Err(Broken::text(format!("{more} bytes follow the message"))),
    }
}

struct Input<'de> {
    decoder: DecoderImpl<Left<'de>, Configuration, ()>,
    bounds: Bounds,
}

impl<'de> Input<'de> {
    #[inline]
    fn left(&mut self) -> usize {
        self.decoder.reader().len()
    }

    #[inline]
    fn read<P: Decode<()>>(&mut self) -> Result<P, Broken> {
        P::decode(&mut self.decoder).map_err(Broken::from)
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, Broken> {
        self.decoder.reader().array().map(|[byte]| byte)
    }

    #[inline]
    fn number<N: Whole>(&mut self) -> Result<N, Broken> {
        self.decoder.reader().number()
    }

    /// A length that the message claims: no more than a number.
    #[inline]
    fn claimed(&mut self) -> Result<usize, Broken> {
        let len: u64 = self.number()?;
        usize::try_from(len).map_err(|_| Broken::rule(ENDS_EARLY))
    }

    /// How many elements the message claims. Each takes a byte of it or counts as empty, so more than there are
    /// of both is refused before the first.
    #[inline]
    fn claimed_elements(&mut self) -> Result<usize, Broken> {
        let claimed = self.claimed()?;
        let possible = self.left().saturating_add(self.bounds.empty);
        if claimed > possible { Err(Broken::rule(ENDS_EARLY)) } else { Ok(claimed) }
    }

    /// As many bytes of the message as it claims, which are there.
    #[inline]
    fn slice(&mut self) -> Result<&'de [u8], Broken> {
        let len = self.claimed()?;
        self.decoder.reader().take(len).ok_or_else(|| Broken::rule(ENDS_EARLY))
    }

    #[inline]
    fn text(&mut self) -> Result<&'de str, Broken> {
        str::from_utf8(self.slice()?).map_err(|error| Broken::text(error.to_string()))
    }

    #[inline]
    fn nested<V>(&mut self, read: impl FnOnce(&mut Self) -> Result<V, Broken>) -> Result<V, Broken> {
        self.bounds.enter()?;
        let value = read(self);
        self.bounds.leave();
        value
    }

    #[inline]
    fn tuple<V: Visitor<'de>>(&mut self, len: usize, visitor: V) -> Result<V::Value, Broken> {
        self.nested(|input| visitor.visit_seq(Fields { input, left: len }))
    }
}

macro_rules! primitives {
    ($read:ident: $($deserialize:ident $visit:ident),* $(,)?) => {$(
        #[inline]
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Broken> {
            visitor.$visit(self.$read()?)
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Input<'de> {
    type Error = Broken;

    primitives! {
        number:
        deserialize_i16 visit_i16,
        deserialize_i32 visit_i32,
        deserialize_i64 visit_i64,
        deserialize_u16 visit_u16,
        deserialize_u32 visit_u32,
        deserialize_u64 visit_u64,
    }

    primitives! {
        read:
        deserialize_bool visit_bool,
        deserialize_i8 visit_i8,
        deserialize_i128 visit_i128,
        deserialize_u128 visit_u128,
        deserialize_f32 visit_f32,
        deserialize_f64 visit_f64,
        deserialize_char visit_char,
    }

    /// Most messages that are not small are bytes, one element each, so these go the short way.
    #[inline]
    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Broken> {
        visitor.visit_u8(self.byte()?)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Broken> {
        Err(Broken::rule(UNDESCRIBED))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Broken> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Broken> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Broken> {
        visitor.visit_borrowed_bytes(self.slice()?)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Broken> {
        visitor.visit_borrowed_bytes(self.slice()?)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Broken> {
        match self.byte()? {
            0 => visitor.visit_none(),
            1 => self.nested(|input| visitor.visit_some(input)),
            tag => Err(Broken::text(format!("{tag} tells neither none nor some"))),
        }
    }

    #[inline]
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Broken> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Broken> {
        visitor.visit_unit()
    }

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

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Broken> {
        self.tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Broken> {
        let left = self.claimed_elements()?;
        self.nested(|input| visitor.visit_map(Entries { before: usize::MAX, size: 0, input, left }))
    }

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

impl<'de> EnumAccess<'de> for &mut Input<'de> {
    type Error = Broken;
    type Variant = Self;

    #[inline]
    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Broken> {
        let index: u32 = self.number()?;
        let tag: U32Deserializer<Broken> = index.into_deserializer();
        Ok((seed.deserialize(tag)?, self))
    }
}

impl<'de> VariantAccess<'de> for &mut Input<'de> {
    type Error = Broken;

    #[inline]
    fn unit_variant(self) -> Result<(), Broken> {
        Ok(())
    }

    #[inline]
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Broken> {
        self.nested(|input| seed.deserialize(input))
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Broken> {
        self.tuple(len, visitor)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Broken> {
        self.tuple(fields.len(), visitor)
    }
}

/// The fields of a type: as many as the type says, whatever the message claims.
struct Fields<'a, 'de> {
    input: &'a mut Input<'de>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Fields<'_, 'de> {
    type Error = Broken;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Broken> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(&mut *self.input).map(Some)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// The elements of a sequence: as many as the message claims, if they are there.
struct Elements<'a, 'de> {
    input: &'a mut Input<'de>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = Broken;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Broken> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let before = self.input.left();
        let value = seed.deserialize(&mut *self.input)?;
        if self.input.left() == before {
            self.input.bounds.count_empty(size_of::<T::Value>())?;
        }
        Ok(Some(value))
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left.min(MAX_HINT))
    }
}

/// The entries of a map: as many as the message claims, if they are there.
struct Entries<'a, 'de> {
    input: &'a mut Input<'de>,
    left: usize,
    /// How many bytes were left before the last entry, and its size in memory.
    before: usize,
    size: usize,
}

impl<'de> MapAccess<'de> for Entries<'_, 'de> {
    type Error = Broken;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Broken> {
        let now = self.input.left();
        if now == self.before {
            self.input.bounds.count_empty(self.size)?;
        }
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.before = now;
        self.size = size_of::<K::Value>();
        seed.deserialize(&mut *self.input).map(Some)
    }

    #[inline]
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Broken> {
        self.size += size_of::<V::Value>();
        seed.deserialize(&mut *self.input)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left.min(MAX_HINT))
    }
}
