//! Several prepared calls of one deployment with stand-ins for the vendors, at the same time: for measuring.
//!
//! Their callers say their lines and understand nothing. What is said stays in what is given back.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::call;
use crate::caller::packets::Packets;
use crate::caller::stream::{Outcome, Script};
use crate::console::{Console, Failure};
use crate::conversation::ledger;
use crate::deployment::{Deployment, Desk, Setup};
use crate::local_vendors::Event;
use ward_policy::service::Service;

/// Between the beginnings of two calls, so that their turns do not fall together.
const APART: Duration = Duration::from_millis(1_300);
/// The last call's own account comes this long after it at the latest.
const ACCOUNTS_WITHIN: Duration = Duration::from_secs(5);

/// What is rehearsed.
#[derive(Debug, Default)]
pub struct Settings {
    /// Where the servers' own executables are; without it, this executable plays every role.
    pub servers: Option<PathBuf>,
    /// More settings of the media server, line by line.
    pub media: String,
    /// More settings of a stand-in: latencies, recognisers that are ready.
    pub more: Vec<(Service, Map<String, Value>)>,
    /// What each caller does.
    pub scripts: Vec<Script>,
}

/// What came of it.
#[derive(Debug)]
pub struct Rehearsed {
    /// Each call as its caller knows it, in the order of the scripts.
    pub calls: Vec<Outcome>,
    /// The media server's account of each turn that was answered, in the order of the answers.
    pub turns: Vec<Value>,
    /// Its account of each call, in the order of their ends.
    pub ended: Vec<Value>,
    /// Everything that the stand-ins told.
    pub events: Vec<Event>,
}

/// Holds the calls.
///
/// # Errors
/// [`Failure`] when something cannot be installed or started, or a call breaks.
pub fn hold(settings: Settings, console: &Console) -> Result<Rehearsed, Failure> {
    let Settings { servers, media, more, scripts } = settings;
    let setup = Setup { servers, media, more, ..Setup::default() };
    let mut deployment = Deployment::start(setup, console)?;
    let count = scripts.len();
    let desk = deployment.desk();
    let calls = call::block_on(async {
        let calls = scripts.into_iter().zip(0_u32..);
        let calls = calls.map(|(script, number)| one(desk, script, APART.saturating_mul(number)));
        futures_util::future::join_all(calls).await
    });
    let mut log: Vec<Value> = Vec::new();
    while log.iter().filter(|line| line["event"] == "call_ended").count() < count {
        let Some(line) = deployment.next_line(ACCOUNTS_WITHIN) else { break };
        log.push(serde_json::from_str(&line.said()).unwrap_or_default());
    }
    deployment.stop();
    let turns = named(&log, "turn_answered").into_iter().map(ledger).collect();
    let ended = named(&log, "call_ended");
    let calls = calls?.into_iter().collect::<Result<_, _>>()?;
    Ok(Rehearsed { calls, turns, ended, events: deployment.events(Duration::ZERO) })
}

/// The lines of one event.
fn named(log: &[Value], event: &str) -> Vec<Value> {
    log.iter().filter(|line| line["event"] == event).cloned().collect()
}

/// One call, begun after `wait`.
async fn one(desk: Desk<'_>, script: Script, wait: Duration) -> Result<Outcome, Failure> {
    tokio::time::sleep(wait).await;
    let mut timeline = |_at: Duration, _what: &str| ();
    let report = desk.place(script, Packets::default(), &mut timeline).await;
    report.map(|report| report.outcome)
}
