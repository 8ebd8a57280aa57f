//! A deployment with stand-ins for the vendors, on this machine, and conversations on it: several at once if need be.
//!
//! It places calls and passes on what was told; it judges nothing. What is said on it is invented.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use serde_json::{Map, Value};
use ward_policy::audit::Role;
use ward_policy::cell::Target;
use ward_policy::phi::Secret;
use ward_twilio::signature::AuthToken;

use crate::call::{self, Plan, Report};
use crate::caller::packets::Packets;
use crate::caller::stream::{Script, Timeline};
use crate::caller::talker::{Answers, Talker};
use crate::caller::webhook::{self, Identifiers, WebhookUrl};
use crate::client::Client;
use crate::console::{Console, Failure};
use crate::development_ca::DevelopmentCa;
use crate::launch;
use crate::local_vendors::{Event, LocalVendors, Plan as VendorPlan, StandIn, entries, id};
use crate::log_lines::Line;
use crate::stage::{Cast, Stage, random_hex};
use crate::vendors::Vendors;
use ward_policy::service::Service;

/// What a deployment is made of.
#[derive(Debug, Default)]
pub struct Setup {
    /// The kind of machine; by default what this looks like.
    pub target: Option<Target>,
    /// The folder of the servers as they ship; by default this program plays them.
    pub servers: Option<PathBuf>,
    /// More settings of the media server, line by line.
    pub media: String,
    /// More settings of a stand-in: latencies, faults.
    pub more: Vec<(Service, Map<String, Value>)>,
    /// What has a second vendor, which is asked when the first fails.
    pub seconds: Vec<Service>,
    /// What reads otherwise in the registry's entry of a first vendor: the text, and what stands in its place.
    pub terms: Vec<(Service, &'static str, String)>,
}

/// What a caller does.
#[derive(Debug)]
pub struct Caller<'c> {
    /// What they say first.
    pub wish: &'c str,
    /// What they say to what they hear.
    pub answers: Answers,
    /// How long they stay.
    pub hang_up_after: Duration,
    /// Every message of the stream.
    pub packets: Packets,
}

/// Stand-ins of one process.
struct Group {
    running: LocalVendors,
    events: Receiver<Event>,
}

/// A running deployment. It ends with this.
#[expect(missing_debug_implementations, reason = "its keys must never be printed")]
pub struct Deployment {
    stage: Stage,
    first: Group,
    second: Option<Group>,
    keys: Vec<(Service, Secret<String>)>,
}

/// What is needed to call a deployment; several calls may be made with one.
#[expect(missing_debug_implementations, reason = "its token must never be printed")]
#[derive(Clone, Copy)]
pub struct Desk<'d> {
    client: &'d Client,
    url: &'d WebhookUrl,
    token: &'d AuthToken,
    account_sid: &'d str,
}

impl Deployment {
    /// Starts the stand-ins, then both servers with them.
    ///
    /// # Errors
    /// [`Failure`] when something cannot be installed or started, or a term is not in its entry.
    pub fn start(setup: Setup, console: &Console) -> Result<Self, Failure> {
        let ca = DevelopmentCa::new()?;
        let mut keys = Vec::new();
        let mut vendors = Vendors {
            registry: Vec::new(),
            keys: Secret::new(String::new()),
            settings: String::new(),
        };
        let mut hosts = Vec::new();
        let mut wanted = Vec::new();
        let mut start = |which: &Which, parts: &[Service], more| {
            let group = which.start(parts, more, &ca, &mut keys, console)?;
            let names = parts.iter().map(|part| (*part, which.host(*part)));
            let ports = names.map(|(part, host)| {
                let port = group.running.port(part).unwrap_or_default();
                (part, host, port)
            });
            let ports: Vec<_> = ports.collect();
            let named: Vec<_> =
                ports.iter().map(|(part, host, port)| (*part, host.as_str(), *port)).collect();
            for (part, (name, text)) in parts.iter().zip(entries(&named, &ca.certificate())) {
                let (own, id) = (id(*part), which.id(*part));
                let text = text.replace(&quoted(own), &quoted(&id));
                vendors.registry.push((name.replace(own, &id), text));
                wanted.push(format!("{id}:{}", part.class().name()));
            }
            hosts.extend(ports.into_iter().map(|(_, host, _)| format!("{host}={LOOPBACK}")));
            Ok::<_, Failure>(group)
        };
        let first = start(&Which::First, &Service::ALL, setup.more)?;
        let second = match setup.seconds.as_slice() {
            [] => None,
            parts => Some(start(&Which::Second, parts, Vec::new())?),
        };
        for (part, text, other) in &setup.terms {
            change(&mut vendors.registry, *part, text, other)?;
        }
        for (place, (part, key)) in keys.iter().enumerate() {
            let which = if place < Service::ALL.len() { Which::First } else { Which::Second };
            // Writing to a String cannot fail.
            writeln!(vendors.keys.expose_mut(), "{}={}", which.id(*part), key.expose())
                .unwrap_or_default();
        }
        vendors.settings = format!("BROKER_HOSTS={}\n", hosts.join(" "));
        let media = format!(
            "MEDIA_AGENT=conversation\nMEDIA_VENDORS={}\n{}",
            wanted.join(" "),
            setup.media
        );
        let target = setup.target.unwrap_or_else(launch::target);
        let stage = Stage::set(target, Cast { vendors, media, servers: setup.servers }, console)?;
        Ok(Self { stage, first, second, keys })
    }

    /// What is needed to call it.
    #[must_use]
    pub fn desk(&self) -> Desk<'_> {
        let Stage { client, url, token, account_sid, .. } = &self.stage;
        Desk { client, url, token, account_sid }
    }

    /// What starts a caller's ear and voice, and the program for it.
    #[must_use]
    pub fn ear(&self) -> (Command, PathBuf) {
        self.first.running.ear()
    }

    /// Lets something go wrong at a first vendor from now on, or nothing. [`Event::FaultSet`] says when it is so.
    ///
    /// # Errors
    /// [`Failure::Checked`] when they are gone.
    pub fn set_fault(&mut self, part: Service, fault: Option<&Value>) -> Result<(), Failure> {
        self.first.running.set_fault(part, fault)
    }

    /// What the first vendors have told since the last time; waits for it as long as given if there is nothing.
    #[must_use]
    pub fn events(&self, patience: Duration) -> Vec<Event> {
        let waited = self.first.events.recv_timeout(patience).into_iter();
        waited.chain(self.first.events.try_iter()).collect()
    }

    /// The same of the second vendors, without waiting.
    #[must_use]
    pub fn events_of_the_second(&self) -> Vec<Event> {
        self.second.iter().flat_map(|second| second.events.try_iter()).collect()
    }

    /// What was logged as the servers started.
    pub fn start_lines(&self) -> impl Iterator<Item = &Line> {
        self.stage.start_lines.iter().map(|(_role, line)| line)
    }

    /// What was logged since the last time.
    pub fn lines(&self) -> impl Iterator<Item = Line> {
        self.stage.lines.try_iter()
    }

    /// The next line of the log, if one comes in time.
    #[must_use]
    pub fn next_line(&self, patience: Duration) -> Option<Line> {
        self.stage.lines.recv_timeout(patience).ok()
    }

    /// The process of the media server's side that plays `role` now.
    #[must_use]
    pub fn process(&self, role: Role) -> Option<u32> {
        self.stage.media.process(role)
    }

    /// The keys of all stand-ins.
    #[must_use]
    pub fn keys(&self) -> &[(Service, Secret<String>)] {
        &self.keys
    }

    /// Ends it; what was logged and told meanwhile can still be asked for.
    pub fn stop(&mut self) {
        self.stage.clear();
        self.first.running.stop();
        if let Some(second) = &mut self.second {
            second.running.stop();
        }
    }
}

impl Desk<'_> {
    /// Holds one conversation, with a caller whose ear and voice are `ear`.
    ///
    /// # Errors
    /// [`Failure`] when the caller's program does not start, or the call breaks.
    pub fn call(
        &self,
        ear: (Command, PathBuf),
        caller: Caller<'_>,
        timeline: &mut Timeline<'_>,
    ) -> Result<Report, Failure> {
        let (mut python, program) = ear;
        let talker = Talker::start(&mut python, &program, caller.wish, caller.answers)?;
        let script = Script {
            speak_after: Duration::ZERO,
            speech: Vec::new(),
            keys: VecDeque::new(),
            hang_up_after: Some(caller.hang_up_after),
            talker: Some(talker),
            ..Script::default()
        };
        call::block_on(self.place(script, caller.packets, timeline))?
    }

    /// Holds one call by a script.
    pub(crate) async fn place(
        &self,
        script: Script,
        packets: Packets,
        timeline: &mut Timeline<'_>,
    ) -> Result<Report, Failure> {
        let identifiers = Identifiers::new(self.account_sid)?;
        let (client, url, token) = (self.client, self.url, self.token);
        webhook::post(client, url, &identifiers, None).await?;
        let plan = Plan { client, url, call: &identifiers, token, script, packets };
        Box::pin(call::place(plan, timeline)).await
    }
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The vendors that are asked first, or those that are asked then.
enum Which {
    First,
    Second,
}

impl Which {
    fn id(&self, part: Service) -> String {
        match self {
            Self::First => id(part).to_owned(),
            Self::Second => format!("second-{}", part.name()),
        }
    }

    fn host(&self, part: Service) -> String {
        match self {
            Self::First => format!("{}.vendor.test", part.name()),
            Self::Second => format!("{}.second.test", part.name()),
        }
    }

    fn start(
        &self,
        parts: &[Service],
        mut more: Vec<(Service, Map<String, Value>)>,
        ca: &DevelopmentCa,
        keys: &mut Vec<(Service, Secret<String>)>,
        console: &Console,
    ) -> Result<Group, Failure> {
        let mut services = Vec::new();
        for part in parts.iter().copied() {
            let key = random_hex()?;
            let place = more.iter().position(|(one, _)| *one == part);
            let more = place.map(|place| more.swap_remove(place).1).unwrap_or_default();
            let (host, service_key) = (self.host(part), Secret::new(key.clone()));
            services.push(StandIn { part, host, port: 0, key: service_key, more });
            keys.push((part, Secret::new(key)));
        }
        let plan = VendorPlan { folder: None, address: LOOPBACK, ca, services };
        let (running, events) = LocalVendors::start(&plan, console)?;
        Ok(Group { running, events })
    }
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

/// Puts `other` in the place of `text` in the entry of a first vendor.
fn change(
    registry: &mut [(String, String)],
    part: Service,
    text: &str,
    other: &str,
) -> Result<(), Failure> {
    let name = format!("{}.toml", id(part));
    let entry = registry.iter_mut().find(|(one, entry)| *one == name && entry.contains(text));
    let (_, entry) =
        entry.ok_or_else(|| Failure::Usage(format!("{name} has no {text} to change")))?;
    *entry = entry.replacen(text, other, 1);
    Ok(())
}
