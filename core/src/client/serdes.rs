//! Kafka's serializers and deserializers by their names: what each makes of a value, and of bytes.
//!
//! 1. A text that reads as what a serializer takes is that: to a LongSerializer `42` is a Long. Any other is of the class
//!    that it looks like, and refused: an Integer, a Long, a Double, a Boolean, a UUID, else a String. A list is a JSON array.
//! 2. A key or value that is not there is null, and neither is asked about it.

use std::fmt;

use uuid::Uuid;

use super::exception::Exception;
use super::lists;
use super::setting::Reader;

/// Where Kafka's classes are.
pub const PACKAGE: &str = "org.apache.kafka.common.serialization";

macro_rules! serdes {
    ($($(#[$attribute:meta])* $serde:ident $name:literal,)*) => {
        /// Kafka's `Serdes`.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum Serde {
            $($(#[$attribute])* $serde,)*
            /// Of entries of that class.
            List(&'static Serde),
        }

        /// The classes' names.
        pub const SERIALIZERS: &[&str] = &[$(concat!($name, "Serializer"),)* "ListSerializer"];
        pub const DESERIALIZERS: &[&str] = &[$(concat!($name, "Deserializer"),)* "ListDeserializer"];
        /// What a list's entries may be of.
        pub const ENTRIES: &[&str] = &[$(concat!("Serdes$", $name, "Serde"),)*];

        impl Serde {
            /// In the order of the names.
            const ALL: &[Serde] = &[$(Serde::$serde,)*];

            fn place(self) -> usize {
                Serde::ALL.iter().position(|serde| *serde == self).unwrap_or(Serde::ALL.len())
            }
        }
    };
}

serdes! {
    #[default]
    ByteArray "ByteArray",
    ByteBuffer "ByteBuffer",
    Bytes "Bytes",
    String "String",
    Short "Short",
    Integer "Integer",
    Long "Long",
    Float "Float",
    Double "Double",
    Boolean "Boolean",
    Uuid "UUID",
    Void "Void",
}

/// A record's key, or its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Key,
    Value,
}

impl Serde {
    /// Of the class of that name, one of [`SERIALIZERS`] or [`DESERIALIZERS`], with or without its package; a list's entries
    /// are of `entries`, one of [`ENTRIES`].
    pub fn of(class: &str, entries: &str) -> Option<Serde> {
        let at = |names: &[&str], name| names.iter().position(|known| *known == short(name));
        let place = at(SERIALIZERS, class).or_else(|| at(DESERIALIZERS, class))?;
        match Serde::ALL.get(place) {
            Some(serde) => Some(*serde),
            None => Some(Serde::List(&Serde::ALL[at(ENTRIES, entries)?])),
        }
    }

    pub fn serializer(self) -> &'static str {
        SERIALIZERS[self.place()]
    }

    pub fn deserializer(self) -> &'static str {
        DESERIALIZERS[self.place()]
    }

    /// Whether bytes pass as they are.
    pub fn is_plain(self) -> bool {
        matches!(self, Serde::ByteArray | Serde::ByteBuffer | Serde::Bytes)
    }

    /// The bytes of what an application means by `text`, behind what is in `out`; in Java's words where it is of another class.
    pub fn serialize(self, part: Part, text: &[u8], out: &mut Vec<u8>) -> Result<(), Exception> {
        if self.put(text, out).is_some() {
            return Ok(());
        }
        Err(serialization(format!(
            "Can't convert {part} of class {} to class {PACKAGE}.{} specified in {part}.serializer",
            self.class(text),
            self.serializer()
        )))
    }

    pub(super) fn put(self, text: &[u8], out: &mut Vec<u8>) -> Option<()> {
        if self.is_plain() {
            out.extend_from_slice(text);
            return Some(());
        }
        let text = std::str::from_utf8(text).ok()?;
        match self {
            Serde::ByteArray | Serde::ByteBuffer | Serde::Bytes | Serde::String => {
                out.extend_from_slice(text.as_bytes());
            }
            Serde::Short => out.extend(text.parse::<i16>().ok()?.to_be_bytes()),
            Serde::Integer => out.extend(text.parse::<i32>().ok()?.to_be_bytes()),
            Serde::Long => out.extend(text.parse::<i64>().ok()?.to_be_bytes()),
            Serde::Float => out.extend(text.parse::<f32>().ok()?.to_be_bytes()),
            Serde::Double => out.extend(text.parse::<f64>().ok()?.to_be_bytes()),
            Serde::Boolean => out.push(u8::from(text.parse::<bool>().ok()?)),
            Serde::Uuid => out.extend(uuid(text)?.to_string().into_bytes()),
            Serde::Void => return None,
            Serde::List(of) => return lists::put(*of, text, out),
        }
        Some(())
    }

    /// The bytes of a number, in the class that the serializer takes. False where that is text, or nothing.
    pub fn number(self, number: u64, out: &mut Vec<u8>) -> bool {
        match self {
            Serde::ByteArray | Serde::ByteBuffer | Serde::Bytes | Serde::String | Serde::Void => return false,
            Serde::Short => out.extend((number as i16).to_be_bytes()),
            Serde::Integer => out.extend((number as i32).to_be_bytes()),
            Serde::Long => out.extend((number as i64).to_be_bytes()),
            Serde::Float => out.extend((number as f32).to_be_bytes()),
            Serde::Double => out.extend((number as f64).to_be_bytes()),
            Serde::Boolean => out.push((number % 2) as u8),
            Serde::Uuid => out.extend(Uuid::from_u128(number.into()).to_string().into_bytes()),
            Serde::List(of) => lists::put_number(*of, number, out),
        }
        true
    }

    /// Whether the deserializer takes the bytes; in Kafka's words where it does not.
    pub fn ensure(self, bytes: &[u8]) -> Result<(), Exception> {
        let name = self.deserializer();
        let size = |size: usize, name: &str| match bytes.len() == size {
            true => Ok(()),
            false => Err(serialization(format!("Size of data received by {name} is not {size}"))),
        };
        match self {
            // Bytes that are no UTF-8 become U+FFFD.
            Serde::ByteArray | Serde::ByteBuffer | Serde::Bytes | Serde::String => Ok(()),
            Serde::Short => size(2, name),
            Serde::Integer => size(4, name),
            Serde::Long | Serde::Double => size(8, name),
            Serde::Float => size(4, "Deserializer"),
            Serde::Boolean => size(1, name).and_then(|()| match bytes[0] as i8 {
                0 | 1 => Ok(()),
                other => Err(serialization(format!("Unexpected byte received by {name}: {other}"))),
            }),
            Serde::Uuid => {
                let text = String::from_utf8_lossy(bytes);
                let cause = || Exception::new("IllegalArgumentException", format!("Invalid UUID string: {text}"));
                uuid(&text)
                    .map(drop)
                    .ok_or_else(|| serialization("Error parsing data into UUID".to_owned()).caused_by(&cause()))
            }
            Serde::Void => {
                Err(Exception::new("IllegalArgumentException", "Data should be null for a VoidDeserializer."))
            }
            Serde::List(of) => lists::read(*of, bytes).map(drop),
        }
    }

    /// What the deserializer makes of the bytes, in words; `None` where it leaves them as they are, or takes them for text.
    pub fn read(self, bytes: &[u8]) -> Result<Option<String>, Exception> {
        if let Serde::List(of) = self {
            return lists::read(*of, bytes).map(Some);
        }
        self.ensure(bytes)?;
        let mut right = [0; 8];
        let at = right.len().saturating_sub(bytes.len());
        bytes.iter().zip(&mut right[at..]).for_each(|(from, to)| *to = *from);
        let number = u64::from_be_bytes(right);
        Ok(match self {
            Serde::ByteArray | Serde::ByteBuffer | Serde::Bytes | Serde::String | Serde::Void | Serde::List(_) => None,
            Serde::Short => Some((number as i16).to_string()),
            Serde::Integer => Some((number as i32).to_string()),
            Serde::Long => Some((number as i64).to_string()),
            Serde::Float => {
                let number = f32::from_bits(number as u32);
                Some(java(number.into(), format!("{number:?}"), format!("{number:E}")))
            }
            Serde::Double => {
                let number = f64::from_bits(number);
                Some(java(number, format!("{number:?}"), format!("{number:E}")))
            }
            Serde::Boolean => Some((number == 1).to_string()),
            Serde::Uuid => uuid(&String::from_utf8_lossy(bytes)).map(|uuid| uuid.to_string()),
        })
    }

    /// (1) What Java would say that it is.
    fn class(self, text: &[u8]) -> &'static str {
        match std::str::from_utf8(text) {
            Ok(text) if matches!(self, Serde::List(_)) && lists::entries(text).is_some() => "java.util.ArrayList",
            _ => class(text),
        }
    }
}

/// The serializer that settings name; in Kafka's words where that of a list is not said what its entries are.
pub(super) fn serializer(read: Reader<'_>, part: Part) -> Result<Serde, String> {
    let why = "Not able to determine the serializer class because it was neither passed via the constructor nor set in the config.";
    named(read, part, "serializer").ok_or_else(|| why.to_owned())
}

/// The deserializer, in the same manner.
pub(super) fn deserializer(read: Reader<'_>, part: Part) -> Result<Serde, String> {
    let why = |what: &str| {
        format!(
            "Not able to determine the {what} because it was neither passed via the constructor nor set in the config."
        )
    };
    let is_list = short(read.text(&format!("{part}.deserializer"))) == "ListDeserializer";
    if is_list && read.text(&format!("default.list.{part}.serde.type")).is_empty() {
        return Err(why("list class"));
    }
    named(read, part, "deserializer").ok_or_else(|| why("inner serde class"))
}

fn named(read: Reader<'_>, part: Part, kind: &str) -> Option<Serde> {
    Serde::of(read.text(&format!("{part}.{kind}")), read.text(&format!("default.list.{part}.serde.inner")))
}

/// Without its package.
fn short(class: &str) -> &str {
    class.strip_prefix(PACKAGE).and_then(|rest| rest.strip_prefix('.')).unwrap_or(class)
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Key => "key",
            Part::Value => "value",
        })
    }
}

pub(super) fn serialization(message: String) -> Exception {
    Exception::new("SerializationException", message)
}

/// `Double.toString`: plain from 0.001 up to ten million, with an exponent elsewhere.
fn java(number: f64, plain: String, scientific: String) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    if number == 0.0 || number.is_nan() || (1e-3..1e7).contains(&number.abs()) {
        return plain;
    }
    match scientific.contains('.') {
        true => scientific,
        false => scientific.replace('E', ".0E"),
    }
}

fn class(text: &[u8]) -> &'static str {
    let Ok(text) = std::str::from_utf8(text) else { return "[B" };
    let is_number = text.ends_with(|last: char| last.is_ascii_digit());
    if text.parse::<i32>().is_ok() {
        "java.lang.Integer"
    } else if text.parse::<i64>().is_ok() {
        "java.lang.Long"
    } else if is_number && text.parse::<f64>().is_ok() {
        "java.lang.Double"
    } else if text.parse::<bool>().is_ok() {
        "java.lang.Boolean"
    } else if text.len() == 36 && uuid(text).is_some() {
        "java.util.UUID"
    } else {
        "java.lang.String"
    }
}

/// `UUID.fromString`, which takes short parts too: `1-2-3-4-5`.
fn uuid(text: &str) -> Option<Uuid> {
    let mut parts = text.split('-').map(|part| i64::from_str_radix(part, 16).ok());
    let mut part = |bits: u32| Some(parts.next()?? as u64 & (u64::MAX >> (64 - bits)));
    let (low, mid, high) = (part(32)?, part(16)?, part(16)?);
    let (sequence, node) = (part(16)?, part(48)?);
    let done = text.len() <= 36 && parts.next().is_none();
    done.then(|| Uuid::from_u64_pair(low << 32 | mid << 16 | high, sequence << 48 | node))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serialized(class: &str, text: &[u8]) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        let done = Serde::of(class, "").unwrap().serialize(Part::Value, text, &mut out);
        done.map(|()| out).map_err(|exception| exception.message)
    }

    #[test]
    fn every_class_reads_what_its_own_serializer_wrote() {
        for (text, serializer) in [
            ("hello", "StringSerializer"),
            ("-7", "ShortSerializer"),
            ("-2147483648", "IntegerSerializer"),
            ("9223372036854775807", "LongSerializer"),
            ("0.5", "FloatSerializer"),
            ("-1.25", "DoubleSerializer"),
            ("0.001", "FloatSerializer"),
            ("1.0E7", "FloatSerializer"),
            ("-1.25E-7", "DoubleSerializer"),
            ("1.0E20", "DoubleSerializer"),
            ("-Infinity", "DoubleSerializer"),
            ("NaN", "DoubleSerializer"),
            ("true", "BooleanSerializer"),
            ("f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "UUIDSerializer"),
            ("\u{0}x", "BytesSerializer"),
        ] {
            let bytes = serialized(serializer, text.as_bytes()).unwrap();
            let class = format!("{PACKAGE}.{}", serializer.replace("Ser", "Deser"));
            let read = Serde::of(&class, "").unwrap().read(&bytes).unwrap();
            assert_eq!(read.unwrap_or_else(|| String::from_utf8(bytes).unwrap()), text, "{serializer}");
        }
        assert_eq!(serialized("IntegerSerializer", b"258").unwrap(), [0, 0, 1, 2]);
        assert_eq!(serialized("UUIDSerializer", b"1-2-3-4-5").unwrap(), b"00000001-0002-0003-0004-000000000005");
        assert!(Serde::of("ListSerializer", "").is_none() && Serde::of("org.acme.StringSerializer", "").is_none());
        let (list, entries) = (format!("{PACKAGE}.ListDeserializer"), format!("{PACKAGE}.Serdes$LongSerde"));
        assert_eq!(Serde::of(&list, &entries), Some(Serde::List(&Serde::Long)));
    }

    /// What Kafka 4.3's producer says to objects of these classes.
    #[test]
    fn what_is_of_another_class_is_refused_in_kafkas_words() {
        for (serializer, value, class) in [
            ("IntegerSerializer", &b"hello"[..], "java.lang.String"),
            ("IntegerSerializer", b"3000000000", "java.lang.Long"),
            ("IntegerSerializer", b"1.5", "java.lang.Double"),
            ("IntegerSerializer", b"true", "java.lang.Boolean"),
            ("IntegerSerializer", b"\xff", "[B"),
            ("StringSerializer", b"\xff", "[B"),
            ("LongSerializer", b"", "java.lang.String"),
            ("ShortSerializer", b"70000", "java.lang.Integer"),
            ("BooleanSerializer", b"f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "java.util.UUID"),
            ("VoidSerializer", b"x", "java.lang.String"),
        ] {
            let said = format!(
                "Can't convert value of class {class} to class org.apache.kafka.common.serialization.{serializer} specified \
                 in value.serializer"
            );
            assert_eq!(serialized(serializer, value), Err(said));
        }
    }

    #[test]
    fn a_list_of_others_is_a_list_of_another_class() {
        let said = |text: &str| Serde::List(&Serde::Integer).serialize(Part::Value, text.as_bytes(), &mut Vec::new());
        assert!(
            said("[\"x\"]").unwrap_err().message.starts_with("Can't convert value of class java.util.ArrayList to")
        );
        assert!(said("7").unwrap_err().message.starts_with("Can't convert value of class java.lang.Integer to"));
    }

    /// What Kafka 4.3's deserializers say to these bytes.
    #[test]
    fn wrong_bytes_are_refused_in_kafkas_words() {
        for (class, bytes, said) in [
            (
                "IntegerDeserializer",
                &b"hello"[..],
                "SerializationException: Size of data received by IntegerDeserializer is not 4",
            ),
            ("LongDeserializer", b"", "SerializationException: Size of data received by LongDeserializer is not 8"),
            (
                "ShortDeserializer",
                b"abc",
                "SerializationException: Size of data received by ShortDeserializer is not 2",
            ),
            ("FloatDeserializer", b"abc", "SerializationException: Size of data received by Deserializer is not 4"),
            (
                "DoubleDeserializer",
                b"abc",
                "SerializationException: Size of data received by DoubleDeserializer is not 8",
            ),
            (
                "BooleanDeserializer",
                b"abc",
                "SerializationException: Size of data received by BooleanDeserializer is not 1",
            ),
            (
                "BooleanDeserializer",
                b"\xfd",
                "SerializationException: Unexpected byte received by BooleanDeserializer: -3",
            ),
            (
                "UUIDDeserializer",
                b"hello",
                "SerializationException: Error parsing data into UUID, caused by IllegalArgumentException: Invalid UUID \
                 string: hello",
            ),
            ("VoidDeserializer", b"", "IllegalArgumentException: Data should be null for a VoidDeserializer."),
        ] {
            assert_eq!(Serde::of(class, "").unwrap().ensure(bytes).unwrap_err().to_string(), said);
        }
        assert!(Serde::String.ensure(b"\xff").is_ok());
    }
}
