//! How records of coordinators lie in their topics. Kafka describes each in a JSON file from which it makes a reader and a
//! writer; here one description, [`Fields::fields`], is both: what it meets is read into, or written from.
//!
//! A key begins with the record's type, a value with its version, two bytes each. A version that is `flexible` has compact
//! lengths, and tagged fields at the end of every structure.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use uuid::Uuid;

use crate::protocol::strings;

/// The fields of a structure, in their order.
pub trait Fields: Clone + Default {
    fn fields(&mut self, version: i16, wire: &mut Wire) -> Result<(), Malformed>;
}

/// Bytes that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// What is read from, or written to.
#[derive(Debug)]
pub enum Wire {
    Read(Bytes),
    Write(Vec<u8>),
}

/// A field that is there only under its number.
pub struct Tag<'a> {
    pub tag: u32,
    /// When writing: it is not what it is by default.
    pub is_set: bool,
    pub field: &'a mut dyn FnMut(&mut Wire) -> Result<(), Malformed>,
}

/// `prefix` (a type, or a version), then the fields.
pub fn write<T: Fields>(prefix: i16, version: i16, fields: &T) -> Bytes {
    let mut wire = Wire::Write(prefix.to_be_bytes().to_vec());
    // What is written is passed over, not changed; and writing does not fail.
    let _ = fields.clone().fields(version, &mut wire);
    match wire {
        Wire::Write(bytes) => bytes.into(),
        Wire::Read(bytes) => bytes,
    }
}

/// The two bytes at the start, and the rest.
pub fn prefix(mut bytes: Bytes) -> Result<(i16, Bytes), Malformed> {
    let prefix = bytes.try_get_i16().map_err(|_| Malformed)?;
    Ok((prefix, bytes))
}

/// The fields that `bytes` begin with.
pub fn read<T: Fields>(version: i16, bytes: Bytes) -> Result<T, Malformed> {
    let mut fields = T::default();
    fields.fields(version, &mut Wire::Read(bytes))?;
    Ok(fields)
}

macro_rules! number {
    ($name:ident, $type:ty, $get:ident, $put:ident) => {
        pub fn $name(&mut self, field: &mut $type) -> Result<(), Malformed> {
            match self {
                Wire::Read(bytes) => *field = bytes.$get().map_err(|_| Malformed)?,
                Wire::Write(bytes) => bytes.$put(*field),
            }
            Ok(())
        }
    };
}

impl Wire {
    number!(i8, i8, try_get_i8, put_i8);
    number!(i16, i16, try_get_i16, put_i16);
    number!(i32, i32, try_get_i32, put_i32);
    number!(i64, i64, try_get_i64, put_i64);

    pub fn uuid(&mut self, field: &mut Uuid) -> Result<(), Malformed> {
        match self {
            Wire::Read(bytes) => *field = Uuid::from_u128(bytes.try_get_u128().map_err(|_| Malformed)?),
            Wire::Write(bytes) => bytes.put_u128(field.as_u128()),
        }
        Ok(())
    }

    pub fn string(&mut self, field: &mut Arc<str>, flexible: bool) -> Result<(), Malformed> {
        let mut nullable = Some(field.clone());
        self.nullable_string(&mut nullable, flexible)?;
        *field = nullable.ok_or(Malformed)?;
        Ok(())
    }

    pub fn nullable_string(&mut self, field: &mut Option<Arc<str>>, flexible: bool) -> Result<(), Malformed> {
        let len = self.len(field.as_ref().map(|text| text.len()), if flexible { Len::Compact } else { Len::Short })?;
        match (self, len) {
            (Wire::Read(bytes), Some(len)) => {
                let text = bytes.split_to(len);
                *field = Some(std::str::from_utf8(&text).map_err(|_| Malformed)?.into());
            }
            (Wire::Read(_), None) => *field = None,
            (Wire::Write(bytes), _) => bytes.extend_from_slice(field.as_deref().unwrap_or_default().as_bytes()),
        }
        Ok(())
    }

    /// What is read does not hold on to the buffer that it came in.
    pub fn bytes(&mut self, field: &mut Bytes, flexible: bool) -> Result<(), Malformed> {
        let len = self.len(Some(field.len()), if flexible { Len::Compact } else { Len::Int })?;
        match (self, len) {
            (Wire::Read(bytes), Some(len)) => *field = Bytes::copy_from_slice(&bytes.split_to(len)),
            (Wire::Read(_), None) => return Err(Malformed),
            (Wire::Write(bytes), _) => bytes.extend_from_slice(field),
        }
        Ok(())
    }

    pub fn array<T: Clone + Default>(
        &mut self,
        field: &mut Vec<T>,
        flexible: bool,
        each: impl FnMut(&mut T, &mut Wire) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let mut nullable = Some(std::mem::take(field));
        self.nullable_array(&mut nullable, flexible, each)?;
        *field = nullable.ok_or(Malformed)?;
        Ok(())
    }

    pub fn nullable_array<T: Clone + Default>(
        &mut self,
        field: &mut Option<Vec<T>>,
        flexible: bool,
        mut each: impl FnMut(&mut T, &mut Wire) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let len = self.len(field.as_ref().map(Vec::len), if flexible { Len::Compact } else { Len::Int })?;
        let Wire::Read(_) = self else {
            return field.iter_mut().flatten().try_for_each(|element| each(element, self));
        };
        let Some(len) = len else {
            *field = None;
            return Ok(());
        };
        // An element has a byte at least, so there cannot be more than `len` has found.
        let mut elements = Vec::with_capacity(len.min(1_024));
        for _ in 0..len {
            let mut element = T::default();
            each(&mut element, self)?;
            elements.push(element);
        }
        *field = Some(elements);
        Ok(())
    }

    /// A structure that may be missing, as tagged fields have it: a byte that says so, then the fields.
    pub fn nullable<T: Fields>(&mut self, field: &mut Option<T>, version: i16) -> Result<(), Malformed> {
        let mut there = i8::from(field.is_some());
        self.i8(&mut there)?;
        if there == 0 {
            *field = None;
            return Ok(());
        }
        field.get_or_insert_default().fields(version, self)
    }

    /// The tagged fields at the end of a flexible structure, in the order of their tags; unknown ones are passed over.
    pub fn tags(&mut self, tags: &mut [Tag<'_>]) -> Result<(), Malformed> {
        let mut count = tags.iter().filter(|tag| tag.is_set).count() as u32;
        self.varint(&mut count)?;
        if let Wire::Write(_) = self {
            for tag in tags.iter_mut().filter(|tag| tag.is_set) {
                let mut inner = Wire::Write(Vec::new());
                (tag.field)(&mut inner)?;
                let Wire::Write(inner) = inner else { return Err(Malformed) };
                self.varint(&mut tag.tag.clone())?;
                self.varint(&mut (inner.len() as u32))?;
                let Wire::Write(bytes) = self else { return Err(Malformed) };
                bytes.extend_from_slice(&inner);
            }
            return Ok(());
        }
        for _ in 0..count {
            let (mut number, mut len) = (0, 0);
            self.varint(&mut number)?;
            self.varint(&mut len)?;
            let Wire::Read(bytes) = self else { return Err(Malformed) };
            if bytes.len() < len as usize {
                return Err(Malformed);
            }
            let mut inner = Wire::Read(bytes.split_to(len as usize));
            if let Some(tag) = tags.iter_mut().find(|tag| tag.tag == number) {
                (tag.field)(&mut inner)?;
            }
        }
        Ok(())
    }

    /// Reads or writes a length; when reading, there are as many bytes at least.
    fn len(&mut self, len: Option<usize>, form: Len) -> Result<Option<usize>, Malformed> {
        let signed = match form {
            Len::Short => {
                debug_assert!(len.is_none_or(|len| len <= strings::MAX_LEN), "it was to be refused at the border");
                let mut short = len.map_or(-1, |len| len as i16);
                self.i16(&mut short)?;
                i64::from(short)
            }
            Len::Int => {
                let mut int = len.map_or(-1, |len| len as i32);
                self.i32(&mut int)?;
                i64::from(int)
            }
            Len::Compact => {
                let mut compact = len.map_or(0, |len| len as u32 + 1);
                self.varint(&mut compact)?;
                i64::from(compact) - 1
            }
        };
        let len = usize::try_from(signed).ok();
        match self {
            Wire::Read(bytes) if len.is_some_and(|len| len > bytes.len()) => Err(Malformed),
            _ => Ok(len),
        }
    }

    fn varint(&mut self, field: &mut u32) -> Result<(), Malformed> {
        match self {
            Wire::Read(bytes) => {
                *field = 0;
                for shift in (0..35).step_by(7) {
                    let byte = bytes.try_get_u8().map_err(|_| Malformed)?;
                    *field |= u32::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
                    if byte & 0x80 == 0 {
                        return Ok(());
                    }
                }
                Err(Malformed)
            }
            Wire::Write(bytes) => {
                let mut rest = *field;
                while rest > 0x7f {
                    bytes.push(rest as u8 | 0x80);
                    rest >>= 7;
                }
                bytes.push(rest as u8);
                Ok(())
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Len {
    Short,
    Int,
    Compact,
}
