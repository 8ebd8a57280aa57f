//! Work in frames of its own, which are overwritten when it has ended.
//!
//! What a call has said passes through the stack of its worker: copies, moved values, spilled registers. The
//! allocator does not see those. Nothing is wiped while the work goes on, so a frame of audio costs no more.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use ward_sys::stack::wipe_dead;

/// Runs a task; however it ends, by itself, by a panic or by being dropped, its stack is overwritten after it.
pub async fn wiped(task: impl Future<Output = ()>) {
    // Dropped last.
    let _wipe = WipeAtEnd;
    let mut task = pin!(task);
    std::future::poll_fn(|context| poll_apart(task.as_mut(), context)).await;
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

// Inlined, the work's locals would lie in the caller's frame, which is not dead yet when it is wiped.

#[inline(never)]
fn poll_apart<F: Future>(task: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
    task.poll(context)
}

#[inline(never)]
fn call_apart<T>(work: impl FnOnce() -> T) -> T {
    work()
}
