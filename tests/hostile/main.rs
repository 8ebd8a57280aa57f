//! A server that has been taken over: enters the same cell by the same path, then tries what it can.
//!
//! Started by the supervisor as the media server, it asks the broker for what it should not get (`taken.rs`).
//! Otherwise it is started like a server with three arguments in front: what to try (`calls`, `rules` or `reach`), in
//! which cell (`bare`: none; `open`: all layers but the filter; `sealed`: as a server serves), and as which
//! role. Each attempt is made by a child of its own, because most of them are fatal. One line a result goes
//! where the log would go.

mod attempt;
mod reach;
mod taken;

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::process::ExitCode;

use ward_edge::cell;
use ward_edge::clock::Clock;
use ward_edge::handed::Handed;
use ward_edge::log::Log;
use ward_policy::audit::Role;

use crate::attempt::{Attempts, Tried};

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("ward-hostile: {what}");
            ExitCode::from(2)
        }
    }
}

fn run(mut arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let [what, layers, role] = std::array::from_fn(|_| arguments.next().unwrap_or_default());
    if what.contains('=') {
        return taken::serve([what, layers, role].into_iter().chain(arguments));
    }
    let role = Role::from_name(&role).ok_or("no such role")?;
    let mut handed = Handed::adopt(arguments).map_err(|error| error.to_string())?;
    let sink: OwnedFd = handed.log.take().ok_or("no log")?;
    let target = handed.target.ok_or("no target")?;
    let log = sink.try_clone().map_err(|error| error.to_string())?;
    handed.numbers.push(log.as_raw_fd());
    let log = Log::new(role, Clock::start(), log);
    // `open+PORT`: a cell that may connect to that port, as the broker's may to the registry's.
    let (layers, port) = layers.split_once('+').unwrap_or((&layers, ""));
    let ports: Vec<u16> = port.parse().into_iter().collect();
    let entered = match layers {
        "bare" => None,
        "open" | "sealed" => {
            let entered = cell::enter(role, target, &handed, &ports, &log);
            Some(entered.map_err(|error| format!("{error:?}"))?)
        }
        other => return Err(format!("no cell called {other}")),
    };
    let attempts = Attempts::new(entered.filter(|_| layers == "sealed"));
    let report = |tried: Tried| tried.write_to(sink.as_raw_fd());
    match what.as_str() {
        "calls" => attempts.every_number(role, report),
        "rules" => attempts.every_rule(role, report),
        "reach" => reach::everything(&attempts, report),
        other => return Err(format!("nothing called {other}")),
    }
    Ok(())
}
