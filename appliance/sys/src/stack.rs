//! Overwrites dead stack: what finished functions have left below the caller's frame.
//!
//! Locals, copies of moved values and spilled registers stay there until another call happens to cover
//! them. It touches nothing that is still in use, and does not reach the frames above the caller, registers,
//! or the stack of another thread.

use std::mem::MaybeUninit;

use ward_policy::limit;

use crate::alloc::wipe;

/// Sets [`limit::DEAD_STACK_BYTES`] below the caller's frame to zero.
///
/// The caller must be a thread with that much stack left; a worker's is far larger.
#[inline(never)]
pub fn wipe_dead() {
    let mut dead = MaybeUninit::<[u8; limit::DEAD_STACK_BYTES]>::uninit();
    // SAFETY: `dead` is this frame's own, and as long as its type.
    unsafe { wipe(dead.as_mut_ptr().cast(), limit::DEAD_STACK_BYTES) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::hint::black_box;
    use std::os::unix::fs::FileExt as _;

    const PATTERN: [u8; 16] = *b"left on a stack ";

    /// Leaves frames full of the pattern; the lowest address among them.
    #[inline(never)]
    fn leave(depth: usize) -> usize {
        let frame = [PATTERN; 64];
        let here = black_box(&frame).as_ptr().addr();
        let lowest = if depth == 0 { here } else { leave(depth - 1).min(here) };
        black_box(&frame);
        lowest
    }

    /// How often the pattern lies between `from` and `to`, read as another process would.
    #[inline(never)]
    fn count(from: usize, to: usize) -> usize {
        let mut bytes = vec![0; to - from];
        let memory = File::open("/proc/self/mem").unwrap();
        memory.read_exact_at(&mut bytes, u64::try_from(from).unwrap()).unwrap();
        bytes.chunks_exact(16).filter(|chunk| **chunk == PATTERN).count()
    }

    #[test]
    fn what_a_finished_function_left_is_overwritten() {
        let here = 0_u8;
        let top = black_box(&raw const here).addr();
        let lowest = leave(30);
        assert!(top - lowest > 30 * 1_024 && top - lowest < limit::DEAD_STACK_BYTES);
        // The control: without wiping, most of it is there, whatever reading it has covered.
        assert!(count(lowest, top) > 20 * 64, "{}", count(lowest, top));
        wipe_dead();
        // Only what lies in this very frame, above the dead, may stay; this frame holds none.
        assert_eq!(count(lowest, top & !15), 0);
    }
}
