//! Receive buffers of large frames: taken for one frame, given back when the last slice of it is gone.
//!
//! Without the pool every produced megabyte would map, fault in and unmap its pages.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// Bytes of the smallest class; classes double.
const SMALLEST: usize = 64 << 10;
const CLASSES: usize = 7;
/// Bytes that lie ready, over all classes. What is given back beyond it is freed.
const KEPT: usize = 24 << 20;

pub struct Pool {
    classes: [Mutex<Vec<Vec<u8>>>; CLASSES],
    kept: AtomicUsize,
}

pub static POOL: Pool = Pool { classes: [const { Mutex::new(Vec::new()) }; CLASSES], kept: AtomicUsize::new(0) };

impl Pool {
    /// An empty buffer with room for `len` bytes.
    pub fn take(&'static self, len: usize) -> Buffer {
        let Some(class) = (0..CLASSES).find(|&class| SMALLEST << class >= len) else {
            return Buffer { bytes: Vec::with_capacity(len), class: None };
        };
        let ready = self.classes[class].lock().expect("no one panics with a class in hand").pop();
        if ready.is_some() {
            self.kept.fetch_sub(SMALLEST << class, Ordering::Relaxed);
        }
        let bytes = ready.unwrap_or_else(|| Vec::with_capacity(SMALLEST << class));
        Buffer { bytes, class: Some(class) }
    }
}

/// A buffer of the pool. [`Buffer::freeze`] makes it `Bytes`, and the pool gets it back with the last of those.
pub struct Buffer {
    pub bytes: Vec<u8>,
    class: Option<usize>,
}

impl Buffer {
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some(class) = self.class else { return };
        let size = SMALLEST << class;
        if POOL.kept.fetch_add(size, Ordering::Relaxed) + size > KEPT {
            POOL.kept.fetch_sub(size, Ordering::Relaxed);
            return;
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        POOL.classes[class].lock().expect("no one panics with a class in hand").push(bytes);
    }
}
