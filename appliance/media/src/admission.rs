//! Who may open a stream: a right handshake signature, a right ticket, or both, as `MEDIA_HANDSHAKE` says.
//!
//! An upgrade is judged twice: before the 101 by its signature or the ticket in its path, and once its call is known
//! by the ticket in `start`, and by whether the ticket of the path is that call's. What is present and wrong is
//! refused in every mode. Nothing is taken back: a ticket that was taken is used, whatever becomes of its call. Time
//! is an argument.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use ward_policy::fault::{CallEnd, Refusal};
use ward_policy::proof::{Proof, TicketPlace};
use ward_policy::ticket::{DateMs, Redemptions};
use ward_twilio::handshake::HandshakeSet;
use ward_twilio::sid::CallSid;
use ward_twilio::signature::{Signature, SignatureError};
use ward_twilio::ticket::VerifiedTicket;

use crate::settings::HandshakeMode;
use crate::slot::Slot;

/// What every upgrade of the process is judged by.
#[derive(Debug)]
pub struct Admission {
    mode: HandshakeMode,
    expected: RwLock<Arc<HandshakeSet>>,
    redemptions: Mutex<Redemptions>,
}

/// What an upgrade has shown. Only [`Admission::judge`] makes one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shown {
    proof: Proof,
    /// The ticket of its path; in time when it was judged, and not yet taken.
    ticket: Option<VerifiedTicket>,
}

impl Shown {
    /// What it was believed for.
    #[must_use]
    pub const fn proof(&self) -> Proof {
        self.proof
    }
}

/// How a stream was opened: what [`Admission::admit`] needs when its `start` comes.
#[derive(Debug)]
pub struct Opened {
    /// What its upgrade has shown.
    pub shown: Shown,
    /// When: milliseconds since 1970.
    pub date_ms: DateMs,
    /// Its place among those that have shown nothing yet; given up with `start`.
    pub waiting: Option<Slot>,
}

impl Opened {
    /// Admits the call that the stream is, `since` it was opened.
    ///
    /// # Errors
    /// See [`Admission::admit`].
    pub fn admit(
        &mut self,
        admission: &Admission,
        ticket: Option<&str>,
        call: &CallSid,
        since: Duration,
    ) -> Result<TicketPlace, CallEnd> {
        let since_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let now_ms = self.date_ms.saturating_add(since_ms);
        let place = admission.admit(&self.shown, ticket, call, now_ms)?;
        self.waiting = None;
        Ok(place)
    }
}

impl Admission {
    /// Believes nobody yet; the process started at `started_ms`.
    #[must_use]
    pub fn new(mode: HandshakeMode, expected: HandshakeSet, started_ms: DateMs) -> Self {
        Self {
            mode,
            expected: RwLock::new(Arc::new(expected)),
            redemptions: Mutex::new(Redemptions::new(started_ms)),
        }
    }

    /// Replaces what upgrades are compared with; calls that are live stay.
    pub fn expect(&self, expected: HandshakeSet) {
        *self.expected.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(expected);
    }

    /// Whether a ticket may stand in the path.
    #[must_use]
    pub fn takes_path(&self) -> bool {
        self.mode == HandshakeMode::Ticket
    }

    /// Whether no call is taken without a ticket.
    #[must_use]
    pub fn demands_tickets(&self) -> bool {
        self.mode != HandshakeMode::Signature
    }

    /// Judges an upgrade at `now_ms` by its signature headers and the `ticket` in its path. Nothing is used up.
    ///
    /// # Errors
    /// [`Refusal`]: it has shown nothing that the mode asks for, or something wrong.
    pub fn judge<'h>(
        &self,
        signatures: impl IntoIterator<Item = &'h [u8]>,
        ticket: Option<&str>,
        now_ms: DateMs,
    ) -> Result<Shown, Refusal> {
        let expected = self.expected();
        let signature = Signature::from_headers(signatures);
        if let Some(ticket) = ticket {
            // It would be over a URL with the ticket in it, which nobody can know before it comes: it is not compared.
            match signature {
                Ok(_) | Err(SignatureError::Absent) => {}
                Err(error) => return Err(refusal(error)),
            }
            let ticket = expected.ticket_keys().verify(ticket)?;
            self.redemptions().judge(now_ms, ticket.validity())?;
            return Ok(Shown { proof: Proof::Ticket, ticket: Some(ticket) });
        }
        let proof = match signature.and_then(|signature| expected.verify(&signature)) {
            Ok(handshake) => Proof::Signature(handshake.candidate()),
            Err(SignatureError::Absent) if self.mode == HandshakeMode::Ticket => Proof::Nothing,
            Err(error) => return Err(refusal(error)),
        };
        Ok(Shown { proof, ticket: None })
    }

    /// Takes the ticket of the path, if there is one: the last thing before the 101.
    ///
    /// # Errors
    /// [`Refusal`]: it was used meanwhile, or cannot be remembered.
    pub fn take(&self, shown: &Shown, now_ms: DateMs) -> Result<(), Refusal> {
        let Some(ticket) = &shown.ticket else { return Ok(()) };
        Ok(self.redemptions().redeem(now_ms, ticket.validity(), ticket.nonce())?)
    }

    /// Judges the call that an upgrade turns out to be, and takes the `ticket` in its `start`.
    ///
    /// # Errors
    /// [`CallEnd`]: no ticket where one is demanded, or a wrong one.
    pub fn admit(
        &self,
        shown: &Shown,
        ticket: Option<&str>,
        call: &CallSid,
        now_ms: DateMs,
    ) -> Result<TicketPlace, CallEnd> {
        match (&shown.ticket, ticket) {
            (Some(_), Some(_)) => Err(CallEnd::TicketRepeated),
            (Some(taken), None) if taken.is_for(call) => Ok(TicketPlace::Path),
            (Some(_), None) => Err(CallEnd::TicketOtherCall),
            (None, Some(ticket)) => {
                let ticket = self.expected().ticket_keys().verify(ticket)?;
                if !ticket.is_for(call) {
                    return Err(CallEnd::TicketOtherCall);
                }
                self.redemptions().redeem(now_ms, ticket.validity(), ticket.nonce())?;
                Ok(TicketPlace::Parameter)
            }
            (None, None) if self.mode == HandshakeMode::Signature => Ok(TicketPlace::Nowhere),
            (None, None) => Err(CallEnd::TicketAbsent),
        }
    }

    /// Tickets that are remembered as used.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.redemptions().remembered()
    }

    fn expected(&self) -> Arc<HandshakeSet> {
        Arc::clone(&self.expected.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn redemptions(&self) -> MutexGuard<'_, Redemptions> {
        self.redemptions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The refusal for a signature that is not believed.
const fn refusal(error: SignatureError) -> Refusal {
    match error {
        SignatureError::Absent => Refusal::SignatureAbsent,
        SignatureError::Repeated => Refusal::SignatureRepeated,
        SignatureError::Malformed => Refusal::SignatureMalformed,
        SignatureError::Wrong | SignatureError::Body => Refusal::SignatureWrong,
        SignatureError::NoToken => Refusal::TokenAbsent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ward_policy::phi::Secret;
    use ward_policy::ticket::Validity;
    use ward_twilio::handshake::document;
    use ward_twilio::ticket::{TicketKey, TicketPublicKeys};

    const VW1: &str = "hT6TllFCjXqRGzPszuGWRqAQ2lY=";
    const WRONG: &str = "Vij22jir6R+t9gbbSc1DUsBFJ5w=";
    const STARTED: DateMs = 1_700_000_000_000;
    const NOW: DateMs = STARTED + 10_000;

    fn key() -> TicketKey {
        TicketKey::parse(&Secret::new("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=".to_owned()))
            .unwrap()
    }

    fn admission(mode: HandshakeMode) -> Admission {
        let keys = TicketPublicKeys::new(vec![key().public()]).unwrap();
        let values = [Signature::parse(VW1.as_bytes()).unwrap()];
        let set = HandshakeSet::parse(document(&values, &keys).expose()).unwrap();
        Admission::new(mode, set, STARTED)
    }

    fn call(last: char) -> CallSid {
        CallSid::parse(&format!("CA0000000000000000000000000000000{last}")).unwrap()
    }

    fn ticket(nonce: u8) -> String {
        key().issue(&call('1'), Validity { issued_ms: NOW, life_s: 30 }, [nonce; 16])
    }

    fn signed(admission: &Admission) -> Shown {
        admission.judge([VW1.as_bytes()], None, NOW).unwrap()
    }

    fn judge(
        admission: &Admission,
        signature: Option<&str>,
        ticket: Option<&str>,
    ) -> Result<Proof, Refusal> {
        admission.judge(signature.map(str::as_bytes), ticket, NOW).map(|shown| shown.proof())
    }

    #[test]
    fn each_mode_asks_for_its_own_and_a_wrong_signature_is_refused_in_all() {
        for (mode, absent) in [
            (HandshakeMode::Signature, Err(Refusal::SignatureAbsent)),
            (HandshakeMode::SignatureAndTicket, Err(Refusal::SignatureAbsent)),
            (HandshakeMode::Ticket, Ok(Proof::Nothing)),
        ] {
            let admission = admission(mode);
            assert_eq!(judge(&admission, None, None), absent, "{mode:?}");
            assert_eq!(judge(&admission, Some(VW1), None), Ok(Proof::Signature(0)), "{mode:?}");
            assert_eq!(judge(&admission, Some(WRONG), None), Err(Refusal::SignatureWrong));
            assert_eq!(judge(&admission, Some(""), None), Err(Refusal::SignatureMalformed));
            let signed = signed(&admission);
            let none = admission.admit(&signed, None, &call('1'), NOW);
            let expected = if mode == HandshakeMode::Signature {
                Ok(TicketPlace::Nowhere)
            } else {
                Err(CallEnd::TicketAbsent)
            };
            assert_eq!(none, expected, "{mode:?}");
            // A ticket that is there is judged, wherever it is demanded.
            let wrong = admission.admit(&signed, Some("x"), &call('1'), NOW);
            assert_eq!(wrong, Err(CallEnd::TicketMalformed), "{mode:?}");
            let right = admission.admit(&signed, Some(&ticket(1)), &call('1'), NOW);
            assert_eq!(right, Ok(TicketPlace::Parameter), "{mode:?}");
            let again = admission.admit(&signed, Some(&ticket(1)), &call('1'), NOW);
            assert_eq!(again, Err(CallEnd::TicketUsed), "{mode:?}");
        }
    }

    #[test]
    fn a_ticket_for_another_call_is_refused_and_not_used_up_by_that() {
        let admission = admission(HandshakeMode::SignatureAndTicket);
        let signed = signed(&admission);
        let other = admission.admit(&signed, Some(&ticket(1)), &call('2'), NOW);
        assert_eq!(other, Err(CallEnd::TicketOtherCall));
        let own = admission.admit(&signed, Some(&ticket(1)), &call('1'), NOW);
        assert_eq!(own, Ok(TicketPlace::Parameter));
    }

    #[test]
    fn a_ticket_in_the_path_stands_in_the_signatures_place_and_is_taken_once() {
        let admission = admission(HandshakeMode::Ticket);
        let text = ticket(1);
        // What Twilio signs here has the ticket in it; only its shape can be judged.
        for signature in [None, Some(VW1), Some(WRONG)] {
            assert_eq!(judge(&admission, signature, Some(&text)), Ok(Proof::Ticket));
        }
        assert_eq!(judge(&admission, Some("x"), Some(&text)), Err(Refusal::SignatureMalformed));
        let shown = admission.judge([], Some(&text), NOW).unwrap();
        assert_eq!(admission.take(&shown, NOW), Ok(()));
        assert_eq!(admission.take(&shown, NOW), Err(Refusal::TicketUsed));
        assert_eq!(admission.admit(&shown, None, &call('1'), NOW), Ok(TicketPlace::Path));
        let other = admission.admit(&shown, None, &call('2'), NOW);
        assert_eq!(other, Err(CallEnd::TicketOtherCall));
        let two = admission.admit(&shown, Some(&ticket(2)), &call('1'), NOW);
        assert_eq!(two, Err(CallEnd::TicketRepeated));
    }

    #[test]
    fn keys_are_replaced_and_the_memory_stays() {
        let admission = admission(HandshakeMode::Ticket);
        let shown = admission.judge([], Some(&ticket(1)), NOW).unwrap();
        assert_eq!(admission.take(&shown, NOW), Ok(()));
        admission.expect(HandshakeSet::parse("").unwrap());
        assert_eq!(judge(&admission, None, Some(&ticket(2))), Err(Refusal::TicketUnknownKey));
        let keys = TicketPublicKeys::new(vec![key().public()]).unwrap();
        admission.expect(HandshakeSet::parse(document(&[], &keys).expose()).unwrap());
        assert_eq!(judge(&admission, None, Some(&ticket(2))), Ok(Proof::Ticket));
        assert_eq!(admission.take(&shown, NOW), Err(Refusal::TicketUsed));
        // Nothing to compare a signature with: one that is there cannot be right.
        assert_eq!(judge(&admission, Some(VW1), None), Err(Refusal::TokenAbsent));
        assert_eq!(admission.remembered(), 1);
    }
}
