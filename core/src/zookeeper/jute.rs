//! ZooKeeper's encoding, of its wire and of its files: big-endian numbers, and lengths of 32 bits before strings,
//! buffers and vectors, −1 for one that is not there.

use bytes::{BufMut, Bytes, BytesMut};

use super::Path;

/// Reads one value after the other; an error is that the bytes are not such a value.
pub struct Reader {
    rest: Bytes,
}

/// What the bytes should have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "expected {}", self.0)
    }
}

impl Reader {
    pub fn new(bytes: Bytes) -> Reader {
        Reader { rest: bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Bytes that are left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    fn take(&mut self, len: usize, what: &'static str) -> Result<Bytes, Malformed> {
        if self.rest.len() < len { Err(Malformed(what)) } else { Ok(self.rest.split_to(len)) }
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Malformed> {
        self.take(N, what)?.as_ref().try_into().map_err(|_| Malformed(what))
    }

    /// All that is left.
    pub fn rest(self) -> Bytes {
        self.rest
    }

    pub fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>("a byte")?[0])
    }

    pub fn bool(&mut self) -> Result<bool, Malformed> {
        Ok(self.array::<1>("a boolean")?[0] != 0)
    }

    pub fn int(&mut self) -> Result<i32, Malformed> {
        self.array("an int").map(i32::from_be_bytes)
    }

    pub fn long(&mut self) -> Result<i64, Malformed> {
        self.array("a long").map(i64::from_be_bytes)
    }

    pub fn buffer(&mut self) -> Result<Option<Bytes>, Malformed> {
        match self.int()? {
            -1 => Ok(None),
            len => {
                let len = usize::try_from(len).map_err(|_| Malformed("a buffer's length"))?;
                self.take(len, "a buffer").map(Some)
            }
        }
    }

    pub fn string(&mut self) -> Result<Path, Malformed> {
        self.optional_string()?.ok_or(Malformed("a string"))
    }

    pub fn optional_string(&mut self) -> Result<Option<Path>, Malformed> {
        let text = |bytes: Bytes| std::str::from_utf8(&bytes).map(Path::from);
        self.buffer()?.map(text).transpose().map_err(|_| Malformed("a string in UTF-8"))
    }

    /// A vector of what `item` reads.
    pub fn vector<T>(
        &mut self,
        mut item: impl FnMut(&mut Reader) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let len = self.int()?.max(0);
        // An item has a byte at least: a length that cannot be is not believed.
        if len as usize > self.remaining() {
            return Err(Malformed("a vector"));
        }
        (0..len).map(|_| item(self)).collect()
    }
}

/// Writing is into any buffer.
pub trait Write: BufMut {
    fn put_bool(&mut self, value: bool) {
        self.put_u8(value.into());
    }

    fn put_buffer(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            None => self.put_i32(-1),
            Some(bytes) => {
                self.put_i32(bytes.len() as i32);
                self.put_slice(bytes);
            }
        }
    }

    fn put_string(&mut self, text: &str) {
        self.put_buffer(Some(text.as_bytes()));
    }
}

impl Write for BytesMut {}

/// The checksum of ZooKeeper's files.
#[derive(Clone, Copy, Debug)]
pub struct Adler32 {
    a: u32,
    b: u32,
}

impl Adler32 {
    pub fn of(bytes: &[u8]) -> i64 {
        const MODULUS: u32 = 65_521;
        /// As many bytes as cannot overflow the sums.
        const RUN: usize = 5_552;
        let mut sums = Adler32 { a: 1, b: 0 };
        for run in bytes.chunks(RUN) {
            for byte in run {
                sums.a += u32::from(*byte);
                sums.b += sums.a;
            }
            sums = Adler32 { a: sums.a % MODULUS, b: sums.b % MODULUS };
        }
        i64::from(sums.b << 16 | sums.a)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_adler_32() {
        assert_eq!(Adler32::of(b""), 1);
        assert_eq!(Adler32::of(b"Wikipedia"), 0x11E6_0398);
        assert_eq!(Adler32::of(&[255; 100_000]), 0x149A_302C);
    }

    #[test]
    fn what_is_cut_off_is_not_read_as_something_else() {
        let mut bytes = BytesMut::new();
        bytes.put_string("abc");
        let whole = bytes.freeze();
        assert_eq!(Reader::new(whole.clone()).string().as_deref(), Ok("abc"));
        for len in 0..whole.len() {
            assert!(Reader::new(whole.slice(..len)).string().is_err());
        }
    }
}
