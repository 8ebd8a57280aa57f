//! Both servers on free loopback ports, with a development CA of the test process.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use ward::acme::Acme;
use ward::development_ca::{DevelopmentCa, Identity};
use ward::launch::{Plan, Server, launch, listen};
use ward::settings::AllSettings;
use ward::vendors::Vendors;
use ward_policy::audit::Role;
use ward_policy::phi::Secret;
use ward_twilio::handshake::document;
use ward_twilio::signature::Signature;
use ward_twilio::ticket::TicketPublicKeys;

use crate::binaries;
use crate::logs::Logs;

/// The account of every test.
pub const ACCOUNT: &str = "AC00000000000000000000000000000000";
/// The auth token of every test, and of the published vectors.
pub const TOKEN: &str = "12345";
/// What Twilio sends on a handshake for `wss://media.example.com/rtm/voice` (vector V-W1).
pub const HANDSHAKE: &str = "hT6TllFCjXqRGzPszuGWRqAQ2lY=";

fn ca() -> &'static DevelopmentCa {
    static CA: OnceLock<DevelopmentCa> = OnceLock::new();
    CA.get_or_init(|| DevelopmentCa::new().unwrap())
}

/// The CA's certificate in PEM.
#[must_use]
pub fn ca_certificate() -> String {
    ca().certificate()
}

/// A certificate of the CA for `localhost`.
#[must_use]
pub fn identity() -> Identity {
    ca().issue(&["localhost"]).unwrap()
}

/// A certificate of the CA for `name`.
#[must_use]
pub fn identity_of(name: &str) -> Identity {
    ca().issue(&[name]).unwrap()
}

/// A certificate of the CA for all of `names`.
#[must_use]
pub fn identity_of_all(names: &[&str]) -> Identity {
    ca().issue(names).unwrap()
}

/// A client that trusts the CA.
#[must_use]
pub fn client_config() -> Arc<ClientConfig> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    Arc::clone(CONFIG.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca_certificate().as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }))
}

/// A running server.
#[derive(Debug)]
pub struct Running {
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// What it has logged.
    pub logs: Logs,
    /// The private key of its certificate, in PEM.
    pub key: String,
    role: Role,
    server: Server,
}

/// Settings that both servers start with, and `more`.
#[must_use]
pub fn settings(more: &str) -> AllSettings {
    // A setting in `more` stands instead of the one here.
    let names: Vec<&str> = more.lines().filter_map(|line| line.split('=').next()).collect();
    let base = format!(
        "MEDIA_WSS_URL=wss://media.example.com\nNEXT_PUBLIC_SITE_URL=https://www.example.com\n\
         TWILIO_ACCOUNT_SID={ACCOUNT}\nTWILIO_AUTH_TOKEN={TOKEN}\nMEDIA_AGENT=echo\n"
    );
    let kept = base.lines().filter(|line| !names.iter().any(|name| line.starts_with(name)));
    let document: String = kept.chain(more.lines()).map(|line| format!("{line}\n")).collect();
    AllSettings::from_document(&document)
}

/// One listener on a free port of loopback.
#[must_use]
pub fn listen_once() -> Vec<TcpListener> {
    listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), 1).unwrap()
}

/// How a server is started here, with everything that differs as an argument.
fn plan(
    role: Role,
    all: &AllSettings,
    listeners: Vec<TcpListener>,
    identity: Identity,
    followed: Secret<String>,
) -> Plan {
    let (name, settings) = match role {
        Role::Media => ("ward-media", all.media_document()),
        Role::Twiml => ("ward-twiml", all.twiml_document()),
        _ => panic!("the others are started with their server"),
    };
    Plan {
        role,
        target: ward::launch::target(),
        executable: Some(binaries::release(name)),
        listeners,
        settings,
        identity: Some(identity),
        acme: None,
        followed,
        vendors: (role == Role::Media).then(Vendors::built_in),
    }
}

impl Running {
    /// A media server with one worker and `more` settings, in which `{port}` stands for its own port.
    #[must_use]
    pub fn media(more: &str) -> Self {
        Self::start(Role::Media, more)
    }

    /// The same with so many workers.
    #[must_use]
    pub fn media_of(workers: usize, more: &str) -> Self {
        let listeners = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), workers).unwrap();
        let port = listeners[0].local_addr().unwrap().port();
        let (all, identity) = (settings(more), identity());
        let key = identity.key.expose().clone();
        let followed = all.followed(Role::Media).unwrap();
        let plan = plan(Role::Media, &all, listeners, identity, followed);
        let (server, log) = launch(plan).unwrap();
        Self { role: Role::Media, port, logs: Logs::of_server(log), key, server }.begun()
    }

    /// A variant of the media server, `tests/variants`, in the same way.
    #[must_use]
    pub fn media_variant(name: &str, more: &str) -> Self {
        Self::start_executable(Role::Media, more, Some(binaries::variant(name)))
    }

    /// A responder with one worker and `more` settings.
    #[must_use]
    pub fn twiml(more: &str) -> Self {
        Self::start(Role::Twiml, more)
    }

    /// The exit status of a server that is to refuse its settings.
    ///
    /// What media follows is rightful, so that nothing but the settings can be wrong.
    #[must_use]
    pub fn refused_status(role: Role, more: &str) -> Option<i32> {
        let followed = match role {
            Role::Twiml => settings(more).credentials(),
            _ => settings("").followed(role).unwrap(),
        };
        let plan = plan(role, &settings(more), listen_once(), identity(), followed);
        let (mut server, _log) = launch(plan).unwrap();
        server.exit_status()
    }

    fn start(role: Role, more: &str) -> Self {
        Self::start_executable(role, more, None)
    }

    fn start_executable(role: Role, more: &str, variant: Option<PathBuf>) -> Self {
        let listeners = listen_once();
        let port = listeners[0].local_addr().unwrap().port();
        let all = settings(&more.replace("{port}", &port.to_string()));
        let identity = identity();
        let key = identity.key.expose().clone();
        let followed = all.followed(role).unwrap();
        let mut plan = plan(role, &all, listeners, identity, followed);
        plan.executable = variant.or(plan.executable);
        let (server, log) = launch(plan).unwrap();
        Self { role, port, logs: Logs::of_server(log), key, server }.begun()
    }

    /// A media server with one worker, `more` settings and the vendors that it may reach.
    #[must_use]
    pub fn media_with(vendors: Vendors, executable: Option<PathBuf>, more: &str) -> Self {
        let listeners = listen_once();
        let port = listeners[0].local_addr().unwrap().port();
        let all = settings(more);
        let followed = all.followed(Role::Media).unwrap();
        let identity = identity();
        let key = identity.key.expose().clone();
        let mut plan = plan(Role::Media, &all, listeners, identity, followed);
        plan.vendors = Some(vendors);
        plan.executable = executable.or(plan.executable);
        let (server, log) = launch(plan).unwrap();
        Self { role: Role::Media, port, logs: Logs::of_server(log), key, server }
    }

    /// A responder with one worker whose log goes to the sink that `vendors` names.
    #[must_use]
    pub fn twiml_with(vendors: Vendors) -> Self {
        let listeners = listen_once();
        let port = listeners[0].local_addr().unwrap().port();
        let identity = identity();
        let key = identity.key.expose().clone();
        let all = settings("");
        let followed = all.followed(Role::Twiml).unwrap();
        let mut plan = plan(Role::Twiml, &all, listeners, identity, followed);
        plan.vendors = vendors.infrastructure_alone(false).unwrap();
        let (server, log) = launch(plan).unwrap();
        Self { role: Role::Twiml, port, logs: Logs::of_server(log), key, server }.begun()
    }

    /// A server that shows `identity`.
    #[must_use]
    pub fn showing(role: Role, identity: Identity) -> Self {
        let listeners = listen_once();
        let port = listeners[0].local_addr().unwrap().port();
        let all = settings("");
        let followed = all.followed(role).unwrap();
        let key = identity.key.expose().clone();
        let plan = plan(role, &all, listeners, identity, followed);
        let (server, log) = launch(plan).unwrap();
        Self { role, port, logs: Logs::of_server(log), key, server }.begun()
    }

    /// The exit status of a server that is to refuse `identity`.
    #[must_use]
    pub fn status_showing(role: Role, identity: Identity) -> Option<i32> {
        let all = settings("");
        let followed = all.followed(role).unwrap();
        let (mut server, _log) =
            launch(plan(role, &all, listen_once(), identity, followed)).unwrap();
        server.exit_status()
    }

    /// A server whose certificates an authority issues, on a port that it is told.
    ///
    /// `begun` is not waited for: it has no certificate yet.
    #[must_use]
    pub fn certified(
        role: Role,
        listeners: Vec<TcpListener>,
        vendors: Vendors,
        acme: Acme,
    ) -> Self {
        let port = listeners[0].local_addr().unwrap().port();
        let all = settings("");
        let followed = all.followed(role).unwrap();
        let mut plan = plan(role, &all, listeners, identity(), followed);
        plan.identity = None;
        plan.acme = Some(acme);
        plan.vendors = Some(vendors);
        let (server, log) = launch(plan).unwrap();
        Self { role, port, logs: Logs::of_server(log), key: String::new(), server }
    }

    fn begun(self) -> Self {
        drop(self.logs.first("started"));
        self
    }

    /// The server's process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process(self.role)
    }

    /// The process that plays `role`, once there is one.
    #[must_use]
    pub fn process(&self, role: Role) -> u32 {
        let until = Instant::now() + Duration::from_secs(5);
        loop {
            match self.server.process(role) {
                Some(id) => return id,
                None if Instant::now() < until => std::thread::sleep(Duration::from_millis(5)),
                None => panic!("no {} in:\n{}", role.name(), self.logs.text()),
            }
        }
    }

    /// The launcher's handle.
    pub const fn server(&mut self) -> &mut Server {
        &mut self.server
    }

    /// Replaces what the media server compares signatures with.
    pub fn expect_signatures(&mut self, values: &[Signature]) {
        let followed = document(values, &TicketPublicKeys::default());
        self.server.replace(&followed).unwrap();
    }

    /// Gives the server what may be replaced of other settings, as `ward run` does on SIGHUP.
    pub fn follow(&mut self, more: &str) {
        let all = settings(&more.replace("{port}", &self.port.to_string()));
        self.server.replace(&all.followed(self.role).unwrap()).unwrap();
    }

    /// Sends the stop signal.
    pub fn terminate(&self) {
        self.server.terminate();
    }

    /// Ends the server.
    pub fn stop(&mut self) {
        self.server.stop(Duration::from_secs(3));
    }
}
