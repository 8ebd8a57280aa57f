//! The broker, from its first line to its last. It decides nothing itself.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::ExitCode;
use std::sync::Arc;

use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Semaphore, watch as changes};
use ward_edge::allowance::Allowance;
use ward_edge::cell;
use ward_edge::clock::Clock;
use ward_edge::egress::{Question, send_grant, send_refusal};
use ward_edge::handed::{Handed, read_document};
use ward_edge::log::Log;
use ward_edge::panic::{Strategy, install};
use ward_edge::start::{StartError, exit_code};
use ward_policy::audit::{Event, Finding, Role};
use ward_policy::cell::Target;
use ward_policy::data_class::DataClass;
use ward_policy::fault::DialFault;
use ward_policy::limit;
use ward_policy::vendor::Registry;
use ward_policy::vendor_id::VendorId;
use ward_sys::readiness::watch;

use crate::answer::{Answered, Answering};
use crate::dial::Dialler;
use crate::keys::Keys;
use crate::live::{Live, hold};
use crate::settings::BrokerSettings;

/// Name servers answer over TCP what is too long for a datagram.
const DNS_PORT: u16 = 53;

/// Runs the role until it is ended.
pub fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    exit_code(start(arguments))
}

fn start(arguments: impl Iterator<Item = String>) -> Result<Infallible, StartError> {
    let mut handed = Handed::adopt(arguments).map_err(|_handed| StartError::Handed)?;
    let sink = handed.log.take().ok_or(StartError::Handed)?;
    let clock = Clock::start();
    let log = Log::new(Role::Broker, clock, sink);
    install(Strategy::Abort, log.clone());
    let target = handed.target.ok_or(StartError::Handed)?;
    // Read before the layers are on, because one of them is made of it.
    let document = read_document(handed.registry.take(), "registry");
    let registry = registry(document.map_err(|_document| StartError::Handed)?.expose())?;
    let document = read_document(handed.broker_settings.take(), "broker-settings");
    let document = document.map_err(|_document| StartError::Handed)?;
    let settings =
        BrokerSettings::parse(document.expose()).map_err(|_problems| StartError::Settings)?;
    let keys = handed.vendor_keys.take().ok_or(StartError::Handed)?;
    let keys = Keys::read(keys).map_err(|_keys| StartError::Settings)?;
    let mut ports: Vec<u16> =
        registry.entries().iter().flat_map(|entry| &entry.hosts).map(|host| host.port).collect();
    ports.extend(settings.nameservers.iter().map(std::net::SocketAddr::port));
    ports.push(DNS_PORT);
    let entered = cell::enter(Role::Broker, target, &handed, &ports, &log)?;
    let has_hosts = !settings.hosts.is_empty();
    // For tests and development: a machine that serves patients asks a name server.
    if has_hosts && target == Target::Image {
        return Err(StartError::Settings);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let dialler = Dialler::new(settings).ok_or(StartError::System)?;
        let answering = Arc::new(Answering { registry, dialler, keys });
        let channels = std::mem::take(&mut handed.broker);
        let workers = u16::try_from(channels.len()).unwrap_or(u16::MAX);
        let live = Live::default();
        for channel in channels {
            rustix::io::ioctl_fionbio(&channel, true).map_err(std::io::Error::from)?;
            let channel = watch(channel, Interest::READABLE)?;
            let channel = Arc::new(Channel {
                channel,
                answering: Arc::clone(&answering),
                live: live.clone(),
                log: log.clone(),
                clock,
                media: changes::channel(0).0,
            });
            tokio::spawn(channel.serve());
        }
        entered.seal(&log)?;
        if has_hosts {
            log.record(&Event::Finding { finding: Finding::StaticHosts });
        }
        log.record(&Event::Started { workers });
        // It ends with its supervisor, or by its signal.
        match log.keep_metrics().await {}
    })
}

/// The registry's files, in one document: an object of names and texts.
fn registry(document: &str) -> Result<Registry, StartError> {
    let files: Result<BTreeMap<String, String>, _> = serde_json::from_str(document);
    let files = files.map_err(|_shape| StartError::Handed)?;
    let files = files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    Registry::parse(files).map_err(|_problems| StartError::Settings)
}

/// The channel of one worker of media's.
struct Channel {
    channel: AsyncFd<OwnedFd>,
    answering: Arc<Answering>,
    live: Live,
    log: Log,
    clock: Clock,
    /// Changes when another media server begins.
    media: changes::Sender<u64>,
}

impl Channel {
    async fn serve(self: Arc<Self>) {
        let dials = Arc::new(Semaphore::new(limit::DIALS_AT_ONCE_MAX));
        let mut allowance = Allowance::new(
            limit::QUESTIONS_BURST_MAX,
            limit::QUESTIONS_PER_SECOND_MAX,
            self.clock.now(),
        );
        loop {
            // Whoever asks faster than is dialled waits in the channel.
            let Ok(permit) = Arc::clone(&dials).acquire_owned().await else { return };
            let Ok(question) = self.question().await else { return };
            if !allowance.allows(self.clock.now()) {
                // Said once in a while, however often it is so.
                tokio::time::sleep(limit::QUESTION_PAUSE).await;
                let number = question.map_or(0, |question| question.number());
                self.refuse(number, None, DialFault::TooManyQuestions);
                continue;
            }
            match question {
                Some(Question::Begin) => {
                    self.media.send_modify(|life| *life = life.wrapping_add(1));
                }
                Some(Question::Dial { number, class, vendor }) => {
                    let this = Arc::clone(&self);
                    tokio::spawn(async move {
                        this.dial(number, class, vendor).await;
                        drop(permit);
                    });
                }
                None => self.refuse(0, None, DialFault::BadQuestion),
            }
        }
    }

    /// The next question; `None` for what is none.
    ///
    /// An empty message is none, and so is the end, which does not come while the supervisor lives.
    async fn question(&self) -> std::io::Result<Option<Question>> {
        let mut buffer = [0; limit::QUESTION_BYTES_MAX];
        loop {
            let mut ready = self.channel.readable().await?;
            match recv(self.channel.get_ref(), &mut buffer, RecvFlags::TRUNC) {
                // A longer one was cut: no question has such a length.
                Ok((_, length)) => return Ok(buffer.get(..length).and_then(Question::parse)),
                Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(rustix::io::Errno::INTR) => {}
                Err(broken) => return Err(broken.into()),
            }
        }
    }

    async fn dial(&self, number: u64, class: DataClass, vendor: VendorId) {
        let media = self.media.subscribe();
        let answered = match self.live.place() {
            Ok(place) => {
                self.answering.answer(vendor, class).await.map(|answered| (answered, place))
            }
            Err(reason) => Err(reason),
        };
        let (answered, place) = match answered {
            Ok(answered) => answered,
            Err(reason) => return self.refuse(number, Some(vendor), reason),
        };
        let Answered { connection, terms, token, term } = answered;
        let (channel, token) = (self.channel.get_ref().as_fd(), token.expose().as_bytes());
        // A media server that does not read its answers does not get this one; the connection ends here.
        if send_grant(channel, number, &terms, token, connection.as_fd()).is_err() {
            return self.log.record(&Event::VendorRefused {
                vendor: Some(vendor),
                reason: DialFault::TooManyQuestions,
            });
        }
        self.log.record(&Event::VendorDialled {
            vendor,
            session_max_s: u32::try_from(terms.session_max.as_secs()).unwrap_or(u32::MAX),
            token_ttl_s: u32::try_from(terms.token_ttl.as_secs()).unwrap_or(u32::MAX),
        });
        tokio::spawn(hold(connection, vendor, term, media, place, self.log.clone()));
    }

    fn refuse(&self, number: u64, vendor: Option<VendorId>, reason: DialFault) {
        self.log.record(&Event::VendorRefused { vendor, reason });
        // A media server that does not read learns it by its own deadline.
        send_refusal(self.channel.get_ref().as_fd(), number, reason).unwrap_or_default();
    }
}
