//! One worker's end of the broker's channel: asks for a vendor by its id and waits for the answer.
//!
//! It names no host and no address, opens nothing, and waits no longer than [`limit::DIAL_ANSWER_DEADLINE`].

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use ring::rand::{SecureRandom as _, SystemRandom};
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

/// A connection that is ours for a while; the broker, which has it too, is told when it is dropped.
#[derive(Debug)]
pub struct Loan {
    broker: Arc<Broker>,
    number: u64,
}

impl Drop for Loan {
    fn drop(&mut self) {
        let done = Question::Done { number: self.number }.to_bytes();
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        // A broker that does not read ends the connection by its own clock.
        send(self.broker.channel.get_ref(), &done, flags).map(drop).unwrap_or_default();
    }
}

/// What the broker gave.
#[derive(Debug)]
pub struct Given {
    /// A connected socket that does not block.
    pub connection: OwnedFd,
    /// To be dropped after it.
    pub loan: Loan,
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

type Outcome = Result<Given, DialFault>;

struct Waiting {
    number: u64,
    all: BTreeMap<u64, oneshot::Sender<Outcome>>,
}

/// A question that somebody waits for, until it is dropped.
struct Asked<'b> {
    broker: &'b Broker,
    number: u64,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let mut waiting = self.broker.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.all.remove(&self.number);
    }
}

impl Broker {
    /// Takes a channel, which does not block; must be called within the worker's runtime.
    ///
    /// # Errors
    /// The operating system's.
    pub fn new(channel: OwnedFd, tokens: SecretPool) -> io::Result<Arc<Self>> {
        let channel = watch(channel, Interest::READABLE)?;
        // Numbers begin anywhere: whatever is asked twice is told apart.
        let mut first = [0; 8];
        SystemRandom::new().fill(&mut first).map_err(|_random| io::ErrorKind::Other)?;
        let waiting = Waiting { number: u64::from_be_bytes(first), all: BTreeMap::new() };
        let broker = Arc::new(Self { channel, tokens, waiting: Mutex::new(waiting) });
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
        let waiting = self.enter(sender);
        let question =
            Question::Dial { number: waiting.number, class, vendor, is_refused: false }.to_bytes();
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        // A channel that is full of questions is one that nobody reads.
        send(self.channel.get_ref(), &question, flags).map_err(|_full| DialFault::BrokerSilent)?;
        let given = match timeout(limit::DIAL_ANSWER_DEADLINE, answer).await {
            Ok(Ok(outcome)) => outcome?,
            Ok(Err(_)) | Err(_) => return Err(DialFault::BrokerSilent),
        };
        // Nothing that is for one vendor goes to another.
        if given.terms.vendor == vendor { Ok(given) } else { Err(DialFault::BadAnswer) }
    }

    /// A number for the next question, and who waits for the answer to it.
    fn enter(&self, sender: oneshot::Sender<Outcome>) -> Asked<'_> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // A number is never 0, and a channel does not live for 2^64 questions.
        waiting.number = waiting.number.wrapping_add(1).max(1);
        let number = waiting.number;
        waiting.all.insert(number, sender);
        Asked { broker: self, number }
    }

    /// Takes answers for as long as the process lives.
    async fn listen(self: Arc<Self>) {
        loop {
            // Without a place for a token there is room for none: the next answer waits until there is.
            let Some(mut place) = self.tokens.place() else {
                tokio::time::sleep(limit::TOKEN_PLACE_PAUSE).await;
                continue;
            };
            // A broker that answers without end does not keep this worker from its calls.
            tokio::task::coop::consume_budget().await;
            let answer = loop {
                let Ok(mut ready) = self.channel.readable().await else { return };
                match receive(self.channel.get_ref(), &mut place) {
                    // No question has that number: an empty message, or the end of everything.
                    Ok(Some(Answer { number: 0, .. })) => {
                        tokio::time::sleep(limit::QUESTION_PAUSE).await;
                    }
                    Ok(Some(answer)) => break answer,
                    Ok(None) => ready.clear_ready(),
                    Err(_broken) => tokio::time::sleep(limit::QUESTION_PAUSE).await,
                }
            };
            self.deliver(answer, place);
        }
    }

    fn deliver(self: &Arc<Self>, answer: Answer, place: SecretPlace) {
        let Answer { number, outcome } = answer;
        let given = outcome.map(|Grant { connection, terms, token_bytes }| Given {
            connection,
            loan: Loan { broker: Arc::clone(self), number },
            terms,
            token: (token_bytes > 0).then_some(Token { place, length: token_bytes }),
        });
        let waiting =
            self.waiting.lock().unwrap_or_else(PoisonError::into_inner).all.remove(&number);
        // An answer that comes too late is for nobody: its token is wiped, and the broker is told.
        if let Some(sender) = waiting {
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
        (Broker::new(ours, tokens).unwrap(), theirs)
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

    fn terms(vendor: VendorId) -> Terms {
        Terms {
            vendor,
            host: "a.test".to_owned(),
            token_ttl: Duration::from_secs(1),
            session_max: Duration::from_secs(2),
            roots_pem: String::new(),
            manner: None,
        }
    }

    fn ask(broker: &Arc<Broker>) -> tokio::task::JoinHandle<Outcome> {
        let broker = Arc::clone(broker);
        tokio::spawn(async move { broker.ask(vendor(), DataClass::Audio).await })
    }

    #[tokio::test]
    async fn answers_find_whoever_asked_and_the_broker_is_told_when_a_connection_is_done_with() {
        let (broker, theirs) = pair();
        let (one, two) = (ask(&broker), ask(&broker));
        tokio::task::yield_now().await;
        let (first, second) = (number(&theirs), number(&theirs));
        send_refusal(theirs.as_fd(), second, DialFault::BaaExpired).unwrap();
        // For nobody.
        send_refusal(theirs.as_fd(), first.wrapping_sub(9), DialFault::BaaMissing).unwrap();
        send_grant(theirs.as_fd(), first, &terms(vendor()), b"token", theirs.as_fd()).unwrap();
        let given = one.await.unwrap().unwrap();
        assert_eq!(given.terms, terms(vendor()));
        assert_eq!(given.token.as_ref().unwrap().expose(), b"token");
        assert_eq!(two.await.unwrap().unwrap_err(), DialFault::BaaExpired);
        drop(given);
        assert_eq!(question(&theirs), Question::Done { number: first });
    }

    #[tokio::test]
    async fn what_nobody_waits_for_or_is_for_another_vendor_is_given_back() {
        let (broker, theirs) = pair();
        let asking = ask(&broker);
        tokio::task::yield_now().await;
        let gone = number(&theirs);
        asking.abort();
        assert!(asking.await.unwrap_err().is_cancelled());
        assert!(broker.waiting.lock().unwrap().all.is_empty(), "nobody waits");
        send_grant(theirs.as_fd(), gone, &terms(vendor()), b"token", theirs.as_fd()).unwrap();
        let asking = ask(&broker);
        tokio::task::yield_now().await;
        let other = VendorId::parse("other").unwrap();
        let wrong = loop {
            match question(&theirs) {
                Question::Dial { number, .. } => break number,
                done @ Question::Done { .. } => assert_eq!(done, Question::Done { number: gone }),
            }
        };
        // An empty message in between is none.
        send(&theirs, b"", SendFlags::empty()).unwrap();
        send_grant(theirs.as_fd(), wrong, &terms(other), b"token", theirs.as_fd()).unwrap();
        assert_eq!(asking.await.unwrap().unwrap_err(), DialFault::BadAnswer);
        tokio::task::yield_now().await;
        let mut given_back = vec![];
        while given_back.last() != Some(&Question::Done { number: wrong }) {
            given_back.push(question(&theirs));
        }
        assert!(broker.tokens.has_place());
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
