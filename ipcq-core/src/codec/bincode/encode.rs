//! Writes values in the format that `decode` reads, and refuses what it would not read back.

use bincode::enc::Encode;
use serde::ser::{self, Serialize, Serializer};

use super::number::Whole;
use super::sink::Sink;
use super::{Bounds, Broken, EncodeError};

/// The most bytes that a number of 128 bits takes.
const WIDEST: usize = 17;

const NO_LENGTH: &str = "a sequence or map does not say how many elements it has";

/// Writes `value` to the front of `bytes`, which has some of no meaning behind it afterwards; returns how many it takes.
#[inline]
pub(super) fn write<T: Serialize>(value: &T, bytes: &mut Vec<u8>) -> Result<usize, EncodeError> {
    let mut output = Output { sink: Sink::new(bytes), bounds: Bounds::new() };
    let outcome = value.serialize(&mut output);
    let (written, no_room) = (output.sink.written(), output.sink.has_no_room());
    outcome.map(|()| written).map_err(|broken| refused(broken, no_room))
}

#[cold]
fn refused(broken: Broken, no_room: bool) -> EncodeError {
    if no_room { EncodeError::no_room() } else { EncodeError::new(broken) }
}

struct Output<'a> {
    sink: Sink<'a>,
    bounds: Bounds,
}

impl Output<'_> {
    #[inline]
    fn written(&self) -> usize {
        self.sink.written()
    }

    /// What is written seldom goes through bincode.
    #[inline]
    fn write<P: Encode>(&mut self, value: P) -> Result<(), Broken> {
        let mut bytes = [0; WIDEST];
        let len = bincode::encode_into_slice(value, &mut bytes, bincode::config::standard())?;
        self.sink.slice(bytes.get(..len).unwrap_or_default())
    }

    #[inline(always)]
    fn number(&mut self, value: impl Whole) -> Result<(), Broken> {
        self.sink.number(value)
    }

    #[inline(always)]
    fn nested<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Broken> {
        self.bounds.enter()?;
        value.serialize(&mut *self)?;
        self.bounds.leave();
        Ok(())
    }
}

impl<'a> Output<'a> {
    #[inline(always)]
    fn enter(&mut self) -> Result<Nested<'_, 'a>, Broken> {
        self.bounds.enter()?;
        Ok(Nested(self))
    }
}

macro_rules! primitives {
    ($write:ident: $($serialize:ident $primitive:ty),* $(,)?) => {$(
        #[inline(always)]
        fn $serialize(self, value: $primitive) -> Result<(), Broken> {
            self.$write(value)
        }
    )*};
}

impl<'o, 'a> Serializer for &'o mut Output<'a> {
    type Ok = ();
    type Error = Broken;
    type SerializeSeq = Elements<'o, 'a>;
    type SerializeTuple = Nested<'o, 'a>;
    type SerializeTupleStruct = Nested<'o, 'a>;
    type SerializeTupleVariant = Nested<'o, 'a>;
    type SerializeMap = Elements<'o, 'a>;
    type SerializeStruct = Nested<'o, 'a>;
    type SerializeStructVariant = Nested<'o, 'a>;

    primitives! {
        number:
        serialize_i16 i16,
        serialize_i32 i32,
        serialize_i64 i64,
        serialize_u16 u16,
        serialize_u32 u32,
        serialize_u64 u64,
    }

    primitives! {
        write:
        serialize_i128 i128,
        serialize_u128 u128,
    }

    #[inline(always)]
    fn serialize_u8(self, byte: u8) -> Result<(), Broken> {
        self.sink.array([byte])
    }

    #[inline(always)]
    fn serialize_i8(self, value: i8) -> Result<(), Broken> {
        self.sink.array([value.cast_unsigned()])
    }

    #[inline]
    fn serialize_char(self, value: char) -> Result<(), Broken> {
        self.sink.slice(value.encode_utf8(&mut [0; 4]).as_bytes())
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<(), Broken> {
        self.serialize_bytes(value.as_bytes())
    }

    #[inline]
    fn serialize_bytes(self, value: &[u8]) -> Result<(), Broken> {
        self.number(value.len() as u64)?;
        self.sink.slice(value)
    }

    #[inline(always)]
    fn serialize_f32(self, value: f32) -> Result<(), Broken> {
        self.sink.array(value.to_le_bytes())
    }

    #[inline(always)]
    fn serialize_f64(self, value: f64) -> Result<(), Broken> {
        self.sink.array(value.to_le_bytes())
    }

    #[inline(always)]
    fn serialize_bool(self, value: bool) -> Result<(), Broken> {
        self.serialize_u8(value.into())
    }

    #[inline(always)]
    fn serialize_none(self) -> Result<(), Broken> {
        self.serialize_u8(0)
    }

    #[inline(always)]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Broken> {
        (&mut *self).serialize_u8(1)?;
        self.nested(value)
    }

    #[inline]
    fn serialize_unit(self) -> Result<(), Broken> {
        Ok(())
    }

    #[inline]
    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Broken> {
        Ok(())
    }

    #[inline]
    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Result<(), Broken> {
        self.number(index)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Broken> {
        self.nested(value)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Broken> {
        self.number(index)?;
        self.nested(value)
    }

    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Elements<'o, 'a>, Broken> {
        self.number(len.ok_or_else(|| Broken::rule(NO_LENGTH))? as u64)?;
        self.bounds.enter()?;
        Ok(Elements { before: 0, output: self })
    }

    #[inline]
    fn serialize_tuple(self, _: usize) -> Result<Nested<'o, 'a>, Broken> {
        self.enter()
    }

    #[inline]
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Nested<'o, 'a>, Broken> {
        self.enter()
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Nested<'o, 'a>, Broken> {
        self.number(index)?;
        self.enter()
    }

    #[inline]
    fn serialize_map(self, len: Option<usize>) -> Result<Elements<'o, 'a>, Broken> {
        self.serialize_seq(len)
    }

    #[inline]
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Nested<'o, 'a>, Broken> {
        self.enter()
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Nested<'o, 'a>, Broken> {
        self.number(index)?;
        self.enter()
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The elements of a sequence, or the keys and values of a map.
struct Elements<'o, 'a> {
    output: &'o mut Output<'a>,
    /// How many bytes there were before the element or key.
    before: usize,
}

impl Elements<'_, '_> {
    #[inline]
    fn begin<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Broken> {
        self.before = self.output.written();
        value.serialize(&mut *self.output)
    }

    #[inline]
    fn finish(&mut self) -> Result<(), Broken> {
        if self.output.written() == self.before {
            self.output.bounds.count_empty(1)?;
        }
        Ok(())
    }
}

impl ser::SerializeSeq for Elements<'_, '_> {
    type Ok = ();
    type Error = Broken;

    #[inline]
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Broken> {
        self.begin(value)?;
        self.finish()
    }

    #[inline]
    fn end(self) -> Result<(), Broken> {
        self.output.bounds.leave();
        Ok(())
    }
}

impl ser::SerializeMap for Elements<'_, '_> {
    type Ok = ();
    type Error = Broken;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Broken> {
        self.begin(key)
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Broken> {
        value.serialize(&mut *self.output)?;
        self.finish()
    }

    #[inline]
    fn end(self) -> Result<(), Broken> {
        self.output.bounds.leave();
        Ok(())
    }
}

/// The fields of a struct, tuple or variant.
struct Nested<'o, 'a>(&'o mut Output<'a>);

impl Nested<'_, '_> {
    #[inline]
    fn leave(self) -> Result<(), Broken> {
        self.0.bounds.leave();
        Ok(())
    }
}

impl ser::SerializeTuple for Nested<'_, '_> {
    type Ok = ();
    type Error = Broken;

    #[inline]
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Broken> {
        value.serialize(&mut *self.0)
    }

    #[inline]
    fn end(self) -> Result<(), Broken> {
        self.leave()
    }
}

impl ser::SerializeTupleStruct for Nested<'_, '_> {
    type Ok = ();
    type Error = Broken;

    #[inline(always)]
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Broken> {
        value.serialize(&mut *self.0)
    }

    #[inline]
    fn end(self) -> Result<(), Broken> {
        self.leave()
    }
}

impl ser::SerializeTupleVariant for Nested<'_, '_> {
    type Ok = ();
    type Error = Broken;

    #[inline(always)]
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Broken> {
        value.serialize(&mut *self.0)
    }

    #[inline]
    fn end(self) -> Result<(), Broken> {
        self.leave()
    }
}

impl ser::SerializeStruct for Nested<'_, '_> {
    type Ok = ();
    type Error = Broken;

    #[inline(always)]
    fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, value: &T) -> Result<(), Broken> {
        value.serialize(&mut *self.0)
    }

    #[inline]
    fn end(self) -> Result<(), Broken> {
        self.leave()
    }
}

impl ser::SerializeStructVariant for Nested<'_, '_> {
    type Ok = ();
    type Error = Broken;

    #[inline(always)]
    fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, value: &T) -> Result<(), Broken> {
        value.serialize(&mut *self.0)
    }

    #[inline]
    fn end(self) -> Result<(), Broken> {
        self.leave()
    }
}
