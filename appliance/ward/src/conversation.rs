//! `ward demo --vendors local`: a whole conversation with stand-ins for the vendors, real speech both ways.
//!
//! A caller asks for an appointment, answers what they are asked, and hangs up when it is booked. What is said goes to
//! the operator's terminal and nowhere else; the figures hold no word of it.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Map, Value, json};
use ward_policy::cell::Target;

use crate::call::{self, Report};
use crate::caller::packets::Packets;
use crate::caller::talker::{Answer, Answers};
use crate::console::{Console, Failure};
use crate::deployment::{Caller, Deployment, Setup};
use crate::local_vendors::Event;
use ward_policy::service::Service;

/// What the caller wants, unless told otherwise.
pub const WISH: &str = "I would like to book an appointment please";
/// What the caller hears, by words of it, and what they say then; the first that fits counts.
const ANSWERS: [(&str, &str); 7] = [
    ("which day", "on tuesday"),
    ("at what time", "at ten"),
    ("your name", "my name is john smith"),
    ("date of birth", "march the fifth nineteen eighty"),
    ("is that right", "yes that is right"),
    ("would you like to book one", "no thank you"),
    // They heard nothing, or made nothing of it.
    ("still there", "can you say that again please"),
];
/// What they only listen to.
const LAST_WORDS: [&str; 2] = ["booked", "goodbye"];
/// What they say to being asked what they want, after the greeting.
const WISH_AGAIN: &str = "may i help you";
/// What they say the same to once more.
const AGAIN: &str = "say it again";
/// A booking takes six turns of six seconds or so.
const HANG_UP_AFTER: Duration = Duration::from_secs(90);
/// From the end of the stream to the line about it.
const END_DEADLINE: Duration = Duration::from_secs(5);

/// How a conversation is to be held.
#[derive(Debug, Default)]
pub struct Settings {
    /// The kind of machine; by default what this looks like.
    pub target: Option<Target>,
    /// What the caller says first.
    pub wish: Option<String>,
    /// More settings of the media server, line by line.
    pub media: String,
    /// More settings of a stand-in: latencies, faults.
    pub more: Vec<(Service, Map<String, Value>)>,
    /// Every message of the stream.
    pub packets: Packets,
    /// How long the caller stays.
    pub hang_up_after: Option<Duration>,
}

/// What came of it.
#[derive(Debug)]
pub struct Held {
    /// The call as its caller knows it.
    pub report: Report,
    /// The media server's own account of its end.
    pub ended: Value,
    /// Its account of each turn.
    pub turns: Vec<Value>,
    /// Everything that the stand-ins told.
    pub events: Vec<Event>,
    /// Every line of the log.
    pub log: Vec<String>,
}

impl Held {
    /// The booking, if there is one: day and time.
    #[must_use]
    pub fn booking(&self) -> Option<(String, String)> {
        self.events.iter().find_map(|event| match event {
            Event::Booking { day, time, .. } => Some((day.clone(), time.clone())),
            _ => None,
        })
    }

    /// Figures without a word of what was said.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut object = self.report.to_json(None);
        let said = &self.report.outcome.said;
        let lines = |is_caller: bool| said.iter().filter(|one| one.is_caller == is_caller).count();
        object["lines_of_the_caller"] = json!(lines(true));
        object["lines_of_the_clinic"] = json!(lines(false));
        object["is_booked"] = json!(self.booking().is_some());
        object["turns"] = json!(self.turns);
        let answered = self.report.outcome.answered_after.iter().map(|one| call::millis(*one));
        object["answered_after_ms"] = json!(answered.collect::<Vec<_>>());
        object["server_reason"] = self.ended["reason"].clone();
        object["server_counts"] = self.ended["counts"].clone();
        object
    }
}

/// Holds one conversation; what is said and done goes to the console as it happens.
///
/// # Errors
/// [`Failure`] when something cannot be installed or started, or the call breaks.
pub fn hold(settings: Settings, console: &Console) -> Result<Held, Failure> {
    let Settings { target, wish, media, more, packets, hang_up_after } = settings;
    let setup = Setup { target, media, more, ..Setup::default() };
    let mut deployment = Deployment::start(setup, console)?;
    let mut log = Vec::new();
    let mut timeline = |at: Duration, what: &str| {
        console.progress(&format!("{:8.3} s  {what}", at.as_secs_f64()));
        for line in deployment.lines() {
            let line = line.said();
            console.progress(&format!("            log  {line}"));
            log.push(line);
        }
    };
    let wish = wish.as_deref().unwrap_or(WISH);
    let caller = Caller {
        wish,
        answers: answers(wish),
        hang_up_after: hang_up_after.unwrap_or(HANG_UP_AFTER),
        packets,
    };
    let placed = deployment.desk().call(deployment.ear(), caller, &mut timeline);
    let ended = call_ended(&deployment, &mut log);
    deployment.stop();
    log.extend(deployment.lines().map(|line| line.said()));
    let report = placed?;
    let events = deployment.events(Duration::ZERO);
    let turns = log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let turns = turns.filter(|line| line["event"] == "turn_answered").map(ledger).collect();
    Ok(Held { report, ended: ended?, turns, events, log })
}

/// What a caller who wants `wish` says to what they hear, unless told otherwise.
#[must_use]
pub fn answers(wish: &str) -> Answers {
    let say = |word: &str, text: &str| (word.to_owned(), Answer::Say(text.to_owned()));
    let listen = LAST_WORDS.map(|word| (word.to_owned(), Answer::Listen));
    let said = ANSWERS.map(|(word, text)| say(word, text));
    let again = [say(WISH_AGAIN, wish), (AGAIN.to_owned(), Answer::SayAgain)];
    listen.into_iter().chain(said).chain(again).collect()
}

/// The media server's own account of the call, which may have been logged already.
fn call_ended(deployment: &Deployment, log: &mut Vec<String>) -> Result<Value, Failure> {
    let is_end = |line: &String| {
        let event: Value = serde_json::from_str(line).unwrap_or_default();
        (event["event"] == "call_ended").then_some(event)
    };
    let mut ended = log.iter().find_map(is_end);
    while ended.is_none() {
        let line = deployment.next_line(END_DEADLINE).ok_or_else(|| {
            Failure::Checked("the media server did not record the end of the call".to_owned())
        })?;
        let line = line.said();
        ended = is_end(&line);
        log.push(line);
    }
    ended.ok_or_else(|| Failure::Checked("no end".to_owned()))
}

/// The numbers of a turn, without what names its call.
pub(crate) fn ledger(mut line: Value) -> Value {
    if let Some(fields) = line.as_object_mut() {
        for name in ["boot", "seq", "prev", "role", "event", "call"] {
            fields.remove(name);
        }
    }
    line
}

/// What was said, line by line, for the operator's terminal.
#[must_use]
pub fn transcript(held: &Held) -> String {
    let mut text = String::new();
    for said in &held.report.outcome.said {
        let who = if said.is_caller { "caller says" } else { "caller hears" };
        writeln!(text, "{who:>14}  {}", said.text).unwrap_or_default();
    }
    for event in &held.events {
        match event {
            Event::Utterance { text: heard } => writeln!(text, "{:>14}  {heard}", "asr hears"),
            Event::Reply { text: reply } => writeln!(text, "{:>14}  {reply}", "llm says"),
            _ => Ok(()),
        }
        .unwrap_or_default();
    }
    text
}
