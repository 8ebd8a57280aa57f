//! Limits of credentials that come from a source: how long they live, how they are fetched, how many there are.

use std::time::Duration;

/// Places that keep secrets, of one registry.
pub const STORES_MAX: usize = 4;
/// Keys that come from them.
pub const STORED_KEYS_MAX: usize = 16;
/// One value, in bytes. What AWS calls a session token is under 2 KiB, and has no limit that is written down.
pub const STORED_VALUE_BYTES_MAX: usize = 4 * 1024;
/// The longest life that an entry may give a key before it is fetched again, in seconds: a day.
pub const KEY_TTL_MAX_S: u32 = 86_400;
/// The shortest, in seconds: what is fetched more often costs its source more than it is worth.
pub const KEY_TTL_MIN_S: u32 = 2;
/// The longest life of what we log in to a source with, whatever it grants: an hour, as AWS does by itself.
pub const SESSION_TTL_MAX: Duration = Duration::from_secs(3_600);
/// One fetch from a source, every request of it included.
pub const SOURCE_DEADLINE: Duration = Duration::from_secs(5);
/// A longer session, or another, while there is one that is good: what it is for has to end within [`SOURCE_DEADLINE`] too.
pub const SESSION_DEADLINE: Duration = Duration::from_secs(2);
/// A metadata service's requests, all of one fetch together: it is on the same machine.
pub const METADATA_DEADLINE: Duration = Duration::from_secs(2);
/// How long a metadata service's own token lives, in seconds: the requests that follow it at once.
pub const METADATA_TOKEN_TTL_S: u32 = 60;
/// An answer of a source, in bytes: head and body each. Secrets Manager takes secrets of 64 KiB; ours are keys.
pub const SOURCE_ANSWER_BYTES_MAX: usize = 32 * 1024;
/// Header fields of that answer.
pub const SOURCE_ANSWER_FIELDS_MAX: usize = 64;
/// A refresh begins when this share of a life is over, in per cent: fleets do not come all at once, ...
pub const REFRESH_FROM_PERCENT: u32 = 60;
/// ... and a source has a fifth of it left to fail in.
pub const REFRESH_TO_PERCENT: u32 = 80;
/// The pause after a first failure.
pub const SOURCE_PAUSE_MIN: Duration = Duration::from_millis(500);
/// The longest pause: it doubles from failure to failure, and half of it is random.
pub const SOURCE_PAUSE_MAX: Duration = Duration::from_secs(60);
/// A key that is not there, or that its vendor refused, is asked for at once, and not again within this or up to half as much
/// more, by chance: everybody asks.
pub const KEY_ASKED_PAUSE: Duration = Duration::from_secs(5);
/// After so many failures in a row nobody's need is a reason to ask before the pause is over; after one that says that there were
/// too many requests, neither.
pub const SOURCE_FAILURES_ASKED: u32 = 3;
/// Whoever needs a key that is being fetched waits this long for it.
pub const KEY_PATIENCE: Duration = Duration::from_secs(3);
/// What is being done with a key that was replaced may end with it within this; then it begins again with the new one.
/// A second after its replacement nothing of a key is left.
pub const REPLACED_GRACE: Duration = Duration::from_millis(400);
/// A clock that differs by more from a source's is said to, and is put right for that source, in seconds. AWS refuses
/// what was signed more than 300 s away.
pub const CLOCK_SKEW_MAX_S: u64 = 60;
/// How often every live credential is listed.
pub const INVENTORY_INTERVAL: Duration = Duration::from_secs(3_600);
/// Seconds in which tokens that were given away may end and are told apart in the list: the longest life of one.
pub const TOKEN_ENDS_MAX: usize = 86_400;
