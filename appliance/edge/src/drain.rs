//! The end of a process: nothing new, live calls finish, then a deadline.
//!
//! Closing a media stream hangs up on a patient, so stopping waits for calls to end by themselves. A
//! second signal, or the deadline, ends them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use ward_policy::audit::Event;
use ward_policy::limit;

use crate::log::Log;

/// How far the process is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Everything is served.
    Serving,
    /// New calls are refused with 503; live ones go on.
    Draining,
    /// Live calls are closed with 1001.
    Stopping,
}

/// A handle on the phase and on the number of live calls.
#[derive(Debug, Clone)]
pub struct Drain {
    phase: watch::Receiver<Phase>,
    live: Arc<AtomicU64>,
}

/// The other end, which moves the phase.
#[derive(Debug)]
pub struct Drainer {
    phase: watch::Sender<Phase>,
    live: Arc<AtomicU64>,
}

/// Makes both ends.
#[must_use]
pub fn channel() -> (Drainer, Drain) {
    let (sender, receiver) = watch::channel(Phase::Serving);
    let live = Arc::new(AtomicU64::new(0));
    (Drainer { phase: sender, live: Arc::clone(&live) }, Drain { phase: receiver, live })
}

/// Counts one live call until it is dropped.
#[derive(Debug)]
pub struct Live(Arc<AtomicU64>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drain {
    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Waits until the phase is at least `phase`.
    pub async fn reached(&mut self, phase: Phase) {
        // An error means that the drainer is gone, which ends the process as well.
        self.phase.wait_for(|now| *now >= phase).await.map(|_phase| ()).unwrap_or_default();
    }

    /// Waits until no call is live, at most `patience`.
    pub async fn idle(&self, patience: Duration) {
        idle(&self.live, patience).await;
    }

    /// Counts a call as live.
    #[must_use]
    pub fn live(&self) -> Live {
        self.live.fetch_add(1, Ordering::Relaxed);
        Live(Arc::clone(&self.live))
    }
}

impl Drainer {
    /// Moves to `phase`.
    pub fn advance(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// Waits for a stop signal, drains for at most `deadline`, and returns when all may end.
    pub async fn run(&self, stop: &mut StopSignals, deadline: Duration, log: &Log) {
        stop.next().await;
        log.record(&Event::Draining { calls: self.live.load(Ordering::Relaxed) });
        self.advance(Phase::Draining);
        either(stop.next(), idle(&self.live, deadline)).await;
        self.advance(Phase::Stopping);
        idle(&self.live, limit::LAST_WORDS).await;
        log.record(&Event::Stopped);
    }
}

/// SIGTERM and SIGINT, watched from before the process is sealed.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Watches both; needs a runtime around it.
    ///
    /// # Errors
    /// The operating system's, when signals cannot be watched.
    pub fn watch() -> std::io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        either(self.terminate.recv(), self.interrupt.recv()).await;
    }
}

/// Waits until no call is live, at most `patience`: both endings of the wait mean the same.
async fn idle(live: &AtomicU64, patience: Duration) {
    let waiting = async {
        while live.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(limit::IDLE_POLL).await;
        }
    };
    tokio::time::timeout(patience, waiting).await.unwrap_or_default();
}

/// Waits for whichever comes first.
pub(crate) async fn either<A, B>(one: impl Future<Output = A>, two: impl Future<Output = B>) {
    let (mut one, mut two) = (std::pin::pin!(one), std::pin::pin!(two));
    std::future::poll_fn(|context| {
        if one.as_mut().poll(context).is_ready() || two.as_mut().poll(context).is_ready() {
            return std::task::Poll::Ready(());
        }
        std::task::Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn phases_are_seen_by_everyone_and_calls_are_counted() {
        let (drainer, drain) = channel();
        let mut waiting = drain.clone();
        assert_eq!(drain.phase(), Phase::Serving);
        let live = drain.live();
        assert_eq!(drainer.live.load(Ordering::Relaxed), 1);
        drainer.advance(Phase::Stopping);
        waiting.reached(Phase::Draining).await;
        assert_eq!(drain.phase(), Phase::Stopping);
        drop(live);
        drain.idle(Duration::from_secs(1)).await;
    }
}
