//! What consists of several: the fields of a type, elements, entries, and the variants of an enum.

use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::U32Deserializer;
use serde::de::{
    DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::super::Broken;
use super::Input;

/// The most elements that a collection is told to make room for before any has been read.
const MAX_HINT: usize = 4096;

impl<'de, const COPIES: bool> EnumAccess<'de> for &mut Input<'de, COPIES> {
    type Error = Broken;
    type Variant = Self;

    #[inline]
    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Broken> {
        let index: u32 = self.left.number();
        let tag: U32Deserializer<Broken> = index.into_deserializer();
        Ok((seed.deserialize(tag)?, self))
    }
}

impl<'de, const COPIES: bool> VariantAccess<'de> for &mut Input<'de, COPIES> {
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
pub(super) struct Fields<'a, 'de, const COPIES: bool> {
    pub(super) input: &'a mut Input<'de, COPIES>,
    pub(super) left: usize,
}

impl<'de, const COPIES: bool> SeqAccess<'de> for Fields<'_, 'de, COPIES> {
    type Error = Broken;

    /// What the default does, in the place of the call.
    #[inline(always)]
    fn next_element<T: Deserialize<'de>>(&mut self) -> Result<Option<T>, Broken> {
        self.next_element_seed(PhantomData)
    }

    #[inline(always)]
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
pub(super) struct Elements<'a, 'de, const COPIES: bool> {
    pub(super) input: &'a mut Input<'de, COPIES>,
    pub(super) left: usize,
}

impl<'de, const COPIES: bool> SeqAccess<'de> for Elements<'_, 'de, COPIES> {
    type Error = Broken;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Broken> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.input.check()?;
        let before = self.input.left.len();
        let value = seed.deserialize(&mut *self.input)?;
        if self.input.left.len() == before {
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
pub(super) struct Entries<'a, 'de, const COPIES: bool> {
    pub(super) input: &'a mut Input<'de, COPIES>,
    pub(super) left: usize,
    /// How many bytes were left before the last entry, and its size in memory.
    pub(super) before: usize,
    pub(super) size: usize,
}

impl<'de, const COPIES: bool> MapAccess<'de> for Entries<'_, 'de, COPIES> {
    type Error = Broken;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Broken> {
        self.input.check()?;
        let now = self.input.left.len();
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
