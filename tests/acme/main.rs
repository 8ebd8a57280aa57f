//! Certificates from an authority: Debian's Pebble, with a proxy before it that can answer in its place.
//!
//! Whole servers as they ship, whose keys nobody but `sign` has. Time is real, so certificates live for seconds here.

mod failures;
mod issuance;
mod kept;
mod renewal;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use ward::acme::Acme;
use ward_policy::audit::Role;
use ward_tests::authority::{Authority, Habits, NAME};
use ward_tests::servers::{Running, listen_once};
use ward_tests::wire::Wire;

/// Tests that start authorities and count seconds do not run beside each other.
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Habits of an authority whose certificates outlive the test.
fn habits(listeners: &[TcpListener]) -> Habits {
    let tls_port = listeners[0].local_addr().unwrap().port();
    Habits { life_s: 86_400, bad_nonces: 0, believed: 0, tls_port }
}

fn nowhere() -> Acme {
    Acme { names: vec![NAME.to_owned()], place: None }
}

/// A media server, and the authority that it asks.
fn started(change: impl FnOnce(&mut Habits)) -> (Running, Authority) {
    started_with(change, |_authority| {})
}

/// The same, with an authority that is told something before anybody asks it.
fn started_with(
    change: impl FnOnce(&mut Habits),
    tell: impl FnOnce(&Authority),
) -> (Running, Authority) {
    let listeners = listen_once();
    let mut habits = habits(&listeners);
    change(&mut habits);
    let authority = Authority::start(habits);
    tell(&authority);
    let server = Running::certified(Role::Media, listeners, authority.vendors(""), nowhere());
    (server, authority)
}

/// Whether a handshake for the name ends well, with whoever trusts the authority.
fn is_trusted(server: &Running, authority: &Authority) -> bool {
    !Wire::open_as(server.port, NAME, authority.trusting()).shown().is_empty()
}

/// Sends a process a signal.
fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

/// Ends a process at once.
fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

/// Waits until a condition holds, and how long that took.
fn until(patience: Duration, what: &str, server: &Running, is_so: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < patience, "{what}:\n{}", server.logs.text());
        std::thread::sleep(Duration::from_millis(50));
    }
    begun.elapsed()
}
