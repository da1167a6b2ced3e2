//! A serializer around another, which counts.

use postcard::ser_flavors::Flavor;
use serde::ser::{self, Error as _, Serialize, Serializer};

use super::{EncodeError, Meter};

/// Appends the bytes of `value` to `bytes`.
pub(super) fn append<T: Serialize>(value: &T, bytes: &mut Vec<u8>) -> Result<(), EncodeError> {
    let meter = Meter::new(0);
    let mut no_room = false;
    let sink = Sink { bytes, meter: &meter, no_room: &mut no_room };
    let written = postcard::serialize_with_flavor(&Within { value, meter: &meter }, sink);
    written.map_err(|error| match meter.broken.get() {
        _ if no_room => EncodeError::no_room(),
        Some(rule) => EncodeError::new(rule),
        None => EncodeError::new(error),
    })
}

/// Where the bytes go. Memory that cannot be had is an error, not the end of the process.
struct Sink<'a> {
    bytes: &'a mut Vec<u8>,
    meter: &'a Meter,
    no_room: &'a mut bool,
}

impl Flavor for Sink<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        if self.bytes.try_reserve(bytes.len()).is_err() {
            *self.no_room = true;
            return Err(postcard::Error::SerializeBufferFull);
        }
        self.bytes.extend_from_slice(bytes);
        self.meter.bytes.set(self.bytes.len());
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// A value that is written by a serializer that counts.
struct Within<'a, T: ?Sized> {
    value: &'a T,
    meter: &'a Meter,
}

impl<T: Serialize + ?Sized> Serialize for Within<'_, T> {
    fn serialize<S: Serializer>(&self, inner: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(Counting { inner, meter: self.meter })
    }
}

struct Counting<'a, S> {
    inner: S,
    meter: &'a Meter,
}

impl<'a, S: Serializer> Counting<'a, S> {
    /// Writes `value` one level down.
    fn nested<T: Serialize + ?Sized>(
        self,
        value: &T,
        write: impl FnOnce(S, &Within<'_, T>) -> Result<S::Ok, S::Error>,
    ) -> Result<S::Ok, S::Error> {
        self.meter.enter().map_err(S::Error::custom)?;
        let written = write(self.inner, &Within { value, meter: self.meter })?;
        self.meter.leave();
        Ok(written)
    }

    /// Begins something with several parts, one level down.
    fn parts<P>(self, begin: impl FnOnce(S) -> Result<P, S::Error>) -> Result<Parts<'a, P>, S::Error> {
        self.meter.enter().map_err(S::Error::custom)?;
        Ok(Parts { inner: begin(self.inner)?, meter: self.meter, before: 0 })
    }
}

macro_rules! passed_on {
    ($($serialize:ident($($name:ident: $type:ty),*)),* $(,)?) => {$(
        fn $serialize(self, $($name: $type),*) -> Result<S::Ok, S::Error> {
            self.inner.$serialize($($name),*)
        }
    )*};
}

impl<'a, S: Serializer> Serializer for Counting<'a, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Parts<'a, S::SerializeSeq>;
    type SerializeTuple = Parts<'a, S::SerializeTuple>;
    type SerializeTupleStruct = Parts<'a, S::SerializeTupleStruct>;
    type SerializeTupleVariant = Parts<'a, S::SerializeTupleVariant>;
    type SerializeMap = Parts<'a, S::SerializeMap>;
    type SerializeStruct = Parts<'a, S::SerializeStruct>;
    type SerializeStructVariant = Parts<'a, S::SerializeStructVariant>;

    passed_on! {
        serialize_bool(value: bool),
        serialize_i8(value: i8),
        serialize_i16(value: i16),
        serialize_i32(value: i32),
        serialize_i64(value: i64),
        serialize_i128(value: i128),
        serialize_u8(value: u8),
        serialize_u16(value: u16),
        serialize_u32(value: u32),
        serialize_u64(value: u64),
        serialize_u128(value: u128),
        serialize_f32(value: f32),
        serialize_f64(value: f64),
        serialize_char(value: char),
        serialize_str(value: &str),
        serialize_bytes(value: &[u8]),
        serialize_none(),
        serialize_unit(),
        serialize_unit_struct(name: &'static str),
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str),
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.nested(value, |inner, value| inner.serialize_some(value))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.nested(value, |inner, value| inner.serialize_newtype_struct(name, value))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.nested(value, |inner, value| inner.serialize_newtype_variant(name, index, variant, value))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        self.parts(|inner| inner.serialize_seq(len))
    }

    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, S::Error> {
        self.parts(|inner| inner.serialize_tuple(len))
    }

    fn serialize_tuple_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleStruct, S::Error> {
        self.parts(|inner| inner.serialize_tuple_struct(name, len))
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        self.parts(|inner| inner.serialize_tuple_variant(name, index, variant, len))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        self.parts(|inner| inner.serialize_map(len))
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeStruct, S::Error> {
        self.parts(|inner| inner.serialize_struct(name, len))
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        self.parts(|inner| inner.serialize_struct_variant(name, index, variant, len))
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// Something with several parts.
struct Parts<'a, P> {
    inner: P,
    meter: &'a Meter,
    /// How many bytes there were before the element or key.
    before: usize,
}

impl<P> Parts<'_, P> {
    fn begin(&mut self) {
        self.before = self.meter.bytes.get();
    }

    /// Counts what began last, if it took no bytes.
    fn finish<E: ser::Error>(&self) -> Result<(), E> {
        let is_empty = self.meter.bytes.get() == self.before;
        if is_empty { self.meter.count_empty(1).map_err(E::custom) } else { Ok(()) }
    }
}

impl<P: ser::SerializeSeq> ser::SerializeSeq for Parts<'_, P> {
    type Ok = P::Ok;
    type Error = P::Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), P::Error> {
        self.begin();
        self.inner.serialize_element(&Within { value, meter: self.meter })?;
        self.finish()
    }

    fn end(self) -> Result<P::Ok, P::Error> {
        self.meter.leave();
        self.inner.end()
    }
}

impl<P: ser::SerializeMap> ser::SerializeMap for Parts<'_, P> {
    type Ok = P::Ok;
    type Error = P::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), P::Error> {
        self.begin();
        self.inner.serialize_key(&Within { value: key, meter: self.meter })
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), P::Error> {
        self.inner.serialize_value(&Within { value, meter: self.meter })?;
        self.finish()
    }

    fn end(self) -> Result<P::Ok, P::Error> {
        self.meter.leave();
        self.inner.end()
    }
}

macro_rules! fields {
    ($($part:ident $serialize:ident($($name:ident: $type:ty)?)),* $(,)?) => {$(
        impl<P: ser::$part> ser::$part for Parts<'_, P> {
            type Ok = P::Ok;
            type Error = P::Error;

            fn $serialize<T: Serialize + ?Sized>(&mut self, $($name: $type,)? value: &T) -> Result<(), P::Error> {
                self.inner.$serialize($($name,)? &Within { value, meter: self.meter })
            }

            fn end(self) -> Result<P::Ok, P::Error> {
                self.meter.leave();
                self.inner.end()
            }
        }
    )*};
}

fields! {
    SerializeTuple serialize_element(),
    SerializeTupleStruct serialize_field(),
    SerializeTupleVariant serialize_field(),
    SerializeStruct serialize_field(name: &'static str),
    SerializeStructVariant serialize_field(name: &'static str),
}
