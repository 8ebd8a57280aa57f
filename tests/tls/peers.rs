//! Peers of other people's making, `openssl s_server`, with certificates that are wrong in one way each.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};

/// A folder that ends with the test.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ward-tls-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// An authority that signs whatever a test wants.
pub(crate) struct Issuer(CertifiedIssuer<'static, KeyPair>);

/// A certificate with the chain behind it, and its key, in PEM.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) chain: String,
    pub(crate) key: String,
}

fn authority(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    parameters
}

impl Issuer {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(authority("a test's root"), key).unwrap())
    }

    pub(crate) fn certificate(&self) -> String {
        self.0.pem()
    }

    /// A certificate for `name`; expired, if it is to be.
    pub(crate) fn issue(&self, name: &str, is_expired: bool) -> Shown {
        let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if is_expired {
            parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
            parameters.not_after = rcgen::date_time_ymd(2021, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let leaf = parameters.signed_by(&key, &self.0).unwrap();
        Shown { chain: leaf.pem(), key: key.serialize_pem() }
    }

    /// The same from an authority between this one and the leaf.
    pub(crate) fn issue_through_another(&self, name: &str) -> Shown {
        let key = KeyPair::generate().unwrap();
        let between = authority("a test's other authority");
        let between = CertifiedIssuer::signed_by(between, key, &self.0).unwrap();
        let parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = parameters.signed_by(&key, &between).unwrap();
        Shown { chain: format!("{}{}", leaf.pem(), between.pem()), key: key.serialize_pem() }
    }

    /// One that `openssl` makes, for keys that nobody here makes: `key` is what `genpkey` takes.
    pub(crate) fn issue_weak(&self, name: &str, key: &[&str], digest: &str) -> Shown {
        let folder = Folder::new();
        let root = folder.write("root.pem", &self.certificate());
        let root_key = folder.write("root-key.pem", &self.0.key().serialize_pem());
        let more = folder.write("names", &format!("subjectAltName=DNS:{name}\n"));
        let (leaf_key, request, leaf) =
            (folder.path().join("key"), folder.path().join("request"), folder.path().join("leaf"));
        let key = [&["genpkey", "-out", path(&leaf_key)], key].concat();
        openssl(&key);
        openssl(&[
            "req",
            "-new",
            "-key",
            path(&leaf_key),
            "-subj",
            "/CN=x",
            "-out",
            path(&request),
        ]);
        openssl(&[
            "x509",
            "-req",
            "-in",
            path(&request),
            "-CA",
            path(&root),
            "-CAkey",
            path(&root_key),
            "-CAcreateserial",
            "-days",
            "30",
            digest,
            "-extfile",
            path(&more),
            "-out",
            path(&leaf),
        ]);
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        Shown { chain: read(&leaf), key: read(&leaf_key) }
    }
}

/// A certificate that vouches for itself.
pub(crate) fn self_signed(name: &str) -> Shown {
    let parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = parameters.self_signed(&key).unwrap();
    Shown { chain: leaf.pem(), key: key.serialize_pem() }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn openssl(arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A running peer.
#[derive(Debug)]
pub(crate) struct Peer {
    child: Child,
    pub(crate) port: u16,
    _folder: Folder,
}

impl Peer {
    /// Shows `shown`, and is started with `more`.
    pub(crate) fn start(shown: &Shown, more: &[&str]) -> Self {
        let folder = Folder::new();
        let chain = folder.write("chain.pem", &shown.chain);
        let key = folder.write("key.pem", &shown.key);
        let port = {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            listener.local_addr().unwrap().port()
        };
        let mut command = Command::new("openssl");
        // The machine's own idea of what is too old is left out: this is about ours.
        command.env("OPENSSL_CONF", "/dev/null");
        command.args(["s_server", "-quiet", "-accept", &format!("127.0.0.1:{port}")]);
        command.arg("-cert").arg(&chain).arg("-cert_chain").arg(&chain).arg("-key").arg(&key);
        command.args(more);
        // Its standard input stays open: at its end it would end.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(Instant::now() < until, "no peer with {more:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { child, port, _folder: folder }
    }

    /// Whether somebody who believes anything and speaks everything can speak with it.
    pub(crate) fn is_there(&self) -> bool {
        // A curve that is not asked for is not shown, and then the peer is there for nobody.
        let curves = "P-224:P-256:P-384:X25519";
        let said = client(self.port, &["-cipher", "ALL:@SECLEVEL=0", "-groups", curves], "");
        said.contains("BEGIN CERTIFICATE") && !said.contains("Cipher is (NONE)")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What `openssl s_client` says when it connects and is told `input`.
pub(crate) fn client(port: u16, more: &[&str], input: &str) -> String {
    let mut command = Command::new("openssl");
    command.env("OPENSSL_CONF", "/dev/null");
    command.args([
        "s_client",
        "-connect",
        &format!("127.0.0.1:{port}"),
        "-servername",
        "localhost",
    ]);
    command.args(more);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut words = child.stdin.take().unwrap();
    words.write_all(input.as_bytes()).unwrap();
    // What it is told needs its time.
    std::thread::sleep(Duration::from_millis(if input.is_empty() { 300 } else { 1_500 }));
    drop(words);
    let until = Instant::now() + Duration::from_secs(5);
    while child.try_wait().unwrap().is_none() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(child.kill());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}
