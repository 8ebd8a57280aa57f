//! What a connector has been asked and has not begun: a bounded queue that the call can take things back from.
//!
//! One end puts in and never waits; the other takes out. It knows nothing of what it holds.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The queue.
pub(super) struct Inbox<T> {
    state: Mutex<State<T>>,
    most: usize,
    /// Something was put in, or it was closed.
    fresh: Notify,
    /// It was closed.
    closed: Notify,
}

struct State<T> {
    queue: VecDeque<T>,
    is_closed: bool,
}

/// Why something was not put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// As many wait as may.
    Full,
    /// Nobody takes anything out any more.
    Closed,
}

impl<T> Inbox<T> {
    /// An empty one for at most `most`.
    pub(super) const fn new(most: usize) -> Self {
        let state = State { queue: VecDeque::new(), is_closed: false };
        Self {
            state: Mutex::new(state),
            most,
            fresh: Notify::const_new(),
            closed: Notify::const_new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts `item` at the end.
    pub(super) fn push(&self, item: T) -> Result<(), Refused> {
        let mut state = self.state();
        if state.is_closed {
            return Err(Refused::Closed);
        }
        if state.queue.len() >= self.most {
            return Err(Refused::Full);
        }
        state.queue.push_back(item);
        drop(state);
        self.fresh.notify_one();
        Ok(())
    }

    /// Changes what waits, which must not get longer than one more than its maximum; nothing when it is closed.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut VecDeque<T>) -> R) -> Option<R> {
        let mut state = self.state();
        if state.is_closed {
            return None;
        }
        let changed = change(&mut state.queue);
        drop(state);
        self.fresh.notify_one();
        Some(changed)
    }

    /// Looks at what waits; nothing when it is closed.
    pub(super) fn look<R>(&self, look: impl FnOnce(&VecDeque<T>) -> R) -> Option<R> {
        let state = self.state();
        (!state.is_closed).then(|| look(&state.queue))
    }

    /// Takes the first one that is wanted, when there is one; `None` when it is closed.
    pub(super) async fn next_where(&self, is_wanted: impl Fn(&T) -> bool) -> Option<T> {
        loop {
            {
                let mut state = self.state();
                if state.is_closed {
                    return None;
                }
                let place = state.queue.iter().position(&is_wanted);
                if let Some(item) = place.and_then(|place| state.queue.remove(place)) {
                    return Some(item);
                }
            }
            // One end takes, so a notice that comes between the look and this waits for it.
            self.fresh.notified().await;
        }
    }

    /// Takes the first one, when there is one; `None` when it is closed.
    pub(super) async fn next(&self) -> Option<T> {
        self.next_where(|_any| true).await
    }

    /// Forgets what waits, and takes nothing more.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        state.queue = VecDeque::new();
        drop(state);
        self.fresh.notify_one();
        self.closed.notify_waiters();
    }

    /// Waits until it is closed.
    pub(super) async fn closed(&self) {
        loop {
            let closing = self.closed.notified();
            if self.state().is_closed {
                return;
            }
            closing.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test(start_paused = true)]
    async fn what_waits_is_bounded_and_can_be_taken_in_any_order() {
        let inbox = Inbox::new(2);
        inbox.push(1).unwrap();
        inbox.push(2).unwrap();
        assert_eq!(inbox.push(3), Err(Refused::Full));
        assert_eq!(inbox.next_where(|item| *item == 2).await, Some(2));
        let waiting = inbox.next_where(|item| *item == 9);
        timeout(Duration::from_secs(9), waiting).await.unwrap_err();
        assert_eq!(inbox.next().await, Some(1));
        inbox.close();
        inbox.closed().await;
        assert_eq!((inbox.next().await, inbox.push(4)), (None, Err(Refused::Closed)));
        assert_eq!(inbox.change(|_queue| ()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_is_woken() {
        let inbox = std::sync::Arc::new(Inbox::new(2));
        let theirs = std::sync::Arc::clone(&inbox);
        let waiting = tokio::spawn(async move { (theirs.next().await, theirs.next().await) });
        tokio::task::yield_now().await;
        inbox.push(7).unwrap();
        tokio::task::yield_now().await;
        inbox.close();
        assert_eq!(
            timeout(Duration::from_secs(9), waiting).await.unwrap().unwrap(),
            (Some(7), None)
        );
    }
}
