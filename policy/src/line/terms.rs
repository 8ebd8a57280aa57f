//! What the table of lines is written in: words of closed lists, limits of numbers, and the fields that many kinds share. It
//! judges nothing.

use super::{Field, Kind, Reasons};
use crate::audit::Role;

/// The word of each value of a closed list, made while compiling.
macro_rules! words {
    ($all:expr, $value:ident => $word:expr) => {{
        const WORDS: [&str; $all.len()] = {
            let mut words = [""; $all.len()];
            let mut place = 0;
            while place < words.len() {
                let $value = $all[place];
                words[place] = $word;
                place += 1;
            }
            words
        };
        &WORDS
    }};
}
pub(crate) use words;

/// The codes of a list of reasons, and the fault of each.
macro_rules! reasons {
    ($reasons:ident) => {
        $crate::line::Reasons {
            codes: words!($reasons::ALL, reason => reason.code()),
            faults: words!($reasons::ALL, reason => reason.fault().name()),
        }
    };
}

pub(super) use reasons;

/// The largest error number that Linux gives (`MAX_ERRNO`); 0 is none.
pub(super) const ERRNO_MAX: u64 = 4_095;
/// The largest status of HTTP (RFC 9110 §15); 0 is none.
pub(super) const STATUS_MAX: u64 = 599;
/// The largest close code of a WebSocket (RFC 6455 §7.4.2); 0 is none.
pub(super) const CLOSE_MAX: u64 = 4_999;

/// Every process.
pub(super) const ANYONE: &[Role] = &Role::ALL;
/// Those that take connections.
pub(super) const SERVERS: &[Role] = &[Role::Media, Role::Twiml];
/// Those that have credentials and a timer to list them by.
pub(super) const LISTERS: &[Role] = &[Role::Broker, Role::Media, Role::Twiml];
/// The one that writes the log.
pub(super) const LOG: &[Role] = &[Role::Log];
/// The one that hears callers.
pub(super) const MEDIA: &[Role] = &[Role::Media];

pub(super) const STATUS: Field =
    number("status", STATUS_MAX, "the HTTP status that was sent; 0 is none");
pub(super) const ERRNO: Field =
    number("errno", ERRNO_MAX, "the operating system's error number; 0 is none");
pub(super) const CALL: Field =
    field("call", Kind::Pseudonym, "which call, by its pseudonym of this boot");

pub(super) const TICKET_KEYS: &str = "ticket_keys";
pub(super) const VENDOR: Field =
    field("vendor", Kind::VendorId, "which vendor, by its id in the registry");
pub(super) const SOURCE: Field =
    field("source", Kind::VendorId, "the source, by its id in the registry");
pub(super) const CREDENTIAL: Field =
    field("credential", Kind::Pseudonym, "which credential, by its pseudonym of this process");
pub(super) const WHICH: Field =
    field("which", Kind::Word(words!(Role::ALL, role => role.name())), "which process");
pub(super) const FROM: Field =
    field("from", Kind::Word(words!(Role::ALL, role => role.name())), "whose line it was");

/// A field that is always there.
pub(crate) const fn field(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, is_optional: false, about }
}

/// The same field where it need not be there.
pub(super) const fn optional(field: Field) -> Field {
    Field { is_optional: true, ..field }
}

/// A number that is always there.
pub(crate) const fn number(name: &'static str, most: u64, about: &'static str) -> Field {
    field(name, Kind::Number(most), about)
}

pub(super) const fn reason(reasons: Reasons) -> Field {
    field("reason", Kind::Reason(reasons), "why, by its stable code")
}
