//! The DHCP client as a state machine (RFC 2131 §4.4): answers and the time come in, what to send and what holds comes out.
//!
//! It opens nothing and never asks what time it is; random numbers are given to it. A lease that is not renewed ends: the address is
//! given up, and the search begins anew.

use std::net::Ipv4Addr;
use std::time::Duration;

use ward_policy::limit;

use super::dhcp::{self, Answer, Kind, Question};
use super::lease::Lease;
use super::refusal::Refusal;

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Todo {
    /// Nothing; the time of [`Client::due`] has not come.
    Nothing,
    /// Send this packet to everyone on the link.
    Broadcast(Vec<u8>),
    /// Send this datagram to a server, from the address that we have.
    Send {
        /// The server.
        to: Ipv4Addr,
        /// The datagram.
        datagram: Vec<u8>,
    },
    /// The lease is over: give the address up.
    GiveUp,
}

/// What an answer has changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Nothing: it is another machine's, or came too late.
    Nothing,
    /// An offer is taken; the next question is due now.
    Offered,
    /// The machine has a lease, for the first time or again.
    Bound(Box<Lease>),
    /// The address was taken back.
    GiveUp,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum State {
    Selecting,
    Requesting { address: Ipv4Addr, server: Ipv4Addr, tries: u32 },
    Bound { lease: Box<Lease>, since: Duration, asked: Option<u32> },
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Client {
    hardware: [u8; 6],
    state: State,
    /// The number of the question that waits for an answer.
    number: u32,
    /// When it was asked first.
    asked_at: Duration,
    /// When the search began, and when something is to be done.
    began: Duration,
    due: Duration,
    pause: Duration,
    refused: u32,
}

impl Client {
    /// A client of the link with this address, that begins at `now`.
    #[must_use]
    pub fn new(hardware: [u8; 6], now: Duration) -> Self {
        Self {
            hardware,
            state: State::Selecting,
            number: 0,
            asked_at: now,
            began: now,
            due: now,
            pause: limit::DHCP_RETRY_MIN,
            refused: 0,
        }
    }

    /// When [`Self::tick`] is to be called.
    #[must_use]
    pub const fn due(&self) -> Duration {
        self.due
    }

    /// The lease that holds.
    #[must_use]
    pub fn lease(&self) -> Option<&Lease> {
        match &self.state {
            State::Bound { lease, .. } => Some(lease),
            State::Selecting | State::Requesting { .. } => None,
        }
    }

    /// There is somebody at the other end of the wire since `now`: what was asked before was asked of nobody.
    pub fn hurry(&mut self, now: Duration) {
        if self.lease().is_none() {
            (self.due, self.pause) = (now, limit::DHCP_RETRY_MIN);
        }
    }

    /// The kernel did not take what the lease says. If the machine `holds` the address from before, it is asked for again soon; otherwise
    /// the search begins anew after the longest pause, as the same answer is likely.
    pub fn unusable(&mut self, now: Duration, holds: bool) {
        if holds {
            self.due = self.due.min(now.saturating_add(limit::RENEW_RETRY_MIN));
        } else {
            self.restart(now);
            self.due = now.saturating_add(limit::DHCP_RETRY_MAX);
        }
    }

    /// What is due at `now`; `random` is a number that nobody can guess.
    pub fn tick(&mut self, now: Duration, random: u32) -> Todo {
        if now < self.due {
            return Todo::Nothing;
        }
        let waited = now.saturating_sub(self.began).as_secs();
        let waited = u16::try_from(waited).unwrap_or(u16::MAX);
        match &mut self.state {
            State::Selecting => {
                self.number = random;
                self.wait(now, random);
                self.ask(Question::Discover, waited)
            }
            State::Requesting { address, server, tries } => {
                *tries = tries.saturating_add(1);
                if *tries > REQUESTS_MAX {
                    self.restart(now);
                    return self.tick(now, random);
                }
                if *tries == 1 {
                    self.asked_at = now;
                }
                let asked = Question::Request { address: *address, server: *server };
                self.wait(now, random);
                self.ask(asked, waited)
            }
            State::Bound { lease, since, asked } => {
                let age = now.saturating_sub(*since);
                if age >= lease.length {
                    self.restart(now);
                    return Todo::GiveUp;
                }
                *asked = Some(random);
                (self.number, self.asked_at) = (random, now);
                let question = Question::Extend { address: lease.address };
                let datagram = dhcp::question(question, random, self.hardware, 0);
                let is_rebinding = age >= lease.rebind;
                // Half of what is left until the next stage, and not more often than once a minute (§4.4.5).
                let until = if is_rebinding { lease.length } else { lease.rebind };
                let left = until.saturating_sub(age);
                let pause = (left / 2).max(limit::RENEW_RETRY_MIN).min(left);
                self.due = now.saturating_add(pause.max(Duration::from_secs(1)));
                if is_rebinding {
                    Todo::Broadcast(dhcp::packet(&datagram, lease.address))
                } else {
                    Todo::Send { to: lease.server, datagram }
                }
            }
        }
    }

    /// Takes a packet that came at `now`.
    ///
    /// # Errors
    /// [`Refusal`] of an answer that is for us and cannot be followed; the client goes on as if it had not come.
    pub fn take(&mut self, packet: &[u8], now: Duration) -> Result<Change, Refusal> {
        // What answers no question of ours does not count: anybody on the link can send that, as often as they like.
        let answer = dhcp::answer(packet)?;
        if answer.number != self.number || answer.hardware != self.hardware {
            return Ok(Change::Nothing);
        }
        let taken = self.judge(&answer, now);
        if taken.is_err() {
            self.refused = self.refused.saturating_add(1);
            if self.refused >= limit::DHCP_REFUSED_MAX && self.lease().is_none() {
                let due = self.due;
                self.restart(now);
                // Never later than without them.
                self.due = due.min(now.saturating_add(self.pause));
            }
        }
        taken
    }

    fn judge(&mut self, answer: &Answer, now: Duration) -> Result<Change, Refusal> {
        match (&mut self.state, answer.kind) {
            (State::Selecting, Kind::Offer) => {
                let lease = Lease::of(answer)?;
                let (address, server) = (lease.address, lease.server);
                self.state = State::Requesting { address, server, tries: 0 };
                (self.due, self.pause) = (now, limit::DHCP_RETRY_MIN);
                Ok(Change::Offered)
            }
            (State::Requesting { address, server, .. }, Kind::Ack) => {
                let lease = Lease::of(answer)?;
                if lease.address != *address || lease.server != *server {
                    return Err(Refusal::OtherAddress);
                }
                Ok(self.bind(lease))
            }
            (State::Bound { lease, asked: Some(_), .. }, Kind::Ack) => {
                let renewed = Lease::of(answer)?;
                if renewed.address != lease.address {
                    return Err(Refusal::OtherAddress);
                }
                Ok(self.bind(renewed))
            }
            (State::Requesting { server, .. }, Kind::Nak) if answer.server == Some(*server) => {
                self.restart(now);
                // Whoever says no each time is asked more and more rarely.
                self.due = now.saturating_add(self.pause);
                Ok(Change::Nothing)
            }
            // Its own server takes a lease back; once anyone may extend it, anyone may say that nobody does (§4.4.5).
            (State::Bound { lease, asked: Some(_), since }, Kind::Nak)
                if answer.server == Some(lease.server)
                    || now.saturating_sub(*since) >= lease.rebind =>
            {
                self.restart(now);
                Ok(Change::GiveUp)
            }
            _ => Ok(Change::Nothing),
        }
    }

    /// A lease counts from the question, not from the answer (§4.4.1): its server's clock ran meanwhile.
    fn bind(&mut self, lease: Lease) -> Change {
        let since = self.asked_at;
        self.due = since.saturating_add(lease.renew);
        (self.refused, self.pause) = (0, limit::DHCP_RETRY_MIN);
        self.state = State::Bound { lease: Box::new(lease.clone()), since, asked: None };
        Change::Bound(Box::new(lease))
    }

    fn restart(&mut self, now: Duration) {
        self.state = State::Selecting;
        self.refused = 0;
        (self.began, self.due) = (now, now);
    }

    /// The next question of the search is due after a pause that doubles, give or take a fifth.
    fn wait(&mut self, now: Duration, random: u32) {
        let share = 80_u32.saturating_add(random % 41);
        let pause = self.pause.saturating_mul(share) / 100;
        self.due = now.saturating_add(pause);
        self.pause = self.pause.saturating_mul(2).min(limit::DHCP_RETRY_MAX);
    }

    fn ask(&self, question: Question, waited: u16) -> Todo {
        let datagram = dhcp::question(question, self.number, self.hardware, waited);
        Todo::Broadcast(dhcp::packet(&datagram, Ipv4Addr::UNSPECIFIED))
    }
}

/// How often an offer is asked for before the search begins anew.
const REQUESTS_MAX: u32 = 4;

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
