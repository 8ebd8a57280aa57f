//! One worker's end of the broker's channel: asks for a vendor by its id and waits for the answer.
//!
//! It names no host and no address, opens nothing, and waits no longer than [`limit::DIAL_ANSWER_DEADLINE`].

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::net::{SendFlags, send};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use tokio::time::timeout;
use ward_edge::egress::{Answer, Grant, Question, Terms, receive};
use ward_policy::data_class::DataClass;
use ward_policy::fault::DialFault;
use ward_policy::limit;
use ward_policy::vendor_id::VendorId;
use ward_sys::readiness::watch;
use ward_sys::secret::{SecretPlace, SecretPool};

/// A short-lived credential of one vendor, in memory for secrets; wiped when dropped.
#[derive(Debug)]
pub struct Token {
    place: SecretPlace,
    length: usize,
}

impl Token {
    /// The token.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.place.bytes().get(..self.length).unwrap_or_default()
    }
}

/// What the broker gave.
#[derive(Debug)]
pub struct Given {
    /// A connected socket that does not block.
    pub connection: OwnedFd,
    /// What goes with it.
    pub terms: Terms,
    /// The token; none for a vendor that asks for none.
    pub token: Option<Token>,
}

/// One worker's end.
pub struct Broker {
    channel: AsyncFd<OwnedFd>,
    tokens: SecretPool,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    number: u64,
    all: BTreeMap<u64, oneshot::Sender<Result<Given, DialFault>>>,
}

impl Broker {
    /// Takes a channel and says that a media server begins; must be called within the worker's runtime.
    ///
    /// # Errors
    /// The operating system's.
    pub fn new(channel: OwnedFd, tokens: SecretPool) -> io::Result<Arc<Self>> {
        // Not blocking already: that is set before the process is sealed.
        send(&channel, &Question::Begin.to_bytes(), SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?;
        let channel = watch(channel, Interest::READABLE)?;
        let broker = Arc::new(Self { channel, tokens, waiting: Mutex::default() });
        tokio::spawn(Arc::clone(&broker).listen());
        Ok(broker)
    }

    /// A connection to `vendor` for data of `class`.
    ///
    /// # Errors
    /// The broker's reason, or that it did not answer.
    pub async fn ask(&self, vendor: VendorId, class: DataClass) -> Result<Given, DialFault> {
        if !self.tokens.has_place() {
            return Err(DialFault::TooManyTokens);
        }
        let (sender, answer) = oneshot::channel();
        let number = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            // A number is never 0, and a channel does not live for 2^64 questions.
            waiting.number = waiting.number.wrapping_add(1).max(1);
            let number = waiting.number;
            waiting.all.insert(number, sender);
            number
        };
        let question = Question::Dial { number, class, vendor }.to_bytes();
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let sent = send(self.channel.get_ref(), &question, flags);
        let outcome = match sent {
            Ok(_) => timeout(limit::DIAL_ANSWER_DEADLINE, answer).await,
            // The channel is full of questions that nobody answers.
            Err(_full) => Ok(Ok(Err(DialFault::BrokerSilent))),
        };
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).all.remove(&number);
        match outcome {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Err(DialFault::BrokerSilent),
        }
    }

    /// Takes answers for as long as the process lives.
    async fn listen(self: Arc<Self>) {
        loop {
            // Without a place for a token there is room for none: the next answer waits until there is.
            let Some(mut place) = self.tokens.place() else {
                tokio::time::sleep(limit::TOKEN_PLACE_PAUSE).await;
                continue;
            };
            let answer = loop {
                let Ok(mut ready) = self.channel.readable().await else { return };
                match receive(self.channel.get_ref(), &mut place) {
                    Ok(Some(answer)) => break answer,
                    Ok(None) => ready.clear_ready(),
                    // The supervisor, which holds the other end, is gone: so are we, soon.
                    Err(_gone) => return,
                }
            };
            self.deliver(answer, place);
        }
    }

    fn deliver(&self, answer: Answer, place: SecretPlace) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let given = answer.outcome.map(|Grant { connection, terms, token_bytes }| Given {
            connection,
            terms,
            token: (token_bytes > 0).then_some(Token { place, length: token_bytes }),
        });
        // An answer that comes too late is for nobody: its connection closes and its token is wiped.
        if let Some(sender) = waiting.all.remove(&answer.number) {
            sender.send(given).map_or_else(drop, |()| ());
        }
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Broker(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socketpair};
    use std::os::fd::AsFd as _;
    use std::time::Duration;
    use ward_edge::egress::{send_grant, send_refusal};

    fn vendor() -> VendorId {
        VendorId::parse("standin").unwrap()
    }

    /// A worker's end, with the broker's played by the test.
    fn pair() -> (Arc<Broker>, OwnedFd) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        let tokens = SecretPool::new(4, limit::TOKEN_BYTES_MAX).unwrap();
        let broker = Broker::new(ours, tokens).unwrap();
        assert_eq!(question(&theirs), Question::Begin);
        (broker, theirs)
    }

    fn question(theirs: &OwnedFd) -> Question {
        let mut buffer = [0; 100];
        let (_, length) = recv(theirs, &mut buffer, RecvFlags::empty()).unwrap();
        Question::parse(&buffer[..length]).unwrap()
    }

    fn number(theirs: &OwnedFd) -> u64 {
        match question(theirs) {
            Question::Dial { number, class: DataClass::Audio, .. } => number,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn answers_find_whoever_asked() {
        let (broker, theirs) = pair();
        let ask = || {
            let broker = Arc::clone(&broker);
            tokio::spawn(async move { broker.ask(vendor(), DataClass::Audio).await })
        };
        let (one, two) = (ask(), ask());
        tokio::task::yield_now().await;
        let (first, second) = (number(&theirs), number(&theirs));
        send_refusal(theirs.as_fd(), second, DialFault::BaaExpired).unwrap();
        // For nobody.
        send_refusal(theirs.as_fd(), 999, DialFault::BaaMissing).unwrap();
        let terms = Terms {
            host: "a.test".to_owned(),
            token_ttl: Duration::from_secs(1),
            session_max: Duration::from_secs(2),
            roots_pem: String::new(),
        };
        send_grant(theirs.as_fd(), first, &terms, b"token", theirs.as_fd()).unwrap();
        let given = one.await.unwrap().unwrap();
        assert_eq!((given.terms, given.token.unwrap().expose()), (terms, &b"token"[..]));
        assert_eq!(two.await.unwrap().unwrap_err(), DialFault::BaaExpired);
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_says_nothing_is_waited_for_so_long_and_no_longer() {
        let (broker, theirs) = pair();
        let reason = broker.ask(vendor(), DataClass::Audio).await.unwrap_err();
        assert_eq!(reason, DialFault::BrokerSilent);
        let late = number(&theirs);
        send_refusal(theirs.as_fd(), late, DialFault::BaaExpired).unwrap();
        assert!(broker.waiting.lock().unwrap().all.is_empty());
    }
}
