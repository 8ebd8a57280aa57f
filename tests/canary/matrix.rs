//! One run of the whole matrix against one build: what went in, what came out, and what of it was found where.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Instant, SystemTime};

use ward_tests::network::{NAME_SERVER_PORT, enter_network, name_server};
use ward_tests::servers::settings;
use ward_tests::vendor::entry;

use crate::class::{Canaries, Canary, Class, Encoding};
use crate::detector::Detector;
use crate::stream::Peer;
use crate::vendor::{HOST, Misbehaving};
use crate::ward::{Build, Sinks, Ward, allow_core_dumps, core_dumps, folder, kernel_log};
use crate::webhook::Account;
use crate::{conversation, edge, stream, tool, vendor, webhook};

const VENDOR: &str = "93.184.216.34";

/// The path of what the servers were given to run with.
const OWN_SETTINGS: &str = "settings of the run itself";

/// The agent of servers whose callers hear recordings alone.
const GREETER: &str = "MEDIA_AGENT=greeter\n";

/// What came of a run.
pub(crate) struct Run {
    name: &'static str,
    pub(crate) canaries: Canaries,
    /// Bytes that came out, by sink.
    pub(crate) bytes: BTreeMap<&'static str, usize>,
    /// Sink, canary, and as what it was found there.
    pub(crate) found: Vec<(&'static str, usize, &'static str)>,
    /// How many went on or came back by right, by which.
    pub(crate) rightful: BTreeMap<&'static str, usize>,
    /// How long it took, and the search of it.
    seconds: [f64; 2],
}

/// Everything, in a network of this thread's own.
pub(crate) fn run(build: &Build, name: &'static str) -> Run {
    let (began, since) = (Instant::now(), SystemTime::now());
    allow_core_dumps();
    enter_network(&[&format!("{VENDOR}/32")]);
    let names = name_server(&[(HOST, VENDOR)]);
    let kernel_said = kernel_log();
    let (mut canaries, mut sinks) = (Canaries::default(), Sinks::new());
    serve(build, name, &mut canaries, &mut sinks);
    serve_with_vendor(build, name, &mut canaries, &mut sinks);
    converse(build, name, &mut canaries, &mut sinks);
    tool::deliver(build, &mut canaries, &mut sinks);
    core_dumps(since, &mut sinks);
    let kernel_says = kernel_log();
    sinks.add("kernel log", &new_lines(&kernel_said, &kernel_says));
    drop(names);
    search(name, canaries, &sinks, began)
}

/// The servers alone, and their log.
pub(crate) fn run_servers(build: &Build, name: &'static str) -> (Run, String) {
    let began = Instant::now();
    let (mut canaries, mut sinks) = (Canaries::default(), Sinks::new());
    serve(build, name, &mut canaries, &mut sinks);
    converse(build, name, &mut canaries, &mut sinks);
    let log = String::from_utf8_lossy(&sinks.0["log"]).into_owned();
    (search(name, canaries, &sinks, began), log)
}

/// The kernel's lines that were not there before; it drops its oldest.
fn new_lines(before: &[u8], after: &[u8]) -> Vec<u8> {
    let known: BTreeSet<&[u8]> = before.split(|byte| *byte == b'\n').collect();
    let fresh = after.split(|byte| *byte == b'\n').filter(|line| !known.contains(line));
    fresh.collect::<Vec<_>>().join(&b'\n')
}

/// What a server is started with, whose secrets are canaries as well.
fn own_settings(canaries: &mut Canaries) -> (Account, String, String) {
    let sid = canaries.one(OWN_SETTINGS, Class::AccountSid);
    let token = canaries.one(OWN_SETTINGS, Class::AuthToken);
    let text = format!(
        "MEDIA_WSS_URL=wss://media.example.com\nNEXT_PUBLIC_SITE_URL=https://www.example.com\n\
         TWILIO_ACCOUNT_SID={sid}\nTWILIO_AUTH_TOKEN={token}\n"
    );
    let values = settings(&text).handshake_values().unwrap();
    let signature = values[0].to_base64();
    canaries.0.push(Canary {
        path: "media: signature of a rightful upgrade".to_owned(),
        class: Class::Signature,
        encoding: Encoding::Plain,
        value: signature.clone(),
        sent: signature.clone(),
    });
    (Account { sid, token }, signature, text)
}

fn serve(build: &Build, name: &str, canaries: &mut Canaries, sinks: &mut Sinks) {
    let (account, signature, settings) = own_settings(canaries);
    let settings = format!("{settings}{GREETER}");
    let start = |role: &'static str, program: &str| {
        Ward::start(build, (role, program), &format!("{name}-{program}"), &settings, &[])
    };
    let twiml = start("twiml", "ward-twiml");
    edge::deliver("twiml", &twiml, canaries, sinks);
    webhook::deliver(&twiml, &account, canaries, sinks);
    twiml.finish(&build.tool, sinks);

    let media = start("media", "ward-media");
    edge::deliver("media", &media, canaries, sinks);
    let peer = Peer { ward: &media, account: account.sid.clone(), signature: signature.clone() };
    stream::upgrades(&peer, canaries, sinks);
    stream::beginnings(&peer, canaries, sinks);
    stream::messages(&peer, canaries, sinks);
    stream::audio(&peer, canaries, sinks);
    stream::frames(&peer, canaries, sinks);
    let live = peer.call("");
    media.look_at_processes(sinks);
    live.end(sinks);
    stream::aborts(&peer, canaries, sinks);
    media.finish(&build.tool, sinks);

    let teller = start("media", "ward-media-teller");
    let peer = Peer { ward: &teller, account: account.sid, signature };
    stream::panics(&peer, canaries, sinks);
    teller.finish(&build.tool, sinks);
}

fn serve_with_vendor(build: &Build, name: &str, canaries: &mut Canaries, sinks: &mut Sinks) {
    let standin = Misbehaving::serve(&format!("{VENDOR}:443"));
    let (account, signature, settings) = own_settings(canaries);
    let settings = format!(
        "{settings}{GREETER}MEDIA_VENDORS=standin:audio\nBROKER_NAMESERVERS=127.0.0.1:{NAME_SERVER_PORT}\n"
    );
    let inputs = folder(&format!("{name}-vendors"));
    let (file, text) = entry("standin", HOST, &[]);
    std::fs::create_dir(inputs.join("registry")).unwrap();
    std::fs::write(inputs.join("registry").join(file), text).unwrap();
    let key = canaries.one(OWN_SETTINGS, Class::VendorKey);
    std::fs::write(inputs.join("keys"), format!("standin={key}\n")).unwrap();
    let [registry, keys] = ["registry", "keys"].map(|part| inputs.join(part));
    let arguments =
        ["--vendors", registry.to_str().unwrap(), "--vendor-keys", keys.to_str().unwrap()];
    let program = ("media", "ward-media");
    let media = Ward::start(build, program, &format!("{name}-vendor"), &settings, &arguments);
    let peer = Peer { ward: &media, account: account.sid, signature };
    vendor::deliver(&peer, &standin, canaries, sinks);
    media.finish(&build.tool, sinks);
}

/// A server that holds conversations.
fn converse(build: &Build, name: &str, canaries: &mut Canaries, sinks: &mut Sinks) {
    let (account, signature, settings) = own_settings(canaries);
    conversation::deliver(build, name, (&account, &signature, &settings), canaries, sinks);
}

/// Looks for every canary in every sink.
fn search(name: &'static str, canaries: Canaries, sinks: &Sinks, began: Instant) -> Run {
    let searching = Instant::now();
    let detector = Detector::new(&canaries.0);
    let bytes = sinks.0.iter().map(|(sink, bytes)| (*sink, bytes.len())).collect();
    let (mut found, mut rightful) = (Vec::new(), BTreeMap::new());
    for (sink, bytes) in &sinks.0 {
        for (canary, form) in detector.find(bytes) {
            match conversation::right(&canaries.0[canary], sink) {
                Some(right) => *rightful.entry(right).or_default() += 1,
                None => found.push((*sink, canary, form)),
            }
        }
    }
    let seconds = [began.elapsed(), searching.elapsed()].map(|took| took.as_secs_f64());
    Run { name, canaries, bytes, found, rightful, seconds }
}

impl Run {
    /// One line of figures.
    pub(crate) fn summary(&self) -> String {
        let all = &self.canaries.0;
        let classes: BTreeSet<Class> = all.iter().map(|one| one.class).collect();
        let encodings: BTreeSet<Encoding> = all.iter().map(|one| one.encoding).collect();
        format!(
            "{}: {} ways in, {} classes, {} encodings: {} canaries in {} sinks are {} combinations, {} found; {} by right; {} KiB searched; {:.0} s, {:.0} of them for the search",
            self.name,
            self.canaries.paths().len(),
            classes.len(),
            encodings.len(),
            all.len(),
            self.bytes.len(),
            all.len() * self.bytes.len(),
            self.found.len(),
            self.rightful.values().sum::<usize>(),
            self.bytes.values().sum::<usize>() / 1_024,
            self.seconds[0],
            self.seconds[1]
        )
    }

    /// What was found, for a failure.
    pub(crate) fn describe_found(&self) -> String {
        let lines = self.found.iter().take(60).map(|(sink, canary, form)| {
            let Canary { path, class, encoding, sent, .. } = &self.canaries.0[*canary];
            format!("{sink}: {class:?} sent as {encoding:?} on \"{path}\", as {form}: {sent}")
        });
        format!("{} found:\n{}", self.found.len(), lines.collect::<Vec<_>>().join("\n"))
    }

    /// Which canaries were found nowhere.
    pub(crate) fn missed(&self) -> Vec<&Canary> {
        let found: BTreeSet<usize> = self.found.iter().map(|(_, canary, _)| *canary).collect();
        let all = self.canaries.0.iter().enumerate();
        all.filter(|(number, _)| !found.contains(number)).map(|(_, canary)| canary).collect()
    }

    pub(crate) fn describe_missed(&self) -> String {
        let mut by_path: BTreeMap<(&str, Encoding), Vec<Class>> = BTreeMap::new();
        for canary in self.missed() {
            by_path.entry((&canary.path, canary.encoding)).or_default().push(canary.class);
        }
        let lines = by_path.iter().map(|((path, encoding), classes)| {
            format!("missed {} on \"{path}\" as {encoding:?}: {classes:?}", classes.len())
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// A table of ways in and sinks, into a file of the workspace.
    pub(crate) fn write(&self, path: &str) {
        let mut text = format!("{}\n\n| way in | sent |", self.summary());
        for sink in Sinks::ALL {
            write!(text, " {sink} |").unwrap();
        }
        writeln!(text, "\n| --- | ---: |{}", " ---: |".repeat(Sinks::ALL.len())).unwrap();
        for path in self.canaries.paths() {
            let is_here = |canary: usize| self.canaries.0[canary].path == path;
            let sent = self.canaries.0.iter().filter(|canary| canary.path == path).count();
            write!(text, "| {path} | {sent} |").unwrap();
            for sink in Sinks::ALL {
                let here =
                    self.found.iter().filter(|(one, canary, _)| *one == sink && is_here(*canary));
                write!(text, " {} |", here.count()).unwrap();
            }
            text.push('\n');
        }
        let path = ward_tests::binaries::root().join(path);
        std::fs::write(path, text).unwrap();
    }
}
