//! One single-threaded runtime per core, all started before the first connection is served.
//!
//! A call never changes its thread, so nothing per frame crosses one. No thread is started later:
//! the sandbox can then forbid making any.
//!
//! A worker that has run out of work pauses briefly before it asks the kernel for more, so that the
//! frames of many calls share one wake-up (docs/decisions/0007-wake-ups-are-shared.md).

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::runtime::{Builder, Runtime};
use ward_policy::audit::Event;
use ward_policy::limit;
use ward_sys::process::leave;

use crate::clock::Clock;
use crate::drain::{Drainer, Phase, StopSignals, either};
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

/// Runs `serve` once per listener, each on a thread of its own, until the process is told to stop; then
/// ends the process.
///
/// Everything that takes a system call of its own is made first: threads, runtimes, signal handlers. Then
/// `seal` is called once, from here on nothing is made any more, and the workers begin to accept. `pause`
/// is how long a worker collects events before it sleeps; zero is not at all.
///
/// # Errors
/// The operating system's, when a thread or runtime cannot be made; whatever `seal` says.
pub fn run<S, F, E>(
    listeners: Vec<TcpListener>,
    pause: Duration,
    drainer: &Drainer,
    log: &Log,
    seal: impl FnOnce() -> Result<(), E>,
    serve: S,
) -> Result<Infallible, E>
where
    S: Fn(tokio::net::TcpListener) -> F + Clone + Send + 'static,
    F: Future<Output = ()>,
    E: From<io::Error>,
{
    let workers = u16::try_from(listeners.len()).unwrap_or(u16::MAX);
    let everyone = listeners.len().saturating_add(1);
    let gates = Arc::new(Gates {
        ready: Barrier::new(everyone),
        sealed: Barrier::new(everyone),
        done: Mutex::new(0),
        changed: Condvar::new(),
    });
    for listener in listeners {
        listener.set_nonblocking(true)?;
        prepare(&listener)?;
        let (serve, gates) = (serve.clone(), Arc::clone(&gates));
        let runtime = runtime(pause)?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let worker = std::thread::Builder::new().name("worker".to_owned());
        let thread = worker.spawn(move || {
            gates.ready.wait();
            gates.sealed.wait();
            // A panic that nobody contained has said so through the hook; the others are served on.
            let serving = AssertUnwindSafe(|| runtime.block_on(async { serve(listener).await }));
            std::panic::catch_unwind(serving).unwrap_or_default();
            gates.leave();
            // A thread that ends makes system calls that are not to be made any more.
            loop {
                std::thread::park();
            }
        })?;
        drop(thread);
    }
    let main = runtime(Duration::ZERO)?;
    let mut stop = main.block_on(async { StopSignals::watch() })?;
    gates.ready.wait();
    seal()?;
    log.record(&Event::Started { workers });
    gates.sealed.wait();
    // Metrics and the list of credentials need a timer and no thread: this one has nothing else to do until the end.
    let draining = drainer.run(&mut stop, limit::DRAIN_DEADLINE, log);
    main.block_on(either(either(draining, log.keep_metrics()), log.keep_credentials()));
    drainer.advance(Phase::Stopping);
    gates.wait_for(usize::from(workers));
    // The last word: everything that the workers have still counted is in it.
    log.record_metrics();
    leave(0)
}

/// Sets what every accepted connection inherits (tcp(7), socket(7)), so that none takes a system call for it.
fn prepare(listener: &TcpListener) -> io::Result<()> {
    // Delay costs a caller more than a packet costs the network.
    sockopt::set_tcp_nodelay(listener, true)?;
    // It bounds what the kernel holds for each.
    sockopt::set_socket_send_buffer_size(listener, limit::SOCKET_SEND_BUFFER_BYTES)?;
    Ok(())
}

/// Starts a thread beside the workers and returns once it runs.
///
/// A thread that is still being made when the process is sealed, or that ends after it, would make system
/// calls that are fatal then: so this waits, and the thread never ends.
///
/// # Errors
/// The operating system's, when the thread cannot be made.
pub fn start_beside(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let running = Arc::new(Barrier::new(2));
    let begun = Arc::clone(&running);
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        begun.wait();
        // A panic has said so through the hook.
        std::panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_default();
        loop {
            std::thread::park();
        }
    })?;
    drop(thread);
    running.wait();
    Ok(())
}

/// Where all threads meet.
struct Gates {
    /// Everything is made.
    ready: Barrier,
    /// Nothing can be made any more.
    sealed: Barrier,
    /// How many workers have ended.
    done: Mutex<usize>,
    /// Told when one does.
    changed: Condvar,
}

impl Gates {
    fn leave(&self) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        *done = done.saturating_add(1);
        self.changed.notify_all();
    }

    /// Waits until `workers` have ended; whatever one of them hangs in ends with the process.
    fn wait_for(&self, workers: usize) {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .changed
            .wait_timeout_while(done, limit::WORKERS_END_DEADLINE, |done| *done < workers);
        drop(waited);
    }
}
