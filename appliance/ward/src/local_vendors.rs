//! The stand-ins for the vendors of a conversation, `tests/vendors`, as a child process of the tool.
//!
//! It finds the folder, installs what they need and says so, starts them, tells them what goes wrong and
//! passes on what they tell. They are for invented calls only: what a caller says stands in their events.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};

use serde_json::{Map, Value, json};
use ward_policy::limit;
use ward_policy::phi::Secret;
use ward_policy::service::Service;

use crate::console::{Console, Failure};
use crate::development_ca::DevelopmentCa;

pub use entries::entries;
pub use events::{Event, Message};

mod entries;
mod events;

/// Where the stand-ins are, from the root of the sources.
const FOLDER: &str = "tests/vendors";
/// Where their packages are put, beside that folder's parent, and one that is there then.
const PACKAGES: (&str, &str) = (".cache/vendors-python", "websockets");

/// The id in the registry of the one that does this.
#[must_use]
pub const fn id(service: Service) -> &'static str {
    match service {
        Service::Recogniser => "local-asr",
        Service::Model => "local-llm",
        Service::Voice => "local-tts",
    }
}

/// How one of them is to serve.
#[expect(missing_debug_implementations, reason = "its key must never be printed")]
pub struct StandIn {
    /// Which.
    pub part: Service,
    /// The name in its certificate and in tokens.
    pub host: String,
    /// Its port; 0 for a free one.
    pub port: u16,
    /// The key that tokens are granted for, or made with.
    pub key: Secret<String>,
    /// More settings of `tests/vendors/README.md`: latencies, the voice, a fault.
    pub more: Map<String, Value>,
}

/// How they are started.
#[expect(missing_debug_implementations, reason = "its keys must never be printed")]
pub struct Plan<'p> {
    /// The stand-ins' folder, if it is not where it is looked for.
    pub folder: Option<&'p Path>,
    /// Where they listen.
    pub address: IpAddr,
    /// Who vouches for them.
    pub ca: &'p DevelopmentCa,
    /// Those that are to run, each once.
    pub services: Vec<StandIn>,
}

/// The running stand-ins. They end with this.
#[derive(Debug)]
pub struct LocalVendors {
    process: Child,
    input: Option<ChildStdin>,
    ended: Receiver<()>,
    ports: Vec<(Service, u16)>,
    folder: PathBuf,
    packages: PathBuf,
}

impl LocalVendors {
    /// Installs what is missing, starts them, and waits until they listen. Events that nobody reads are
    /// dropped once [`limit::LOCAL_VENDORS_EVENTS_MAX`] of them wait.
    ///
    /// # Errors
    /// [`Failure::Usage`] when the folder or a program is missing; [`Failure::Checked`] when something
    /// cannot be installed or started.
    pub fn start(plan: &Plan<'_>, console: &Console) -> Result<(Self, Receiver<Event>), Failure> {
        let folder = folder(plan.folder)?;
        is_there("flite", "--version", "flite")?;
        is_there("python3", "--version", "python3")?;
        let packages = packages(&folder, console)?;
        let settings = settings(plan)?;
        let mut process = Command::new("python3")
            .args(["-W", "ignore"])
            .arg(folder.join("serve.py"))
            .env("PYTHONPATH", &packages)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| Failure::Checked(format!("python3: {error}")))?;
        let (sender, events) = sync_channel(limit::LOCAL_VENDORS_EVENTS_MAX);
        let (first, listening) = sync_channel(1);
        let (end, ended) = sync_channel::<()>(1);
        if let Some(output) = process.stdout.take() {
            std::thread::spawn(move || {
                read(output, &first, &sender);
                // Whoever waits for the end hears it so.
                drop(end);
            });
        }
        let input = process.stdin.take();
        let ports = Vec::new();
        let mut vendors = Self { process, input, ended, ports, folder, packages };
        // From here on they are stopped whatever happens.
        vendors.say(settings.expose())?;
        let listening = listening.recv_timeout(limit::LOCAL_VENDORS_START_DEADLINE);
        vendors.ports = listening.map_err(|error| {
            Failure::Checked(match error {
                RecvTimeoutError::Timeout => "the stand-ins do not listen in time".to_owned(),
                RecvTimeoutError::Disconnected => "the stand-ins ended at once".to_owned(),
            })
        })?;
        Ok((vendors, events))
    }

    /// The port of a stand-in, if it runs.
    #[must_use]
    pub fn port(&self, part: Service) -> Option<u16> {
        self.ports.iter().find(|(one, _)| *one == part).map(|(_, port)| *port)
    }

    /// What starts a caller's ear and voice, and the program for it.
    #[must_use]
    pub fn ear(&self) -> (Command, PathBuf) {
        let mut python = Command::new("python3");
        python.args(["-W", "ignore"]).env("PYTHONPATH", &self.packages);
        (python, self.folder.join("ear.py"))
    }

    /// Their process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Lets something go wrong from now on, as `tests/vendors/README.md` has it, or nothing.
    /// [`Event::FaultSet`] says when it is so.
    ///
    /// # Errors
    /// [`Failure::Checked`] when they are gone.
    pub fn set_fault(&mut self, part: Service, fault: Option<&Value>) -> Result<(), Failure> {
        self.say(&json!({ "fault": { part.name(): fault } }).to_string())
    }

    fn say(&mut self, line: &str) -> Result<(), Failure> {
        let gone = || Failure::Checked("the stand-ins are gone".to_owned());
        let input = self.input.as_mut().ok_or_else(gone)?;
        let said = writeln!(input, "{line}").and_then(|()| input.flush());
        said.map_err(|_closed| gone())
    }

    /// Ends them: asks by the end of their input, and ends the process if they do not heed it in time.
    /// Whether they ended by themselves and well.
    pub fn stop(&mut self) -> bool {
        drop(self.input.take());
        let in_time = self.ended.recv_timeout(limit::LOCAL_VENDORS_STOP_DEADLINE);
        let has_hung = matches!(in_time, Err(RecvTimeoutError::Timeout));
        if has_hung {
            // It may have ended this moment; then there is nothing left to end.
            self.process.kill().unwrap_or_default();
        }
        self.process.wait().is_ok_and(|status| status.success())
    }
}

impl Drop for LocalVendors {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Reads lines until there are no more: where they listen, then events.
fn read(output: ChildStdout, first: &SyncSender<Vec<(Service, u16)>>, events: &SyncSender<Event>) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        line.clear();
        let most = u64::try_from(limit::LOCAL_VENDORS_LINE_BYTES_MAX).unwrap_or(u64::MAX);
        let got = output.by_ref().take(most).read_until(b'\n', &mut line);
        if !got.is_ok_and(|count| count > 0) {
            return;
        }
        let Ok(value) = serde_json::from_slice::<Value>(&line) else { continue };
        if let Some(ports) = value["listening"].as_object() {
            let port = |value: &Value| value.as_u64().and_then(|port| u16::try_from(port).ok());
            let ports = ports
                .iter()
                .filter_map(|(name, value)| Some((Service::from_name(name)?, port(value)?)))
                .collect();
            first.try_send(ports).unwrap_or_default();
        } else {
            // Whether nobody listens or too much waits: it is read on, so that they are not held up.
            events.try_send(Event::read(value)).unwrap_or_default();
        }
    }
}

/// Their folder: the one that is named, or the one of the sources that this program stands in or runs in.
fn folder(named: Option<&Path>) -> Result<PathBuf, Failure> {
    let is_it = |folder: &PathBuf| folder.join("serve.py").is_file();
    if let Some(folder) = named {
        let folder = folder.to_owned();
        let what = "has no serve.py: it is not the stand-ins' folder";
        return if is_it(&folder) { Ok(folder) } else { Err(Failure::file(&folder, what)) };
    }
    let starts = [std::env::current_dir(), std::env::current_exe()];
    let above = |start: PathBuf| {
        let folders: Vec<_> = start.ancestors().map(|above| above.join(FOLDER)).collect();
        folders
    };
    starts.into_iter().flatten().flat_map(above).find(is_it).ok_or_else(|| {
        Failure::Usage(format!(
            "there is no {FOLDER} above this folder or above the program: run it in Ward's sources, \
             or name the folder"
        ))
    })
}

/// Whether a program can be started.
fn is_there(program: &str, argument: &str, package: &str) -> Result<(), Failure> {
    let mut command = Command::new(program);
    command.arg(argument).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().map(drop).map_err(|error| {
        Failure::Usage(format!("{program}: {error}; on Debian: apt-get install {package}"))
    })
}

/// Where their Python packages are; installed now if they are not there, which is said.
fn packages(folder: &Path, console: &Console) -> Result<PathBuf, Failure> {
    let (cache, package) = PACKAGES;
    let target = folder.parent().unwrap_or(folder).join(cache);
    if target.join(package).is_dir() {
        return Ok(target);
    }
    let wanted = folder.join("requirements.txt");
    let text = std::fs::read_to_string(&wanted).map_err(|error| Failure::file(&wanted, error))?;
    let names: Vec<&str> = text.lines().collect();
    console.notice(&format!("installing Python packages: {}", names.join(" ")));
    let arguments: [&OsStr; 9] = [
        "-m".as_ref(),
        "pip".as_ref(),
        "install".as_ref(),
        "--quiet".as_ref(),
        "--disable-pip-version-check".as_ref(),
        "--root-user-action=ignore".as_ref(),
        "--target".as_ref(),
        target.as_ref(),
        "-r".as_ref(),
    ];
    // What pip prints belongs to nobody's standard output.
    let installed =
        Command::new("python3").args(arguments).arg(&wanted).stdout(Stdio::null()).status();
    match installed {
        Ok(status) if status.success() => Ok(target),
        Ok(_) => {
            let what = "pip cannot install the stand-ins' packages; on Debian it is python3-pip";
            Err(Failure::Checked(what.to_owned()))
        }
        Err(error) => Err(Failure::Checked(format!("python3: {error}"))),
    }
}

/// The settings, in one line.
fn settings(plan: &Plan<'_>) -> Result<Secret<String>, Failure> {
    let mut all = Map::new();
    all.insert("address".to_owned(), json!(plan.address));
    for service in &plan.services {
        let identity = plan.ca.issue(&[&service.host])?;
        let credential = if service.part == Service::Model { "signed-token" } else { "token" };
        let must = match service.part {
            Service::Model => json!({ "store": false }),
            Service::Recogniser | Service::Voice => json!({ "mip_opt_out": "true" }),
        };
        let mut settings = Map::new();
        let fixed = [
            ("host", json!(service.host)),
            ("port", json!(service.port)),
            ("chain", json!(identity.chain)),
            ("key", json!(identity.key.expose())),
            ("api_key", json!(service.key.expose())),
            ("credential", json!(credential)),
            ("must", must),
        ];
        settings.extend(fixed.map(|(name, value)| (name.to_owned(), value)));
        settings.extend(service.more.clone());
        all.insert(service.part.name().to_owned(), Value::Object(settings));
    }
    Ok(Secret::new(Value::Object(all).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_found_from_here_and_a_wrong_one_is_said_to_be_wrong() {
        assert!(folder(None).unwrap().ends_with(FOLDER));
        let error = folder(Some(Path::new("/nowhere"))).unwrap_err();
        assert!(error.to_string().contains("serve.py"), "{error}");
        assert_eq!(error.exit_status(), 2);
    }

    #[test]
    fn what_is_missing_is_named_with_its_package() {
        is_there("sh", "--version", "dash").unwrap();
        let error = is_there("no-such-program", "--version", "a-package").unwrap_err();
        assert!(error.to_string().ends_with("apt-get install a-package"), "{error}");
    }

    #[test]
    fn settings_are_one_line_with_a_certificate_each() {
        let ca = DevelopmentCa::new().unwrap();
        let services = Service::ALL.map(|part| StandIn {
            part,
            host: format!("{}.local.example", part.name()),
            port: 0,
            key: Secret::new("a key".to_owned()),
            more: [("seed".to_owned(), json!(7))].into_iter().collect(),
        });
        let plan = Plan {
            folder: None,
            address: [127, 0, 0, 1].into(),
            ca: &ca,
            services: services.into(),
        };
        let line = settings(&plan).unwrap();
        assert!(!line.expose().contains('\n'));
        let value: Value = serde_json::from_str(line.expose()).unwrap();
        assert_eq!(value["address"], "127.0.0.1");
        for part in Service::ALL {
            let one = &value[part.name()];
            assert!(one["chain"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE"));
            assert_eq!((&one["seed"], &one["api_key"]), (&json!(7), &json!("a key")));
        }
        assert_eq!(value["llm"]["credential"], "signed-token");
        assert_eq!(value["asr"]["must"], json!({ "mip_opt_out": "true" }));
    }
}
