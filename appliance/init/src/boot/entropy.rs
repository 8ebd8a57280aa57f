//! Waits until the kernel's random numbers can be relied on. Keys are made of them minutes later, and never again.

use ring::rand::SecureRandom as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ward_policy::limit;

use super::fault::Fault;
use super::{Boot, Done};
use crate::code;
use crate::console::now;

/// The phase.
pub(super) fn run(boot: &mut Boot) -> Done {
    let began = now();
    // `/dev/random` can be read from when the generator is seeded (random(4)); nothing is read of it.
    let device = std::fs::File::open("/dev/random");
    let device = device.map_err(|error| Fault::system("/dev/random", &error))?;
    let at_once = Timespec::default();
    let is_seeded = || {
        let mut one = [PollFd::new(&device, PollFlags::IN)];
        poll(&mut one, Some(&at_once)).is_ok_and(|ready| ready == 1)
    };
    let until = began.saturating_add(limit::ENTROPY_DEADLINE);
    while !is_seeded() && now() < until {
        // The button and the watchdog do not wait for it.
        boot.pause(until)?;
    }
    if !is_seeded() || ring::rand::SystemRandom::new().fill(&mut [0; 16]).is_err() {
        let waited = now().saturating_sub(began).as_secs();
        return Err(Fault::new(code::UNSEEDED).with("seconds", waited));
    }
    let waited = now().saturating_sub(began).as_millis();
    boot.say(code::SEEDED, &[("waited_ms", &waited)]);
    Ok(())
}
