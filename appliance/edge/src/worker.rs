//! One single-threaded runtime per core, all started before the first connection is served.
//!
//! A call never changes its thread, so nothing per frame crosses one. No thread is started later:
//! the sandbox can then forbid making any.
//!
//! A worker that has run out of work pauses briefly before it asks the kernel for more, so that the
//! frames of many calls share one wake-up (docs/decisions/0007-wake-ups-are-shared.md).

use std::io;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use ward_policy::audit::Event;
use ward_policy::limit;

use crate::clock::Clock;
use crate::drain::{Drainer, Phase};
use crate::log::Log;

/// A runtime without threads of its own; with `pause`, it collects events that long before it sleeps.
fn runtime(pause: Duration) -> io::Result<Runtime> {
    let mut builder = Builder::new_current_thread();
    builder.enable_all();
    if !pause.is_zero() {
        let clock = Clock::start();
        let woken_us = Arc::new(AtomicU64::new(0));
        let woken = Arc::clone(&woken_us);
        builder.on_thread_unpark(move || woken.store(micros(clock.now()), Ordering::Relaxed));
        builder.on_thread_park(move || {
            let busy_us = micros(clock.now()).saturating_sub(woken_us.load(Ordering::Relaxed));
            // A worker that was busy for long has shared its wake-up already, and more is waiting.
            if busy_us < micros(limit::WAKE_PAUSE_BUSY_MAX) {
                std::thread::park_timeout(pause);
            }
        });
    }
    builder.build()
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Runs `serve` once per listener, each on a thread of its own, until the process is told to stop.
///
/// `pause` is how long a worker collects events before it sleeps; zero is not at all.
///
/// # Errors
/// The operating system's, when a thread or runtime cannot be made.
pub fn run<S, F>(
    listeners: Vec<TcpListener>,
    pause: Duration,
    drainer: &Drainer,
    log: &Log,
    serve: S,
) -> io::Result<()>
where
    S: Fn(tokio::net::TcpListener) -> F + Clone + Send + 'static,
    F: Future<Output = ()>,
{
    let workers = u16::try_from(listeners.len()).unwrap_or(u16::MAX);
    let ready = Arc::new(Barrier::new(listeners.len().saturating_add(1)));
    let mut threads = Vec::with_capacity(listeners.len());
    for listener in listeners {
        listener.set_nonblocking(true)?;
        let (serve, ready) = (serve.clone(), Arc::clone(&ready));
        let runtime = runtime(pause)?;
        let thread = std::thread::Builder::new().name("worker".to_owned()).spawn(move || {
            ready.wait();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                serve(listener).await;
                Ok::<(), io::Error>(())
            })
        })?;
        threads.push(thread);
    }
    ready.wait();
    log.record(&Event::Started { workers });
    let outcome = runtime(Duration::ZERO)?.block_on(drainer.run(limit::DRAIN_DEADLINE, log));
    drainer.advance(Phase::Stopping);
    for thread in threads {
        // A worker that panicked has said so through the hook.
        if let Ok(ended) = thread.join() {
            ended?;
        }
    }
    outcome
}
