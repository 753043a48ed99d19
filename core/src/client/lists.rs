//! Kafka's list serde: entries of one class, as `ListSerializer` writes and `ListDeserializer` reads them.
//!
//! ```text
//! of a class whose bytes are always as many   0  (number of nulls: i32) (index of each: i32)…  (size: i32) (entry)…
//! of any other                                1  (size: i32) [ (bytes: i32, -1: null) (entry) ]…
//! ```
//!
//! An application means a list by a JSON array: `[1,null,3]`. A null takes the room of an entry in neither form.

use std::io::{Error, Read};

use serde_json::Value;

use super::exception::Exception;
use super::serdes::{Serde, serialization};

const NULL: i32 = -1;

/// Puts the list that `text` means behind what is in `out`; `None` where it means none, or an entry is of another class.
pub(super) fn put(of: Serde, text: &str, out: &mut Vec<u8>) -> Option<()> {
    let entries = entries(text)?.into_iter().map(|entry| match entry {
        Value::Null => Some(None),
        Value::Array(_) | Value::Object(_) => None,
        Value::String(text) => Some(Some(text)),
        number_or_truth => Some(Some(number_or_truth.to_string())),
    });
    let entries = entries.collect::<Option<Vec<_>>>()?;
    put_entries(of, &entries, |text, out| of.put(text.as_bytes(), out), out)
}

/// A list of that number alone.
pub(super) fn put_number(of: Serde, number: u64, out: &mut Vec<u8>) {
    let put = |number: &u64, out: &mut Vec<u8>| {
        if !of.number(*number, out) {
            out.extend(number.to_string().bytes());
        }
        Some(())
    };
    // There is but one value of a Void.
    let entry = (of != Serde::Void).then_some(number);
    put_entries(of, &[entry], put, out).expect("a number is of every class");
}

/// The entries, if the text is a list.
pub(super) fn entries(text: &str) -> Option<Vec<Value>> {
    serde_json::from_str(text).ok()
}

fn put_entries<T>(
    of: Serde,
    entries: &[Option<T>],
    put: impl Fn(&T, &mut Vec<u8>) -> Option<()>,
    out: &mut Vec<u8>,
) -> Option<()> {
    let begin = out.len();
    let int = |number: usize, out: &mut Vec<u8>| out.extend((number as i32).to_be_bytes());
    let is_fixed = fixed(of).is_some();
    out.push(u8::from(!is_fixed));
    if is_fixed {
        let nulls = || (0..entries.len()).filter(|at| entries[*at].is_none());
        int(nulls().count(), out);
        nulls().for_each(|at| int(at, out));
    }
    int(entries.len(), out);
    for entry in entries {
        match entry {
            None if is_fixed => {}
            None => out.extend(NULL.to_be_bytes()),
            Some(entry) => {
                let at = out.len();
                if put(entry, out).is_none() {
                    out.truncate(begin);
                    return None;
                }
                if !is_fixed {
                    let length = (out.len() - at) as i32;
                    out.splice(at..at, length.to_be_bytes());
                }
            }
        }
    }
    Some(())
}

/// The list as JSON; in Kafka's words where the bytes are none.
pub(super) fn read(of: Serde, bytes: &[u8]) -> Result<String, Exception> {
    let unable = |_: Error| {
        Exception::kafka("Unable to deserialize into a List").caused_by(&Exception::new("EOFException", "null"))
    };
    let mut rest = bytes;
    let is_fixed = match byte(&mut rest).map_err(unable)? {
        0 => true,
        1 => false,
        _ => return Err(serialization("Invalid serialization strategy flag value".to_owned())),
    };
    let mut nulls = Vec::new();
    if is_fixed {
        let count = int(&mut rest).map_err(unable)?;
        if count < 0 {
            return Err(Exception::new("IllegalArgumentException", format!("Illegal Capacity: {count}")));
        }
        for _ in 0..count {
            nulls.push(int(&mut rest).map_err(unable)?);
        }
        nulls.sort_unstable();
    }
    let size = int(&mut rest).map_err(unable)?;
    if size < 0 {
        let cause = Exception::new("IllegalArgumentException", format!("Illegal Capacity: {size}"));
        let whole = Exception::kafka("Could not construct a list instance of \"java.util.ArrayList\"");
        return Err(whole.caused_by(&cause));
    }
    let mut text = String::from("[");
    for at in 0..size {
        if at > 0 {
            text.push(',');
        }
        let length = match (is_fixed, fixed(of)) {
            (false, _) => int(&mut rest).map_err(unable)?,
            (true, Some(length)) => length,
            (true, None) => {
                let why = "Cannot invoke \"java.lang.Integer.intValue()\" because \"this.primitiveSize\" is null";
                return Err(Exception::new("NullPointerException", why));
            }
        };
        if length == NULL || nulls.binary_search(&at).is_ok() {
            text.push_str("null");
            continue;
        }
        let length =
            usize::try_from(length).map_err(|_| Exception::new("NegativeArraySizeException", length.to_string()))?;
        // Kafka fills a last entry up with zeros where some of it is there, however long it says that it is: here it is refused.
        if rest.is_empty() || length > rest.len() {
            return Err(serialization("End of the stream was reached prematurely".to_owned()));
        }
        let (entry, after) = rest.split_at(length);
        rest = after;
        let shown = match of.read(entry)? {
            Some(plain) if stands_for_itself(of, &plain) => plain,
            Some(other) => Value::from(other).to_string(),
            None => Value::from(String::from_utf8_lossy(entry)).to_string(),
        };
        text.push_str(&shown);
    }
    text.push(']');
    Ok(text)
}

/// Whether JSON can say it without quotes: a truth, or a number that is one.
fn stands_for_itself(of: Serde, read: &str) -> bool {
    of == Serde::Boolean || of != Serde::Uuid && read.parse::<f64>().is_ok_and(f64::is_finite)
}

/// How many bytes every entry of a class has (`ListSerializer.FIXED_LENGTH_SERIALIZERS`).
fn fixed(of: Serde) -> Option<i32> {
    match of {
        Serde::Short => Some(2),
        Serde::Integer | Serde::Float => Some(4),
        Serde::Long | Serde::Double => Some(8),
        Serde::Uuid => Some(36),
        _ => None,
    }
}

fn byte(rest: &mut &[u8]) -> Result<u8, Error> {
    let mut byte = [0];
    rest.read_exact(&mut byte).map(|()| byte[0])
}

fn int(rest: &mut &[u8]) -> Result<i32, Error> {
    let mut bytes = [0; 4];
    rest.read_exact(&mut bytes).map(|()| i32::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        hex.as_bytes().chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
    }

    /// What Kafka 4.3's `ListSerializer` makes of such lists.
    #[test]
    fn lists_are_written_as_kafka_writes_them_and_read_back() {
        for (of, text, hex) in [
            (Serde::Short, "[1,null,-2]", "000000000100000001000000030001fffe"),
            (Serde::Integer, "[1,null,3]", "000000000100000001000000030000000100000003"),
            (Serde::Long, "[1,null]", "0000000001000000010000000200000000 00000001"),
            (Serde::Float, "[0.5]", "0000000000000000013f000000"),
            (Serde::Double, "[0.5]", "0000000000000000013fe0000000000000"),
            (
                Serde::Uuid,
                "[\"00000000-0000-0001-0000-000000000002\",null]",
                "0000000001000000010000000230303030303030302d303030302d303030312d303030302d303030303030303030303032",
            ),
            (Serde::String, "[\"a\",null,\"bc\"]", "01000000030000000161ffffffff000000026263"),
            (Serde::Boolean, "[true,null]", "01000000020000000101ffffffff"),
            (Serde::Void, "[null]", "0100000001ffffffff"),
            (Serde::Integer, "[]", "000000000000000000"),
            (Serde::String, "[]", "0100000000"),
        ] {
            let (mut out, hex) = (Vec::new(), hex.replace(' ', ""));
            put(of, text, &mut out).unwrap();
            assert_eq!(out, bytes(&hex), "{of:?} {text}");
            assert_eq!(read(of, &out).as_deref(), Ok(text), "{of:?}");
        }
        for wrong in ["1", "[1", "[1.5]", "[[1]]", "{}", "[\"x\"]", "[true]", ""] {
            let mut out = vec![7];
            assert_eq!((put(Serde::Integer, wrong, &mut out), &out[..]), (None, &[7][..]), "{wrong}");
        }
    }

    #[test]
    fn a_numbered_record_is_a_list_of_its_number() {
        for (of, read_back) in [
            (Serde::Integer, "[3]"),
            (Serde::String, "[\"3\"]"),
            (Serde::Boolean, "[true]"),
            (Serde::Uuid, "[\"00000000-0000-0000-0000-000000000003\"]"),
            (Serde::Void, "[null]"),
        ] {
            let mut out = Vec::new();
            put_number(of, 3, &mut out);
            assert_eq!(read(of, &out).as_deref(), Ok(read_back));
        }
    }

    /// What Kafka 4.3's `ListDeserializer` says to these bytes.
    #[test]
    fn wrong_bytes_are_refused_in_kafkas_words() {
        let (unable, early) = (
            "KafkaException: Unable to deserialize into a List, caused by EOFException: null",
            "SerializationException: End of the stream was reached prematurely",
        );
        for (of, hex, said) in [
            (Serde::Integer, "", unable),
            (Serde::Integer, "00", unable),
            (Serde::String, "0100000001", unable),
            (Serde::Integer, "00000000017fffffff", unable),
            (Serde::String, "02", "SerializationException: Invalid serialization strategy flag value"),
            (Serde::Integer, "000000000000000001", early),
            (Serde::String, "010000000100000000", early),
            (
                Serde::Integer,
                "01000000010000000161",
                "SerializationException: Size of data received by IntegerDeserializer is not 4",
            ),
            (Serde::String, "0100000001fffffffe", "NegativeArraySizeException: -2"),
            (Serde::Integer, "00ffffffff0000000100000001", "IllegalArgumentException: Illegal Capacity: -1"),
            (
                Serde::String,
                "01ffffffff",
                "KafkaException: Could not construct a list instance of \"java.util.ArrayList\", caused by \
                 IllegalArgumentException: Illegal Capacity: -1",
            ),
            (
                Serde::String,
                "00000000000000000100000007",
                "NullPointerException: Cannot invoke \"java.lang.Integer.intValue()\" because \"this.primitiveSize\" is null",
            ),
        ] {
            assert_eq!(read(of, &bytes(hex)).unwrap_err().to_string(), said, "{hex}");
        }
        let more = "000000000100000000000000020000000700000008";
        assert_eq!(read(Serde::Integer, &bytes(more)).as_deref(), Ok("[null,7]"), "what lies behind is left alone");
    }
}
