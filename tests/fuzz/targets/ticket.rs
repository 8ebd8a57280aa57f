//! Tickets: any text is judged without a crash, a ticket has one spelling, and none but the one that was signed is
//! believed, whatever is changed in it.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use ward_policy::phi::Secret;
use ward_policy::ticket::Validity;
use ward_twilio::handshake::HandshakeSet;
use ward_twilio::sid::CallSid;
use ward_twilio::ticket::{TICKET_CHARS, TicketKey, TicketPublicKeys};

const CALL: &str = "CA00000000000000000000000000000000";
/// RFC 8032 §7.1, test 1.
const KEY: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";

/// The first ticket of `tests/tickets/vectors.json`, and the key that signed it.
fn signed() -> &'static (TicketPublicKeys, String, CallSid) {
    static SIGNED: OnceLock<(TicketPublicKeys, String, CallSid)> = OnceLock::new();
    SIGNED.get_or_init(|| {
        let key = TicketKey::parse(&Secret::new(KEY.to_owned())).expect("a key");
        let call = CallSid::parse(CALL).expect("a call");
        let validity = Validity { issued_ms: 1_700_000_000_000, life_s: 30 };
        let nonce = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        let ticket = key.issue(&call, validity, nonce);
        (TicketPublicKeys::new(vec![key.public()]).expect("one key"), ticket, call)
    })
}

fuzz_target!(|bytes: &[u8]| {
    let (keys, ticket, call) = signed();
    if let Ok(text) = std::str::from_utf8(bytes) {
        match keys.verify(text) {
            Ok(verified) => {
                assert_eq!(text, ticket, "a ticket that nobody signed");
                assert!(verified.is_for(call));
                if cfg!(feature = "planted-bug") {
                    assert!(verified.validity().life_s != 30, "the planted bug");
                }
            }
            Err(_fault) => assert_ne!(text, ticket),
        }
        if let Ok(set) = HandshakeSet::parse(text) {
            // Every line was a signature or a key, and nothing was lost.
            let lines = text.lines().filter(|line| !line.is_empty()).count();
            assert_eq!(set.len() + set.ticket_keys().as_slice().len(), lines);
        }
    }
    // The same ticket with the input laid over it: changed anywhere, it is not believed.
    let mut changed = ticket.clone().into_bytes();
    for (place, byte) in changed.iter_mut().zip(bytes) {
        *place = if byte.is_ascii_alphanumeric() { *byte } else { *place };
    }
    assert_eq!(changed.len(), TICKET_CHARS);
    let changed = String::from_utf8(changed).expect("ASCII");
    assert_eq!(keys.verify(&changed).is_ok(), changed == *ticket);
});
