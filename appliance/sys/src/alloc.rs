//! A global allocator that wipes every block before it is freed.
//!
//! Wiping by hand leaves residue: moved vectors, library buffers, formatted strings. This allocator
//! catches them all, on every thread, at the cost of one `memset` per free. It never grows a block in
//! place, because a block that moves must not leave its old bytes behind. It does not reach the stack,
//! which `stack` wipes, or copies in registers.

use std::alloc::{GlobalAlloc, Layout, System};

use crate::cell::LayerError;

/// The system's allocator, with every block set to zero before it is given back.
#[derive(Debug, Clone, Copy)]
pub struct ZeroOnFree;

// SAFETY: every call is passed to `System`, whose contract is the one `GlobalAlloc` asks for; wiping
// touches only the block that the caller gives up. `realloc` is the trait's default: allocate, copy,
// and `dealloc` the old block, which wipes it.
unsafe impl GlobalAlloc for ZeroOnFree {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds `GlobalAlloc::alloc`'s contract, which is `System`'s.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller gives up `layout.size()` writable bytes at `block`.
        unsafe { wipe(block, layout.size()) };
        // SAFETY: `block` came from `System` with this layout, as the caller promises.
        unsafe { System.dealloc(block, layout) };
    }
}

/// Sets `length` bytes at `block` to zero, in a way that the optimiser may not leave out.
///
/// # Safety
/// `block` must be valid for writes of `length` bytes.
pub(crate) unsafe fn wipe(block: *mut u8, length: usize) {
    // SAFETY: the caller vouches for `length` writable bytes.
    unsafe { std::ptr::write_bytes(block, 0, length) };
    // The compiler knows that `free` ends a block's life and would drop the stores above as dead.
    // SAFETY: the assembly is empty; naming the pointer makes the stores observable.
    unsafe { std::arch::asm!("/* {0} */", in(reg) block, options(nostack, preserves_flags)) };
}

/// Tells the C library to keep memory that it has once got.
///
/// glibc would ask a file in `/proc` whether it may give a part of a heap back, and a sealed process that
/// opens a file is ended. What is kept has been wiped. musl asks nobody.
#[cfg(target_env = "gnu")]
pub(crate) fn keep_memory() -> Result<(), LayerError> {
    // SAFETY: mallopt(3) takes two numbers and changes how the allocator goes on.
    let outcome = unsafe { libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX) };
    if outcome == 1 { Ok(()) } else { Err(LayerError::Unsupported) }
}

/// See the version for glibc.
#[cfg(not(target_env = "gnu"))]
pub(crate) const fn keep_memory() -> Result<(), LayerError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wiped_block_is_zero_to_its_last_byte() {
        for length in [1_usize, 2, 7, 64, 4_097] {
            let mut block = vec![0xA5_u8; length];
            // SAFETY: `block` is a live vector of `length` bytes.
            unsafe { wipe(block.as_mut_ptr(), length) };
            assert!(block.iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn blocks_hold_what_is_written_until_they_are_freed() {
        let layout = Layout::from_size_align(100, 8).unwrap();
        // SAFETY: the layout has a size.
        let block = unsafe { ZeroOnFree.alloc(layout) };
        assert!(!block.is_null());
        // SAFETY: the block was just allocated with 100 bytes.
        unsafe { block.write_bytes(0x5A, 100) };
        // SAFETY: the block has this layout; the new size is not zero.
        let grown = unsafe { ZeroOnFree.realloc(block, layout, 200) };
        // SAFETY: `realloc` copied the first 100 bytes.
        let kept = unsafe { std::slice::from_raw_parts(grown, 100) };
        assert!(kept.iter().all(|byte| *byte == 0x5A));
        let layout = Layout::from_size_align(200, 8).unwrap();
        // SAFETY: `grown` has this layout and is not used again.
        unsafe { ZeroOnFree.dealloc(grown, layout) };
    }
}
