//! The number of bytes that a value's encoding has.
//!
//! Rule: it counts what the network's encoding (bincode's standard one) would write, without writing
//! it: integers of variable length, the length before a list, the number before a variant, and
//! nothing for the names of fields.

use std::fmt::Error;

use serde::Serialize;
use serde::ser::{
    SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

/// Bytes of the encoding of `value`.
pub(crate) fn encoded_size(value: &impl Serialize) -> u64 {
    let mut size = Size(0);
    // Counting cannot fail, and no value that is sent fails by itself.
    let _ = value.serialize(&mut size);
    size.0
}

/// The bytes counted so far.
struct Size(u64);

impl Size {
    fn add(&mut self, bytes: u64) -> Result<(), Error> {
        self.0 += bytes;
        Ok(())
    }

    /// Adds an integer of variable length.
    fn integer(&mut self, value: u64) -> Result<(), Error> {
        self.add(match value {
            0..=250 => 1,
            251..=0xffff => 3,
            0x1_0000..=0xffff_ffff => 5,
            _ => 9,
        })
    }

    /// Adds a signed integer, whose sign becomes its lowest bit.
    fn signed(&mut self, value: i64) -> Result<(), Error> {
        self.integer((value << 1 ^ value >> 63).cast_unsigned())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.integer(bytes.len() as u64)?;
        self.add(bytes.len() as u64)
    }
}

impl Serializer for &mut Size {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    fn serialize_bool(self, _: bool) -> Result<(), Error> {
        self.add(1)
    }

    fn serialize_i8(self, _: i8) -> Result<(), Error> {
        self.add(1)
    }

    fn serialize_i16(self, value: i16) -> Result<(), Error> {
        self.signed(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<(), Error> {
        self.signed(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<(), Error> {
        self.signed(value)
    }

    fn serialize_u8(self, _: u8) -> Result<(), Error> {
        self.add(1)
    }

    fn serialize_u16(self, value: u16) -> Result<(), Error> {
        self.integer(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), Error> {
        self.integer(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<(), Error> {
        self.integer(value)
    }

    fn serialize_f32(self, _: f32) -> Result<(), Error> {
        self.add(4)
    }

    fn serialize_f64(self, _: f64) -> Result<(), Error> {
        self.add(8)
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.add(value.len_utf8() as u64)
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        self.bytes(value.as_bytes())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        self.bytes(value)
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.add(1)
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result<(), Error> {
        self.add(1)?;
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        Ok(())
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
    ) -> Result<(), Error> {
        self.integer(index.into())
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.integer(index.into())?;
        value.serialize(self)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self, Error> {
        self.integer(len.ok_or(Error)? as u64)?;
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Error> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Error> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Error> {
        self.integer(index.into())?;
        Ok(self)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self, Error> {
        self.integer(len.ok_or(Error)? as u64)?;
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Error> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Error> {
        self.integer(index.into())?;
        Ok(self)
    }
}

/// Parts of a whole are counted one by one, and its end adds nothing.
macro_rules! count_parts {
    ($($whole:ident::$part:ident($($name:ty)?)),* $(,)?) => {$(
        impl $whole for &mut Size {
            type Ok = ();
            type Error = Error;

            fn $part<T: ?Sized + Serialize>(&mut self, $(_: $name,)? value: &T) -> Result<(), Error> {
                value.serialize(&mut **self)
            }

            fn end(self) -> Result<(), Error> {
                Ok(())
            }
        }
    )*};
}

count_parts! {
    SerializeSeq::serialize_element(),
    SerializeTuple::serialize_element(),
    SerializeTupleStruct::serialize_field(),
    SerializeTupleVariant::serialize_field(),
    SerializeStruct::serialize_field(&'static str),
    SerializeStructVariant::serialize_field(&'static str),
}

impl SerializeMap for &mut Size {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: ?Sized + Serialize>(&mut self, key: &T) -> Result<(), Error> {
        key.serialize(&mut **self)
    }

    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Hash, ShardId};

    #[test]
    fn integers_take_as_many_bytes_as_they_need() {
        let sizes = [0, 250, 251, 65_535, 65_536, u64::MAX].map(|value| encoded_size(&value));
        assert_eq!(sizes, [1, 1, 3, 3, 5, 9]);
        assert_eq!([-125, 125, -126_i64, i64::MIN].map(|it| encoded_size(&it)), [1, 1, 3, 9]);
        assert_eq!((encoded_size(&255_u8), encoded_size(&true), encoded_size(&1.5_f32)), (1, 1, 4));
    }

    #[test]
    fn wholes_are_their_parts_and_lists_say_how_long_they_are() {
        assert_eq!(encoded_size(&Hash([7; 32])), 32);
        assert_eq!(encoded_size(&(ShardId(300), 1_u64)), 4);
        assert_eq!(encoded_size(&vec![ShardId(1); 3]), 4);
        assert_eq!(encoded_size(&vec![1_u8; 300]), 303);
        assert_eq!((encoded_size(&Some("text")), encoded_size(&None::<u64>)), (6, 1));
    }
}
