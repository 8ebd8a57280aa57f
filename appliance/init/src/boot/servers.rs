//! Opens the port, makes the documents, and starts the supervisor with them: the same way in which the operator's tool does it elsewhere.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::process::Pid;
use ward_policy::audit::Role;
use ward_policy::cell::Target;
use ward_policy::certificate::CertificateSource;
use ward_policy::limit;
use ward_policy::phi::Secret;
use ward_policy::setting::TWIML_SECRETS;
use ward_policy::vendor::{BUILT_IN, Registry};

use super::fault::Fault;
use super::happening::Happening;
use super::{Boot, Done, mounts, network};
use crate::acme::Acme;
use crate::code;
use crate::config::Config;
use crate::console::now;
use crate::launch::{Start, Supervisor, document, followed_document, listen};

/// The one port.
const PORT: u16 = 443;

/// Everything that the supervisor is started with, kept for its next start.
pub(super) struct Cells {
    role: Role,
    certificate: Option<CertificateSource>,
    handed: Vec<(&'static str, OwnedFd)>,
    /// Where the server says that it serves.
    pub(super) ready: OwnedFd,
}

/// The phase.
pub(super) fn run(boot: &mut Boot) -> Done {
    boot.cells = Some(cells(boot)?);
    // Their documents are in the cells' hands.
    boot.secrets.clear();
    // Nothing more is read there; with it goes the way on which the lab's secrets came.
    mounts::take_away_sysfs().map_err(|error| Fault::system("/sys", &error))?;
    start(boot)?;
    let until = now().saturating_add(limit::SERVERS_DEADLINE);
    loop {
        match boot.next(until) {
            Some(Happening::Ready) => break,
            Some(Happening::NetworkEnded(status, signal)) => network::again(boot, status, signal)?,
            Some(Happening::SupervisorEnded(status, signal)) => return Err(ended(status, signal)),
            Some(Happening::Stop) => return Err(Fault::new(code::POWER_BUTTON)),
            Some(Happening::News(_)) => {}
            None => {
                let waited = limit::SERVERS_DEADLINE.as_secs();
                return Err(Fault::new(code::READY_LATE).with("seconds", waited));
            }
        }
    }
    boot.say(code::READY, &[("port", &PORT)]);
    Ok(())
}

/// Why the supervisor has ended, by its status: [`ward_edge::start::StartError`] and what is beside it.
pub(super) fn ended(status: i32, signal: i32) -> Fault {
    let what = match status {
        64 => "descriptors",
        65 => "settings",
        66 => "certificate",
        67 => "system",
        68 => "cell",
        69 => "too_often",
        _ => "unexpected",
    };
    let code = if status == 69 { code::BUDGET } else { code::START_REFUSED };
    Fault::new(code).with("what", what).with("status", status).with("signal", signal)
}

/// Starts the supervisor with copies of everything.
pub(super) fn start(boot: &mut Boot) -> Done {
    let refused = |error: io::Error| Fault::system("supervisor", &error);
    if let Some((cells, config)) = boot.cells.as_mut().zip(boot.config.as_ref()) {
        // As the network has it now: a lease that was renewed may have named others to ask for names.
        let settings = config.broker_document(&boot.name_servers);
        renew(&mut cells.handed, BROKER_SETTINGS, &settings).map_err(refused)?;
    }
    let Some(cells) = &boot.cells else { return Ok(()) };
    let copies = cells.handed.iter().map(|(name, one)| Ok((*name, one.try_clone()?)));
    let handed = copies.collect::<io::Result<Vec<_>>>().map_err(refused)?;
    let server = if cells.role == Role::Twiml { "/bin/ward-twiml" } else { "/bin/ward-media" };
    let supervisor =
        Supervisor::Files { init: PathBuf::from("/proc/self/exe"), server: PathBuf::from(server) };
    let (role, target, certificate) = (cells.role, Target::Image, cells.certificate);
    let child = Start { role, target, supervisor, certificate, handed }.spawn().map_err(refused)?;
    boot.supervisor = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    boot.say(code::STARTED, &[("role", &role.name()), ("pid", &child.id())]);
    Ok(())
}

/// What the broker goes by, the name servers among it.
const BROKER_SETTINGS: &str = "broker-settings";

/// Puts another text in the place of a document that is handed over; where there is none, none is.
fn renew(handed: &mut [(&'static str, OwnedFd)], name: &'static str, text: &str) -> io::Result<()> {
    if let Some((_, place)) = handed.iter_mut().find(|(one, _)| *one == name) {
        *place = document(name, text)?;
    }
    Ok(())
}

fn cells(boot: &Boot) -> Result<Cells, Fault> {
    let absent = || Fault::new(code::CONFIG_ABSENT);
    let config = boot.config.as_ref().ok_or_else(absent)?;
    let system = |error: io::Error| Fault::system("documents", &error);
    let mut handed = Vec::new();
    for listener in listeners()? {
        handed.push(("listener", listener.into()));
    }
    let count = handed.len();
    boot.say(code::LISTENING, &[("port", &PORT), ("workers", &count)]);
    let settings = config.server_document();
    handed.push(("settings", document("settings", &settings).map_err(system)?));
    handed.push(("sink", boot.console.descriptor().map_err(system)?));
    let followed = followed(config, boot);
    handed.push(("handshake", followed_document(followed.expose()).map_err(system)?));
    let certificate = certificate(config, boot, &mut handed)?;
    broker(config, boot, &mut handed)?;
    let (ready, theirs) = io::pipe().map_err(system)?;
    rustix::io::ioctl_fionbio(&ready, true).map_err(|error| system(error.into()))?;
    handed.push(("ready", theirs.into()));
    Ok(Cells { role: config.role, certificate, handed, ready: ready.into() })
}

/// One listener a processor.
fn listeners() -> Result<Vec<TcpListener>, Fault> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let address = (Ipv4Addr::UNSPECIFIED, PORT).into();
    listen(address, workers).map_err(|error| Fault::refused(code::LISTEN_REFUSED, PORT, &error))
}

/// What the server follows: for media what handshakes are compared with, for the responder its auth tokens and ticket key.
fn followed(config: &Config, boot: &Boot) -> Secret<String> {
    let mut text = Secret::new(String::new());
    let all = text.expose_mut();
    if config.role == Role::Twiml {
        for name in TWIML_SECRETS {
            if let Some(value) = boot.secrets.get(*name) {
                all.push_str(name);
                all.push('=');
                all.push_str(value.expose().trim_end_matches(['\r', '\n']));
                all.push('\n');
            }
        }
        return text;
    }
    if let Some(values) = boot.secrets.get("handshake") {
        for line in values.expose().lines().filter(|line| !line.is_empty()) {
            all.push_str(line);
            all.push('\n');
        }
    }
    all.push_str(&config.ticket_keys());
    text
}

fn certificate(
    config: &Config,
    boot: &Boot,
    handed: &mut Vec<(&'static str, OwnedFd)>,
) -> Result<Option<CertificateSource>, Fault> {
    let system = |error: io::Error| Fault::system("certificate", &error);
    let given = boot.secrets.get("tls-chain").zip(boot.secrets.get("tls-key"));
    if let Some((chain, key)) = given {
        handed.push(("tls-chain", followed_document(chain.expose()).map_err(system)?));
        handed.push(("tls-key", followed_document(key.expose()).map_err(system)?));
        return Ok(Some(CertificateSource::Files));
    }
    let Some(names) = config.certificate_names() else { return Ok(None) };
    // Nothing on this machine is kept over its end: the account and the certificate are asked for anew.
    let asked = Acme { names, place: None }.handed();
    let failed = |_error| Fault::new(code::SYSTEM_REFUSED).with("what", "acme");
    handed.extend(asked.map_err(failed)?);
    Ok(Some(CertificateSource::Acme))
}

/// The registry is the one that was compiled in, and so is in the image's measurement; the responder's broker gets what its log and its
/// certificates take, if anything.
fn broker(config: &Config, boot: &Boot, handed: &mut Vec<(&'static str, OwnedFd)>) -> Done {
    let system = |error: io::Error| Fault::system("broker", &error);
    let unknown = |name: &str| Fault::new(code::REGISTRY).with("setting", name);
    let registry = Registry::parse(BUILT_IN.iter().copied());
    let registry =
        registry.map_err(|problems| unknown("registry").with("count", problems.len()))?;
    let sink = config.setting("LOG_SINK");
    if let Some(id) = sink {
        let plan = registry.sink_plan(id).ok_or_else(|| unknown("LOG_SINK"))?;
        let plan = document("log-sink", &plan.to_document()).map_err(system)?;
        handed.push(("log-sink", plan));
    }
    let needed: Vec<&str> = [sink, config.setting("ACME_CA")].into_iter().flatten().collect();
    if config.role == Role::Twiml && needed.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = needed.iter().flat_map(|id| registry.needed_by(id)).collect();
    // Entries stand in the order of their files.
    let files = BUILT_IN.iter().zip(registry.entries());
    let files =
        files.filter(|(_, entry)| config.role == Role::Media || ids.contains(&entry.id.as_str()));
    let text = ward_policy::vendor::document(files.map(|(file, _)| *file));
    handed.push(("registry", document("registry", &text).map_err(system)?));
    let none = Secret::new(String::new());
    let keys = boot.secrets.get("vendor-keys").unwrap_or(&none);
    handed.push(("vendor-keys", document("vendor-keys", keys.expose()).map_err(system)?));
    let settings = config.broker_document(&boot.name_servers);
    handed.push((BROKER_SETTINGS, document(BROKER_SETTINGS, &settings).map_err(system)?));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_supervisor_has_a_word_for_each_status() {
        for (status, word) in
            [(64, "descriptors"), (66, "certificate"), (68, "cell"), (0, "unexpected")]
        {
            assert_eq!(ended(status, 0).fields[0].1, word);
        }
        assert_eq!(ended(69, 0).code, code::BUDGET);
    }

    #[test]
    fn the_registry_that_is_compiled_in_is_one() {
        let registry = Registry::parse(BUILT_IN.iter().copied()).unwrap();
        assert_eq!(registry.entries().len(), BUILT_IN.len());
        assert!(registry.sink_plan("nobody").is_none());
    }

    #[test]
    fn a_document_is_renewed_in_its_place_and_none_is_added() {
        let mut handed = vec![
            ("settings", document("settings", "a").unwrap()),
            (BROKER_SETTINGS, document(BROKER_SETTINGS, "before").unwrap()),
        ];
        renew(&mut handed, BROKER_SETTINGS, "after").unwrap();
        renew(&mut handed, "vendor-keys", "x").unwrap();
        let texts = handed
            .into_iter()
            .map(|(name, one)| (name, io::read_to_string(std::fs::File::from(one)).unwrap()));
        let expected = [("settings", "a".to_owned()), (BROKER_SETTINGS, "after".to_owned())];
        assert_eq!(texts.collect::<Vec<_>>(), expected);
    }
}
