//! A buffer to encode into that lets slices be kept out of it: those that nobody is to copy.

use bytes::buf::UninitSlice;
use bytes::{BufMut, BytesMut};
use kafka_protocol::protocol::buf::ByteBufMut;

/// The second is asked about every slice: whether it has taken it, so that it is not copied. It sees where it would lie.
pub struct Sieve<'a, T>(pub &'a mut BytesMut, pub T);

// SAFETY: all of it is `BytesMut`'s, but that `put_slice` leaves out what is taken.
unsafe impl<T: FnMut(&mut BytesMut, &[u8]) -> bool> BufMut for Sieve<'_, T> {
    fn remaining_mut(&self) -> usize {
        self.0.remaining_mut()
    }

    unsafe fn advance_mut(&mut self, count: usize) {
        unsafe { self.0.advance_mut(count) }
    }

    fn chunk_mut(&mut self) -> &mut UninitSlice {
        self.0.chunk_mut()
    }

    fn put_slice(&mut self, source: &[u8]) {
        if !(self.1)(self.0, source) {
            self.0.put_slice(source);
        }
    }
}

impl<T: FnMut(&mut BytesMut, &[u8]) -> bool> ByteBufMut for Sieve<'_, T> {
    fn offset(&self) -> usize {
        self.0.offset()
    }

    fn seek(&mut self, offset: usize) {
        self.0.seek(offset);
    }

    fn range(&mut self, range: std::ops::Range<usize>) -> &mut [u8] {
        self.0.range(range)
    }
}
