//! Work in frames of its own, which are overwritten when it has ended.
//!
//! What a call has said passes through the stack of its worker: copies, moved values, spilled registers. The
//! allocator does not see those. Nothing is wiped while the work goes on, so a frame of audio costs no more.

use std::hint::black_box;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};

use ward_sys::stack::wipe_dead;

/// Runs a task; however it ends, by itself, by a panic or by being dropped, its stack is overwritten after it.
///
/// The task is put on the heap first: a future that holds another one has room for it twice, before and after its
/// first poll, and a call's is most of what an idle call takes.
pub fn wiped(task: impl Future<Output = ()>) -> impl Future<Output = ()> {
    let task = Box::pin(task);
    async move {
        // Dropped last.
        let _wipe = WipeAtEnd;
        let mut task = task;
        std::future::poll_fn(|context| poll_apart(task.as_mut(), context)).await;
    }
}

/// The same for work that does not wait.
pub fn wiped_now<T>(work: impl FnOnce() -> T) -> T {
    let _wipe = WipeAtEnd;
    call_apart(work)
}

struct WipeAtEnd;

impl Drop for WipeAtEnd {
    fn drop(&mut self) {
        wipe_dead();
    }
}

// Inlined, the work's locals would lie in the caller's frame, which is not dead yet when it is wiped. And right below
// that frame lie those of the wiping itself, which it does not reach: nothing of the work may lie there either.

/// What the frames of the wiping take, at most, in bytes: a few return addresses and saved registers.
const WIPING_BYTES: usize = 256;

#[inline(never)]
fn poll_apart<F: Future>(task: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
    call_apart(move || task.poll(context))
}

#[inline(never)]
fn call_apart<T>(work: impl FnOnce() -> T) -> T {
    let apart = MaybeUninit::<[u8; WIPING_BYTES]>::uninit();
    black_box(&apart);
    let done = call(work);
    // Still there: the work's frames lie below it.
    black_box(&apart);
    done
}

#[inline(never)]
fn call<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::fs::File;
    use std::os::unix::fs::FileExt as _;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::task::Waker;

    const PATTERN: [u8; 16] = *b"said by a caller";
    /// So many frames of a kibibyte: deeper than what a panic, which prints its trace here, lays over them.
    const DEPTH: usize = 60;

    /// A frame full of the pattern, with the lowest address of any in `lowest`.
    #[inline(never)]
    fn leave(lowest: &Cell<usize>, depth: usize) {
        let frame = [PATTERN; 64];
        lowest.set(lowest.get().min(black_box(&frame).as_ptr().addr()));
        if depth > 0 {
            leave(lowest, depth.saturating_sub(1));
        }
        black_box(&frame);
    }

    /// How often the pattern lies below `top`, as another process would see it.
    #[inline(never)]
    fn count(lowest: &Cell<usize>, top: usize) -> usize {
        let mut bytes = vec![0; top - lowest.get()];
        let memory = File::open("/proc/self/mem").unwrap();
        memory.read_exact_at(&mut bytes, u64::try_from(lowest.get()).unwrap()).unwrap();
        bytes.windows(16).filter(|window| **window == PATTERN).count()
    }

    #[derive(Debug, Clone, Copy)]
    enum End {
        Itself,
        Panic,
        Drop,
    }

    async fn task(lowest: &Cell<usize>, end: End) {
        leave(lowest, DEPTH);
        match end {
            End::Itself => {}
            End::Panic => panic!("for the test"),
            End::Drop => std::future::pending().await,
        }
    }

    /// Polls `work` once and drops it; how much of the pattern is left below this frame.
    #[inline(never)]
    fn left_by(lowest: &Cell<usize>, work: impl Future<Output = ()>) -> usize {
        let here = Cell::new(0_u8);
        let top = black_box(&here).as_ptr().addr();
        // On the heap, as a runtime has it.
        let mut work = Box::pin(work);
        let poll = || work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        drop(catch_unwind(AssertUnwindSafe(poll)));
        drop(work);
        count(lowest, top)
    }

    #[test]
    fn however_a_task_ends_its_stack_is_overwritten() {
        for end in [End::Itself, End::Panic, End::Drop] {
            let lowest = Cell::new(usize::MAX);
            // The control first: a panic's own frames lie over part of what was left.
            let left = left_by(&lowest, task(&lowest, end));
            assert!(left > 64, "{end:?}: {left}");
            let left = left_by(&lowest, wiped(task(&lowest, end)));
            assert_eq!(left, 0, "{end:?}");
        }
        let lowest = Cell::new(usize::MAX);
        assert!(left_by(&lowest, async { leave(&lowest, DEPTH) }) > 64);
        assert_eq!(left_by(&lowest, async { wiped_now(|| leave(&lowest, DEPTH)) }), 0);
    }
}
