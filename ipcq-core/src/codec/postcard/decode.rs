//! A deserializer around another, which counts, and the bytes under both.

use std::fmt;

use postcard::Deserializer as Inner;
use postcard::de_flavors::Flavor;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};

use super::{DecodeFailure, Meter};

/// The most elements that a collection is told to make room for before any has been read.
const MAX_HINT: usize = 4096;

/// The value that `bytes`, all of them, stand for.
pub(super) fn whole<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeFailure> {
    let meter = Meter::new(bytes.len());
    let mut inner = Inner::from_flavor(Left { bytes, meter: &meter });
    let value = T::deserialize(Counted { inner: &mut inner, meter: &meter })
        .map_err(|error| meter.broken.get().map_or_else(|| DecodeFailure::new(error), DecodeFailure::new))?;
    match meter.bytes.get() {
        0 => Ok(value),
        more => Err(DecodeFailure::new(format!("{more} bytes follow the message"))),
    }
}

/// What is left of the message.
struct Left<'de> {
    bytes: &'de [u8],
    meter: &'de Meter,
}

impl<'de> Flavor<'de> for Left<'de> {
    type Remainder = ();
    type Source = ();

    fn pop(&mut self) -> postcard::Result<u8> {
        self.try_take_n(1).map(|bytes| bytes.first().copied().unwrap_or_default())
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.bytes.len())
    }

    fn try_take_n(&mut self, count: usize) -> postcard::Result<&'de [u8]> {
        let end = postcard::Error::DeserializeUnexpectedEnd;
        let (taken, left) = self.bytes.split_at_checked(count).ok_or(end)?;
        self.bytes = left;
        self.meter.bytes.set(left.len());
        Ok(taken)
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// A deserializer, a seed, a visitor, or access to parts, which counts.
struct Counted<'m, I> {
    inner: I,
    meter: &'m Meter,
}

impl<'m, I> Counted<'m, I> {
    /// `inner`, counted together with this one.
    const fn with<J>(&self, inner: J) -> Counted<'m, J> {
        Counted { inner, meter: self.meter }
    }

    /// Reads something one level down.
    fn nested<V, E: Error>(self, read: impl FnOnce(I) -> Result<V, E>) -> Result<V, E> {
        self.meter.enter().map_err(E::custom)?;
        let value = read(self.inner)?;
        self.meter.leave();
        Ok(value)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Counted<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        let deserializer = self.with(inner);
        self.inner.deserialize(deserializer)
    }
}

macro_rules! deserialized {
    ($($deserialize:ident($($name:ident: $type:ty),*) by $elements:ident),* $(,)?) => {$(
        fn $deserialize<V: Visitor<'de>>(self, $($name: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            let visitor = self.with($elements(visitor));
            self.inner.$deserialize($($name,)* visitor)
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Counted<'_, D> {
    type Error = D::Error;

    deserialized! {
        deserialize_any() by Fields,
        deserialize_bool() by Fields,
        deserialize_i8() by Fields,
        deserialize_i16() by Fields,
        deserialize_i32() by Fields,
        deserialize_i64() by Fields,
        deserialize_i128() by Fields,
        deserialize_u8() by Fields,
        deserialize_u16() by Fields,
        deserialize_u32() by Fields,
        deserialize_u64() by Fields,
        deserialize_u128() by Fields,
        deserialize_f32() by Fields,
        deserialize_f64() by Fields,
        deserialize_char() by Fields,
        deserialize_str() by Fields,
        deserialize_string() by Fields,
        deserialize_bytes() by Fields,
        deserialize_byte_buf() by Fields,
        deserialize_option() by Fields,
        deserialize_unit() by Fields,
        deserialize_unit_struct(name: &'static str) by Fields,
        deserialize_newtype_struct(name: &'static str) by Fields,
        deserialize_seq() by Elements,
        deserialize_tuple(len: usize) by Fields,
        deserialize_tuple_struct(name: &'static str, len: usize) by Fields,
        deserialize_map() by Elements,
        deserialize_struct(name: &'static str, fields: &'static [&'static str]) by Fields,
        deserialize_enum(name: &'static str, variants: &'static [&'static str]) by Fields,
        deserialize_identifier() by Fields,
        deserialize_ignored_any() by Fields,
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// A visitor of parts of which the type says how many there are.
struct Fields<V>(V);
/// A visitor of parts of which the message says how many there are: those that take no bytes count.
struct Elements<V>(V);

macro_rules! visited {
    ($($visit:ident $type:ty),* $(,)?) => {$(
        fn $visit<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.inner.0.$visit(value)
        }
    )*};
}

macro_rules! visitor {
    ($visitor:ident, $parts:ident) => {
        impl<'de, V: Visitor<'de>> Visitor<'de> for Counted<'_, $visitor<V>> {
            type Value = V::Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.inner.0.expecting(f)
            }

            visited! {
                visit_bool bool,
                visit_i8 i8,
                visit_i16 i16,
                visit_i32 i32,
                visit_i64 i64,
                visit_i128 i128,
                visit_u8 u8,
                visit_u16 u16,
                visit_u32 u32,
                visit_u64 u64,
                visit_u128 u128,
                visit_f32 f32,
                visit_f64 f64,
                visit_char char,
                visit_str &str,
                visit_borrowed_str &'de str,
                visit_string String,
                visit_bytes &[u8],
                visit_borrowed_bytes &'de [u8],
                visit_byte_buf Vec<u8>,
            }

            fn visit_none<E: Error>(self) -> Result<V::Value, E> {
                self.inner.0.visit_none()
            }

            fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
                self.inner.0.visit_unit()
            }

            fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
                let inner = self.with(inner);
                self.nested(|visitor| visitor.0.visit_some(inner))
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
                let inner = self.with(inner);
                self.nested(|visitor| visitor.0.visit_newtype_struct(inner))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
                let parts = self.with($parts::of(inner));
                self.nested(|visitor| visitor.0.visit_seq(parts))
            }

            fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
                let parts = self.with($parts::of(inner));
                self.nested(|visitor| visitor.0.visit_map(parts))
            }

            fn visit_enum<A: EnumAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
                let inner = self.with(inner);
                self.inner.0.visit_enum(inner)
            }
        }
    };
}

visitor!(Fields, Parts);
visitor!(Elements, CountedParts);

/// Access to parts, and whether those that take no bytes count.
struct Access<A, const COUNTS: bool> {
    inner: A,
    /// How many bytes were left before the last key, and its size in memory.
    before: usize,
    size: usize,
}

type Parts<A> = Access<A, false>;
type CountedParts<A> = Access<A, true>;

impl<A, const COUNTS: bool> Access<A, COUNTS> {
    const fn of(inner: A) -> Self {
        Self { inner, before: 0, size: 0 }
    }
}

impl<A, const COUNTS: bool> Counted<'_, Access<A, COUNTS>> {
    /// Counts a part of `size` bytes of memory, if it took none of the message.
    fn finish<E: Error>(&self, size: usize) -> Result<(), E> {
        let is_empty = COUNTS && self.meter.bytes.get() == self.inner.before;
        if is_empty { self.meter.count_empty(size).map_err(E::custom) } else { Ok(()) }
    }
}

impl<'de, A: SeqAccess<'de>, const COUNTS: bool> SeqAccess<'de> for Counted<'_, Access<A, COUNTS>> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, A::Error> {
        self.inner.before = self.meter.bytes.get();
        let seed = self.with(seed);
        let Some(value) = self.inner.inner.next_element_seed(seed)? else { return Ok(None) };
        self.finish(size_of::<T::Value>())?;
        Ok(Some(value))
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.inner.size_hint().map(|hint| hint.min(MAX_HINT))
    }
}

impl<'de, A: MapAccess<'de>, const COUNTS: bool> MapAccess<'de> for Counted<'_, Access<A, COUNTS>> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        (self.inner.before, self.inner.size) = (self.meter.bytes.get(), size_of::<K::Value>());
        let seed = self.with(seed);
        self.inner.inner.next_key_seed(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        let seed = self.with(seed);
        let value = self.inner.inner.next_value_seed(seed)?;
        self.finish(self.inner.size + size_of::<V::Value>())?;
        Ok(value)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.inner.size_hint().map(|hint| hint.min(MAX_HINT))
    }
}

impl<'de, 'm, A: EnumAccess<'de>> EnumAccess<'de> for Counted<'m, A> {
    type Error = A::Error;
    type Variant = Counted<'m, A::Variant>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self::Variant), A::Error> {
        let meter = self.meter;
        let (value, inner) = self.inner.variant_seed(seed)?;
        Ok((value, Counted { inner, meter }))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Counted<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, A::Error> {
        let seed = self.with(seed);
        self.nested(|variant| variant.newtype_variant_seed(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        let visitor = self.with(Fields(visitor));
        self.inner.tuple_variant(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = self.with(Fields(visitor));
        self.inner.struct_variant(fields, visitor)
    }
}
