//! The allocator: the system's, but for absurd sizes.
//!
//! A message says how many elements an array has before they come, and the decoder reserves room for that many. A lie
//! of four billion asks for a terabyte; the system's allocator would refuse and the process would abort. So what is
//! larger than [`HUGE`] is mapped without reservation: it costs address space until it is touched, and a lie never
//! touches it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;

use rustix::mm::{MapFlags, MremapFlags, ProtFlags, mmap_anonymous, mremap, munmap};

/// Bytes from which a request is mapped.
const HUGE: usize = 64 << 20;
/// What the kernel aligns mappings to, at least.
const PAGE: usize = 4096;

pub struct Allocator;

fn is_huge(size: usize, align: usize) -> bool {
    size >= HUGE && align <= PAGE
}

fn map(size: usize) -> *mut u8 {
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: a fresh anonymous mapping at an address that the kernel picks aliases nothing.
    unsafe { mmap_anonymous(ptr::null_mut(), size, ProtFlags::READ | ProtFlags::WRITE, flags) }
        .map_or(ptr::null_mut(), |pointer| pointer.cast())
}

// SAFETY: one size and alignment always take the same way, and both ways keep `GlobalAlloc`'s contract: mappings are
// page-aligned, zeroed, and as long as asked for.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_huge(layout.size(), layout.align()) { map(layout.size()) } else { unsafe { System.alloc(layout) } }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_huge(layout.size(), layout.align()) { map(layout.size()) } else { unsafe { System.alloc_zeroed(layout) } }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if is_huge(layout.size(), layout.align()) {
            // SAFETY: `map` gave this pointer for this size.
            let _ = unsafe { munmap(pointer.cast(), layout.size()) };
        } else {
            unsafe { System.dealloc(pointer, layout) }
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        match (is_huge(layout.size(), layout.align()), is_huge(size, layout.align())) {
            (false, false) => unsafe { System.realloc(pointer, layout, size) },
            // SAFETY: `map` gave this pointer for this size; the kernel may move it.
            (true, true) => unsafe { mremap(pointer.cast(), layout.size(), size, MremapFlags::MAYMOVE) }
                .map_or(ptr::null_mut(), |pointer| pointer.cast()),
            _ => unsafe {
                let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
                if !new.is_null() {
                    ptr::copy_nonoverlapping(pointer, new, layout.size().min(size));
                    self.dealloc(pointer, layout);
                }
                new
            },
        }
    }
}

#[cfg(test)]
mod tests {
    /// As the program has it.
    #[global_allocator]
    static ALLOCATOR: super::Allocator = super::Allocator;

    #[test]
    fn a_terabyte_that_nobody_touches_is_granted() {
        let mut lie: Vec<[u64; 32]> = Vec::with_capacity(u32::MAX as usize);
        lie.push([7; 32]);
        assert_eq!(lie[0][31], 7);
    }

    #[test]
    fn growing_across_the_border_keeps_the_contents() {
        let mut bytes: Vec<u8> = vec![1, 2, 3];
        bytes.reserve_exact(super::HUGE);
        bytes.reserve_exact(3 * super::HUGE);
        bytes.shrink_to_fit();
        assert_eq!(bytes, [1, 2, 3]);
    }
}
