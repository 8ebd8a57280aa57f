//! What stands around a machine in a test: a network of its own with a DHCP server of somebody else's making (dnsmasq), a responder
//! that sends calls to the machine, settings, a certificate, secrets.
//!
//! Everything is in a network namespace without a way out. Needs root.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;
use ward_tests::binaries::{release, root};
use ward_tests::network::enter_network;
use ward_tests::servers::{
    ACCOUNT, Running, TOKEN, ca_certificate, client_config, identity_of, settings,
};
use ward_tests::spoken_call::SpokenCall;

/// This side of the wire.
pub(crate) const HERE: &str = "10.44.0.1";
/// The address that the machine gets.
pub(crate) const GUEST: &str = "10.44.0.2";
/// The address of the card that QEMU gives a machine which asks for no other.
const GUEST_CARD: &str = "52:54:00:12:34:56";
/// How long one try for a connection waits: what is sent to a machine without an address is lost.
const TRY: Duration = Duration::from_millis(50);
/// The wire's end here; `Plan::tap`.
pub(crate) const TAP: &str = "guest";
/// What the DHCP server says the wire takes; no guess would find it.
pub(crate) const MTU: u32 = 1_408;

/// The surroundings; they end with the test.
#[derive(Debug)]
pub(crate) struct Lab {
    folder: PathBuf,
    responder: Running,
    dhcp: Process,
}

#[derive(Debug)]
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Lab {
    /// Moves this thread into the network and starts what stands in it, for a machine that greets its callers.
    pub(crate) fn new(folder: &Path) -> Self {
        Self::of_agent("greeter", folder)
    }

    /// The same, for a machine with another agent.
    pub(crate) fn of_agent(agent: &str, folder: &Path) -> Self {
        // In the network that this thread moves to nothing can be built: cargo would wait for a registry.
        drop(release("ward-init"));
        enter_network(&[]);
        ip(&["tuntap", "add", "dev", TAP, "mode", "tap"]);
        ip(&["address", "add", &format!("{HERE}/24"), "dev", TAP]);
        ip(&["link", "set", TAP, "up"]);
        // Asked for once a second until it is there, it would be found up to a second late.
        ip(&["neighbour", "add", GUEST, "lladdr", GUEST_CARD, "dev", TAP, "nud", "permanent"]);
        // Where a server answers everyone.
        ip(&["route", "add", "255.255.255.255", "dev", TAP]);
        let dhcp = dhcp(folder);
        let responder = Running::twiml(&format!(
            "MEDIA_WSS_URL=wss://{GUEST}\nNEXT_PUBLIC_SITE_URL=https://localhost:{{port}}"
        ));
        std::fs::write(folder.join("ca.pem"), ca_certificate()).unwrap();
        std::fs::write(folder.join("token"), TOKEN).unwrap();
        let identity = identity_of(GUEST);
        std::fs::write(folder.join("tls-chain"), &identity.chain).unwrap();
        std::fs::write(folder.join("tls-key"), identity.key.expose()).unwrap();
        let values = settings(&format!("MEDIA_WSS_URL=wss://{GUEST}")).handshake_values().unwrap();
        let lines: String = values.iter().map(|value| format!("{}\n", value.to_base64())).collect();
        std::fs::write(folder.join("handshake"), lines).unwrap();
        let configuration = format!(
            "role = \"media\"\n[settings]\nTWILIO_ACCOUNT_SID = \"{ACCOUNT}\"\n\
             MEDIA_AGENT = \"{agent}\"\n"
        );
        std::fs::write(folder.join("ward.toml"), configuration).unwrap();
        Self { folder: folder.to_owned(), responder, dhcp }
    }

    /// Has the machine ask the time of a server at this end.
    pub(crate) fn name_time_server(&self) {
        let mut settings = std::fs::read_to_string(self.configuration()).unwrap();
        settings += &format!("[clock]\nservers = [\"{HERE}\"]\n");
        std::fs::write(self.configuration(), settings).unwrap();
    }

    /// The settings as a file.
    pub(crate) fn configuration(&self) -> PathBuf {
        self.folder.join("ward.toml")
    }

    /// What the lab hands a machine past its disk: certificate and secrets, and the settings if `with_settings`.
    pub(crate) fn handed(&self, with_settings: bool) -> Vec<(String, PathBuf)> {
        let secret = |name: &str| (format!("opt/org.ward/secret/{name}"), self.folder.join(name));
        let mut all: Vec<_> = ["tls-chain", "tls-key", "handshake"].map(secret).into();
        if with_settings {
            all.push(("opt/org.ward/config".to_owned(), self.configuration()));
        }
        all
    }

    /// Stops answering.
    pub(crate) fn silence_dhcp(&mut self) {
        drop(self.dhcp.0.kill());
        drop(self.dhcp.0.wait());
    }

    /// Answers again.
    pub(crate) fn answer_dhcp(&mut self) {
        self.dhcp = dhcp(&self.folder);
    }

    /// A whole spoken call from outside, through the responder and port 443 of the machine.
    pub(crate) fn call(&self) -> SpokenCall {
        let output = self.caller(&root().join("tests/corpus/appointment.wav")).output().unwrap();
        let figures = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{figures}\n{}", String::from_utf8_lossy(&output.stderr));
        SpokenCall::read(
            &figures,
            &self.folder.join("packets.jsonl"),
            &self.folder.join("heard.wav"),
        )
    }

    /// The caller that says `audio`, ready to be started.
    pub(crate) fn caller(&self, audio: &Path) -> Command {
        let file = |name: &str| self.folder.join(name);
        let mut caller = Command::new(release("ward"));
        caller
            .args([
                "call",
                "--json",
                "--dtmf",
                "5*",
                "--account-sid",
                ACCOUNT,
                "--hangup-after",
                "45",
            ])
            .arg("--webhook")
            .arg(format!("https://localhost:{}/api/voice/incoming", self.responder.port))
            .arg("--auth-token-file")
            .arg(file("token"))
            .arg("--ca")
            .arg(file("ca.pem"))
            .arg("--audio")
            .arg(audio)
            .arg("--record")
            .arg(file("heard.wav"))
            .arg("--packets")
            .arg(file("packets.jsonl"));
        caller
    }

    /// When the machine completes a TLS handshake, tried again and again from now on.
    pub(crate) fn first_handshake(&self, limit: Duration) -> Instant {
        let until = Instant::now() + limit;
        let address: SocketAddr = format!("{GUEST}:443").parse().unwrap();
        let name = ServerName::try_from(GUEST).unwrap();
        while Instant::now() < until {
            if let Ok(socket) = TcpStream::connect_timeout(&address, TRY) {
                socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                let connection =
                    ClientConnection::new(Arc::clone(&client_config()), name.clone()).unwrap();
                let mut stream = StreamOwned::new(connection, socket);
                if stream.conn.complete_io(&mut stream.sock).is_ok() {
                    return Instant::now();
                }
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("no handshake within {limit:?}");
    }
}

fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status().unwrap();
    assert!(status.success(), "ip {arguments:?}");
}

fn dhcp(folder: &Path) -> Process {
    let child = Command::new("dnsmasq")
        .args([
            "--no-daemon",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
            "--user=root",
            "--pid-file=",
        ])
        .args([
            "--port=0",
            "--no-ping",
            "--bind-interfaces",
            &format!("--interface={TAP}"),
            "--dhcp-authoritative",
        ])
        .arg(format!("--dhcp-range={GUEST},{GUEST},2m"))
        .arg(format!("--dhcp-option=option:router,{HERE}"))
        .arg(format!("--dhcp-option=option:dns-server,{HERE}"))
        .arg(format!("--dhcp-option=option:mtu,{MTU}"))
        .arg(format!("--dhcp-option=option:classless-static-route,0.0.0.0/0,{HERE}"))
        .arg(format!("--dhcp-leasefile={}", folder.join("leases").display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("package dnsmasq-base");
    Process(child)
}
