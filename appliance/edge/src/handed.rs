//! What the launcher hands down: open descriptors, named on the command line.
//!
//! `NAME=NUMBER` for each, for instance `listener=3 listener=4 settings=5 log=6`, and `target=NAME` for the
//! kind of machine. The server opens
//! nothing: no file, no socket, no environment variable. Documents are read to their end and closed.

use std::fs::File;
use std::io::Read as _;
use std::net::TcpListener;
use std::os::fd::{OwnedFd, RawFd};

use ward_policy::audit::Role;
use ward_policy::cell::Target;
use ward_policy::certificate::CertificateSource;
use ward_policy::limit;
use ward_policy::phi::Secret;
use ward_sys::descriptor::{DescriptorError, adopt};

/// Everything that was handed down.
#[derive(Debug, Default)]
pub struct Handed {
    /// One listening socket per worker.
    pub listeners: Vec<TcpListener>,
    /// The settings document.
    pub settings: Option<OwnedFd>,
    /// The certificate chain in PEM, leaf first.
    pub tls_chain: Option<OwnedFd>,
    /// Channels between a server and the process that signs for it, one a worker.
    pub sign: Vec<OwnedFd>,
    /// The certificate's private key in PEM; only the signing process gets it.
    pub tls_key: Option<OwnedFd>,
    /// Where a server's document that may be replaced while it runs arrives: for media what handshakes are compared
    /// with, for the responder its auth tokens and ticket key.
    pub handshake: Option<OwnedFd>,
    /// Where this process's own log lines go.
    pub log: Option<OwnedFd>,
    /// Where the log itself goes; only the process that writes it gets it.
    pub sink: Option<OwnedFd>,
    /// The log lines of the other processes, to be judged; `from-ROLE=NUMBER`.
    pub pipes: Vec<(Role, OwnedFd)>,
    /// Channels between the media server and the broker, one a worker; for the log its own.
    pub broker: Vec<OwnedFd>,
    /// The broker's end of the channel between it and the log.
    pub log_asks: Option<OwnedFd>,
    /// Whom the log is sent to; only the process that writes it gets it.
    pub log_sink: Option<OwnedFd>,
    /// The broker's settings.
    pub broker_settings: Option<OwnedFd>,
    /// The vendor registry; only the broker gets it.
    pub registry: Option<OwnedFd>,
    /// The vendors' keys; only the broker gets them.
    pub vendor_keys: Option<OwnedFd>,
    /// Where the launcher sends the supervisor new documents, and the supervisor its helpers new channels.
    pub control: Option<OwnedFd>,
    /// Channels on which the broker orders of `sign` what an authority wants to see.
    pub orders: Vec<OwnedFd>,
    /// The channel on which the broker tells a server which certificate to show.
    pub instructions: Option<OwnedFd>,
    /// The names that certificates are asked for, one a line.
    pub names: Option<OwnedFd>,
    /// Where a server says that it serves: one byte, to whoever started everything.
    pub ready: Option<OwnedFd>,
    /// Where the network role tells PID 1 what it did.
    pub news: Option<OwnedFd>,
    /// The hypervisor's clock; only the network role gets it.
    pub ptp: Option<OwnedFd>,
    /// Where a role keeps what outlives it.
    pub kept: Option<OwnedFd>,
    /// The key that seals it.
    pub seal: Option<OwnedFd>,
    /// The same for `sign`, on their way through the supervisor.
    pub sign_kept: Option<OwnedFd>,
    /// See [`Self::sign_kept`].
    pub sign_seal: Option<OwnedFd>,
    /// Where the certificate comes from, `certificate=NAME`.
    pub certificate: Option<CertificateSource>,
    /// The kind of machine, `target=NAME`: it decides which layers the cell must have.
    pub target: Option<Target>,
    /// The launcher's process, `launcher=PID`: this one ends with it.
    pub launcher: Option<u32>,
    /// How many channels a helper will have at once, `workers=COUNT`.
    pub workers: usize,
    /// The number of every descriptor above.
    pub numbers: Vec<RawFd>,
}

/// Why the command line cannot be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandedError {
    /// Not `NAME=NUMBER` with a known name.
    #[error("an argument is not NAME=NUMBER with a known name")]
    Argument,
    /// A name that stands once was given twice.
    #[error("a descriptor of one kind was handed down twice")]
    Twice,
    /// The number is no descriptor of ours.
    #[error("{0}")]
    Descriptor(#[from] DescriptorError),
    /// The log is neither a pipe, a socket nor a console.
    #[error("the log is neither a pipe, a socket nor a console")]
    Log,
    /// Something that the server needs was not handed down.
    #[error("no {0} was handed down")]
    Absent(&'static str),
    /// A document is longer than [`limit::DOCUMENT_BYTES_MAX`], unreadable or no UTF-8.
    #[error("the {0} document is too long or not text")]
    Document(&'static str),
}

impl Handed {
    /// Adopts every descriptor that `arguments` name.
    ///
    /// # Errors
    /// [`HandedError`]: the launcher is wrong, and the server should not start.
    pub fn adopt(arguments: impl Iterator<Item = String>) -> Result<Self, HandedError> {
        let mut handed = Self::default();
        for argument in arguments {
            let (name, number) = argument.split_once('=').ok_or(HandedError::Argument)?;
            if handed.take_word(name, number)? {
                continue;
            }
            let number = number.parse().map_err(|_number| HandedError::Argument)?;
            handed.numbers.push(number);
            if let Some(from) = name.strip_prefix("from-") {
                let role = Role::from_name(from).ok_or(HandedError::Argument)?;
                handed.pipes.push((role, adopt(number)?));
                continue;
            }
            let slot = match name {
                "listener" => {
                    handed.listeners.push(TcpListener::from(adopt(number)?));
                    continue;
                }
                "sign" => {
                    handed.sign.push(adopt(number)?);
                    continue;
                }
                "broker" => {
                    handed.broker.push(adopt(number)?);
                    continue;
                }
                "orders" => {
                    handed.orders.push(adopt(number)?);
                    continue;
                }
                "settings" => &mut handed.settings,
                "tls-chain" => &mut handed.tls_chain,
                "tls-key" => &mut handed.tls_key,
                "handshake" => &mut handed.handshake,
                "log" => &mut handed.log,
                "sink" => &mut handed.sink,
                "broker-settings" => &mut handed.broker_settings,
                "log-asks" => &mut handed.log_asks,
                "log-sink" => &mut handed.log_sink,
                "registry" => &mut handed.registry,
                "vendor-keys" => &mut handed.vendor_keys,
                "control" => &mut handed.control,
                "instructions" => &mut handed.instructions,
                "names" => &mut handed.names,
                "ready" => &mut handed.ready,
                "news" => &mut handed.news,
                "ptp" => &mut handed.ptp,
                "kept" => &mut handed.kept,
                "seal" => &mut handed.seal,
                "sign-kept" => &mut handed.sign_kept,
                "sign-seal" => &mut handed.sign_seal,
                _ => return Err(HandedError::Argument),
            };
            if slot.is_some() {
                return Err(HandedError::Twice);
            }
            let descriptor = adopt(number)?;
            // Files may not grow in a cell: a line written to one would end the process.
            if matches!(name, "log" | "sink") && !may_be_log(&descriptor) {
                return Err(HandedError::Log);
            }
            *slot = Some(descriptor);
        }
        Ok(handed)
    }

    /// Takes what is no descriptor; `false` when it must be one.
    fn take_word(&mut self, name: &str, word: &str) -> Result<bool, HandedError> {
        let number = || word.parse().map_err(|_number| HandedError::Argument);
        let is_twice = match name {
            "target" => {
                let target = Target::from_name(word).ok_or(HandedError::Argument)?;
                self.target.replace(target).is_some()
            }
            "certificate" => {
                let source = CertificateSource::from_name(word).ok_or(HandedError::Argument)?;
                self.certificate.replace(source).is_some()
            }
            "launcher" => self.launcher.replace(number()?).is_some(),
            "workers" => {
                self.workers = word.parse().map_err(|_number| HandedError::Argument)?;
                false
            }
            _ => return Ok(false),
        };
        if is_twice { Err(HandedError::Twice) } else { Ok(true) }
    }
}

fn may_be_log(descriptor: &OwnedFd) -> bool {
    rustix::fs::fstat(descriptor).is_ok_and(|stat| {
        let kind = rustix::fs::FileType::from_raw_mode(stat.st_mode);
        kind.is_fifo() || kind.is_socket() || rustix::termios::isatty(descriptor)
    })
}

/// Says on `ready` that this server serves, if anyone wants to know: one byte, and nothing that could be misread. Nothing more can be said
/// there afterwards, whoever speaks for this process then.
pub fn say_ready(ready: Option<OwnedFd>) {
    if let Some(ready) = ready {
        // Whoever asked may be gone, or have been told so often that they know.
        rustix::io::write(&ready, b"r").map(drop).unwrap_or_default();
    }
}

/// Reads a document to its end and closes its descriptor.
///
/// # Errors
/// [`HandedError::Absent`] or [`HandedError::Document`], with `name` for the operator.
pub fn read_document(
    descriptor: Option<OwnedFd>,
    name: &'static str,
) -> Result<Secret<String>, HandedError> {
    let file = File::from(descriptor.ok_or(HandedError::Absent(name))?);
    let mut text = Secret::new(String::new());
    let longest = u64::try_from(limit::DOCUMENT_BYTES_MAX).unwrap_or(u64::MAX);
    let read = file.take(longest.saturating_add(1)).read_to_string(text.expose_mut());
    #[cfg(negative_control)]
    crate::log::leak::leak(text.expose().as_bytes());
    match read {
        Ok(bytes) if bytes <= limit::DOCUMENT_BYTES_MAX => Ok(text),
        _ => Err(HandedError::Document(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::IntoRawFd as _;

    fn check(arguments: &[&str]) -> Result<Handed, HandedError> {
        Handed::adopt(arguments.iter().map(|text| (*text).to_owned()))
    }

    #[test]
    fn a_document_is_adopted_and_read_once() {
        let path = std::env::temp_dir().join(format!("ward-handed-{}", std::process::id()));
        std::fs::write(&path, "A=1\n").unwrap();
        let number = File::open(&path).unwrap().into_raw_fd();
        std::fs::remove_file(&path).unwrap();
        let handed = check(&[&format!("settings={number}")]).unwrap();
        let text = read_document(handed.settings, "settings").unwrap();
        assert_eq!(text.expose(), "A=1\n");
    }

    #[test]
    fn a_wrong_command_line_is_refused() {
        for argument in ["settings", "settings=", "settings=x", "other=3", "=3", "settings=3x"] {
            assert_eq!(check(&[argument]).unwrap_err(), HandedError::Argument, "{argument}");
        }
        assert!(matches!(check(&["log=900"]).unwrap_err(), HandedError::Descriptor(_)));
        assert!(matches!(check(&["log=1"]).unwrap_err(), HandedError::Descriptor(_)));
        // A number that no other test has adopted.
        let file = rustix::io::fcntl_dupfd_cloexec(File::open("/dev/null").unwrap(), 700);
        let file = file.unwrap().into_raw_fd();
        assert_eq!(check(&[&format!("log={file}")]).unwrap_err(), HandedError::Log);
        let absent = read_document(None, "settings").err();
        assert_eq!(absent, Some(HandedError::Absent("settings")));
    }

    #[test]
    fn a_document_that_is_too_long_is_refused() {
        let zero = File::open("/dev/zero").unwrap();
        let error = read_document(Some(zero.into()), "tls-chain").err();
        assert_eq!(error, Some(HandedError::Document("tls-chain")));
    }
}
