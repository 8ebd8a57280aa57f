//! `ward demo --vendors local`: a whole conversation with stand-ins for the vendors, real speech both ways.
//!
//! A caller asks for an appointment, answers what they are asked, and hangs up when it is booked. What is said goes to
//! the operator's terminal and nowhere else; the figures hold no word of it.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use serde_json::{Map, Value, json};
use ward_policy::cell::Target;
use ward_policy::data_class::DataClass;
use ward_policy::phi::Secret;

use crate::call::{self, Plan, Report};
use crate::caller::packets::Packets;
use crate::caller::stream::Script;
use crate::caller::talker::{Answers, Talker};
use crate::caller::webhook::{self, Identifiers};
use crate::console::{Console, Failure};
use crate::development_ca::DevelopmentCa;
use crate::local_vendors::{Event, LocalVendors, Part, Plan as VendorPlan, Service, entries};
use crate::stage::{Cast, Stage, random_hex};
use crate::vendors::Vendors;

/// What the caller wants, unless told otherwise.
pub const WISH: &str = "I would like to book an appointment please";
/// What the caller hears, by a word of it, and what they say then; the first that fits counts.
const ANSWERS: [(&str, &str); 10] = [
    ("booked", ""),
    ("which day", "on tuesday"),
    ("at what time", "at ten"),
    ("your name", "my name is john smith"),
    ("date of birth", "march the fifth nineteen eighty"),
    ("is that right", "yes that is right"),
    ("would you like to book one", "no thank you"),
    ("say it again", WISH),
    ("still there", WISH),
    ("goodbye", ""),
];
/// A booking takes six turns of six seconds or so.
const HANG_UP_AFTER: Duration = Duration::from_secs(90);

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
    pub more: Vec<(Part, Map<String, Value>)>,
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
    let ca = DevelopmentCa::new()?;
    let (mut vendors, events) = start_vendors(&ca, settings.more, console)?;
    let talker = {
        let (mut python, program) = vendors.ear();
        let answers: Answers =
            ANSWERS.map(|(word, answer)| (word.to_owned(), answer.to_owned())).into();
        Talker::start(&mut python, &program, settings.wish.as_deref().unwrap_or(WISH), answers)?
    };
    let cast = Cast {
        vendors: vendors.registry.take().unwrap_or_else(Vendors::built_in),
        media: format!("{}{}", media_settings(), settings.media),
        servers: None,
    };
    let target = settings.target.unwrap_or_else(crate::launch::target);
    let mut stage = Stage::set(target, cast, console)?;
    let script = Script {
        speak_after: Duration::ZERO,
        speech: Vec::new(),
        keys: VecDeque::new(),
        hang_up_after: Some(settings.hang_up_after.unwrap_or(HANG_UP_AFTER)),
        talker: Some(talker),
        ..Script::default()
    };
    let identifiers = Identifiers::new(&stage.account_sid)?;
    let mut log = Vec::new();
    let placed = call::block_on(async {
        let mut timeline = |at: Duration, what: &str| {
            console.progress(&format!("{:8.3} s  {what}", at.as_secs_f64()));
            for line in stage.lines.try_iter() {
                console.progress(&format!("            log  {line}"));
                log.push(line);
            }
        };
        webhook::post(&stage.client, &stage.url, &identifiers, None).await?;
        let plan = Plan {
            client: &stage.client,
            url: &stage.url,
            call: &identifiers,
            token: &stage.token,
            script,
            packets: settings.packets,
        };
        call::place(plan, &mut timeline).await
    });
    let ended = stage.call_ended_among(&mut log);
    stage.clear();
    log.extend(stage.lines.try_iter());
    vendors.running.stop();
    let report = placed??;
    let events = events.try_iter().collect();
    let turns = log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let turns = turns.filter(|line| line["event"] == "turn_answered").map(ledger).collect();
    Ok(Held { report, ended: ended?, turns, events, log })
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

pub(crate) fn media_settings() -> String {
    let vendors = Part::ALL.map(|part| {
        let class = match part {
            Part::Asr => DataClass::Audio,
            Part::Llm => DataClass::Prompt,
            Part::Tts => DataClass::SynthText,
        };
        format!("{}:{}", part.id(), class.name())
    });
    format!("MEDIA_AGENT=conversation\nMEDIA_VENDORS={}\n", vendors.join(" "))
}

/// Running stand-ins, and what the broker is to know of them.
pub(crate) struct Running {
    pub(crate) running: LocalVendors,
    pub(crate) registry: Option<Vendors>,
}

impl Running {
    pub(crate) fn ear(&self) -> (std::process::Command, std::path::PathBuf) {
        self.running.ear()
    }
}

pub(crate) fn start_vendors(
    ca: &DevelopmentCa,
    mut more: Vec<(Part, Map<String, Value>)>,
    console: &Console,
) -> Result<(Running, Receiver<Event>), Failure> {
    let mut keys = Secret::new(String::new());
    let mut services = Vec::new();
    for part in Part::ALL {
        let key = Secret::new(random_hex()?);
        // Writing to a String cannot fail.
        writeln!(keys.expose_mut(), "{}={}", part.id(), key.expose()).unwrap_or_default();
        let place = more.iter().position(|(one, _)| *one == part);
        let more = place.map(|place| more.swap_remove(place).1).unwrap_or_default();
        services.push(Service { part, host: host(part), port: 0, key, more });
    }
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let plan = VendorPlan { folder: None, address, ca, services };
    let (running, events) = LocalVendors::start(&plan, console)?;
    let hosts = Part::ALL.map(|part| (part, host(part), running.port(part).unwrap_or_default()));
    let named = hosts.iter().map(|(part, host, port)| (*part, host.as_str(), *port));
    let registry = entries(&named.collect::<Vec<_>>(), &ca.certificate());
    let hosts = hosts.iter().map(|(_, host, _)| format!("{host}={address}"));
    let settings = format!("BROKER_HOSTS={}\n", hosts.collect::<Vec<_>>().join(" "));
    let registry = Some(Vendors { registry, keys, settings });
    Ok((Running { running, registry }, events))
}

fn host(part: Part) -> String {
    format!("{}.vendor.test", part.name())
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
