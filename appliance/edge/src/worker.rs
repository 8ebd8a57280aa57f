//! One single-threaded runtime per core, all started before the first connection is served.
//!
//! A call never changes its thread, so nothing per frame crosses one. No thread is started later:
//! the sandbox can then forbid making any.

use std::io;
use std::net::TcpListener;
use std::sync::{Arc, Barrier};

use tokio::runtime::{Builder, Runtime};
use ward_policy::audit::Event;
use ward_policy::limit;

use crate::drain::{Drainer, Phase};
use crate::log::Log;

/// A runtime without threads of its own.
fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Runs `serve` once per listener, each on a thread of its own, until the process is told to stop.
///
/// # Errors
/// The operating system's, when a thread or runtime cannot be made.
pub fn run<S, F>(
    listeners: Vec<TcpListener>,
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
        let thread = std::thread::Builder::new()
            .name("worker".to_owned())
            .spawn(move || {
                let runtime = runtime();
                ready.wait();
                let runtime = runtime?;
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
    let outcome = runtime()?.block_on(drainer.run(limit::DRAIN_DEADLINE, log));
    drainer.advance(Phase::Stopping);
    for thread in threads {
        // A worker that panicked has said so through the hook.
        if let Ok(ended) = thread.join() {
            ended?;
        }
    }
    outcome
}
