//! Whole conversations through the real deployment, with stand-ins for the vendors: what is booked, what each vendor
//! is given, and what a caller hears when a vendor fails.
//!
//! Every voice is synthetic and everything said is invented. Nothing leaves this machine.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use ward::caller::packets::Packets;
use ward::caller::talker::Said;
use ward::console::Console;
use ward::conversation::{WISH, answers};
use ward::deployment::{Caller, Deployment, Desk, Setup};
use ward::local_vendors::Event;
use ward::log_lines::Line;
use ward_policy::limit::FRAME_MS;
use ward_policy::phrase::Phrase;
use ward_policy::service::Service;
use ward_tests::binaries::release;
use ward_tests::python::python;

mod booking;
mod capture;
mod faults;
mod phrases;
mod privacy;
mod report;

/// What the caller in every call says who they are, and nobody but the clinic may know.
const NAME: &str = "john smith";
/// Their date of birth, in their words.
const BORN: &str = "march the fifth nineteen eighty";

impl Conversation {
    /// Whether they heard the phrase: every byte of its recording in a row, or its words although a busy machine has
    /// put silence between them.
    fn has_heard(&self, phrase: Phrase) -> bool {
        self.recorded.contains(&phrase) || self.recognised.contains(&phrase)
    }

    /// In a line, for whoever runs the test.
    fn summary(&self) -> String {
        let names = |phrases: &BTreeSet<Phrase>| {
            phrases.iter().map(|phrase| phrase.name()).collect::<Vec<_>>().join(" ")
        };
        let (took, close) = (self.took.as_secs(), self.close_code.unwrap_or_default());
        format!("{took} s, {close}, [{}], [{}]", names(&self.recorded), names(&self.recognised))
    }

    /// Line by line, for whoever has to find out what went wrong.
    fn transcript(&self) -> String {
        let line =
            |one: &Said| format!("\n  {} {}", if one.is_caller { ">" } else { "<" }, one.text);
        self.said.iter().map(line).collect()
    }
}

/// Many calls at once take what cores there are, and go by the clock: one test of that kind at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The servers as they ship, and the stand-ins' packages, which are put there now if they are not.
fn servers() -> PathBuf {
    drop(python("vendors", "serve.py", "vendors-python", "websockets"));
    release("ward-media").parent().unwrap().to_owned()
}

fn setup() -> Setup {
    Setup { servers: Some(servers()), ..Setup::default() }
}

/// Settings of a stand-in.
fn more(settings: &Value) -> Map<String, Value> {
    settings.as_object().unwrap().clone()
}

/// One conversation, as its caller knows it.
struct Conversation {
    took: Duration,
    close_code: Option<u16>,
    /// They were told that their appointment is booked.
    is_booked: bool,
    /// The recorded phrases that were recognised in what was heard.
    recognised: BTreeSet<Phrase>,
    /// Those whose recording is in what was heard from its first byte to its last.
    recorded: BTreeSet<Phrase>,
    /// What was said and what they made of what they heard, in order. All of it is invented.
    said: Vec<Said>,
}

/// Holds `count` conversations at once, each with a caller who stays for `patience`.
fn converse(deployment: &Deployment, count: usize, patience: Duration) -> Vec<Conversation> {
    let desk = deployment.desk();
    std::thread::scope(|scope| {
        let ears = (0..count).map(|_| deployment.ear());
        let calls: Vec<_> =
            ears.map(|ear| scope.spawn(move || one_call(&desk, ear, patience))).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    })
}

/// One conversation, with a caller whose ear and voice are `ear`.
fn one_call(desk: &Desk<'_>, ear: (Command, PathBuf), patience: Duration) -> Conversation {
    let caller = Caller {
        wish: WISH,
        answers: answers(WISH),
        hang_up_after: patience,
        packets: Packets::to(None).unwrap(),
    };
    let (python, program) = &ear;
    let mut again = Command::new(python.get_program());
    again.args(python.get_args()).arg(program);
    again.envs(python.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let outcome = desk.call(ear, caller, &mut |_at, _what| {}).unwrap().outcome;
    let mut said = outcome.said.clone();
    // The last words may follow others without a pause, and are heard once more alone.
    said.push(phrases::last_words(again, &outcome.recording));
    Conversation {
        // A frame leaves every 20 ms by an absolute clock.
        took: Duration::from_millis(outcome.frames_sent * FRAME_MS),
        close_code: outcome.close_code,
        is_booked: said.iter().any(|one| !one.is_caller && one.text.contains("is booked")),
        recognised: phrases::recognised(&said),
        recorded: phrases::recorded(&outcome.recording),
        said,
    }
}

/// Waits until the log has the ends of so many calls.
fn await_ends(deployment: &Deployment, lines: &mut Vec<Line>, count: usize) {
    let begun = Instant::now();
    while lines.iter().filter(|line| line.is_event("call_ended")).count() < count {
        assert!(begun.elapsed() < Duration::from_secs(10), "a call has no end in the log");
        lines.extend(deployment.next_line(Duration::from_secs(1)));
    }
}

/// Has this go wrong from now on, and waits until it is so.
fn set_fault(deployment: &mut Deployment, part: Service, fault: Option<&Value>) -> Vec<Event> {
    deployment.set_fault(part, fault).unwrap();
    let (begun, mut events) = (Instant::now(), Vec::new());
    while !events.contains(&Event::FaultSet) {
        assert!(begun.elapsed() < Duration::from_secs(10), "the stand-ins do not change");
        events.extend(deployment.events(Duration::from_millis(100)));
    }
    events
}

fn start(setup: Setup) -> Deployment {
    Deployment::start(setup, &Console::new(true)).unwrap()
}

/// No fault, or `fault` each time.
fn always(fault: &Value) -> Value {
    let mut fault = fault.clone();
    fault["times"] = json!(0);
    fault
}
