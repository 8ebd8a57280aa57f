//! The limits of asking for certificates, each with its unit and its reason.

use std::time::Duration;

/// Names in one certificate: a media host has one, perhaps two.
pub const CERTIFICATE_NAMES_MAX: usize = 8;
/// One chain in DER, in bytes. Those of public authorities are under 5 KiB.
pub const CERTIFICATE_CHAIN_BYTES_MAX: usize = 16 * 1024;
/// Certificates in one chain.
pub const CERTIFICATE_CHAIN_MAX: usize = 6;
/// One message about certificates between two of our processes, in bytes: a chain, a name, and what is around them.
pub const CERTIFICATE_MESSAGE_BYTES_MAX: usize = CERTIFICATE_CHAIN_BYTES_MAX + 1024;
/// From telling the server of a challenge or chain to its word that it is used. The server asks `sign` meanwhile.
pub const CERTIFICATE_TAKEN_DEADLINE: Duration = Duration::from_secs(3);
/// How often the server is told of a chain that it did not take, and the pause between.
pub const CERTIFICATE_TOLD_MAX: u32 = 3;
/// See [`CERTIFICATE_TOLD_MAX`].
pub const CERTIFICATE_TOLD_PAUSE: Duration = Duration::from_secs(1);
/// From asking `sign` for a request or a challenge's certificate to having it.
pub const ORDER_DEADLINE: Duration = Duration::from_secs(5);
/// One answer of `sign`'s to an order, in bytes: a request with the longest names there may be.
pub const ORDER_ANSWER_BYTES_MAX: usize = 4 * 1024;

/// What a role keeps beyond its life, in bytes: an account and a chain, or two keys, and the same as it was before. The place is made this
/// long and never grows.
pub const KEPT_BYTES: usize = 64 * 1024;
/// A key that seals what is kept, in bytes.
pub const SEAL_KEY_BYTES: usize = 32;

/// One request to a certificate authority, from dialling to the end of the answer.
pub const ACME_REQUEST_DEADLINE: Duration = Duration::from_secs(20);
/// One answer, in bytes: chains are the longest.
pub const ACME_ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Header fields of one answer.
pub const ACME_ANSWER_FIELDS_MAX: usize = 64;
/// From the order to the certificate, whatever the authority says.
pub const ACME_ORDER_DEADLINE: Duration = Duration::from_secs(300);
/// How long an order is asked after, once each of its steps is done.
pub const ACME_POLL_DEADLINE: Duration = Duration::from_secs(90);
/// The first pause between those questions; it doubles.
pub const ACME_POLL_PAUSE: Duration = Duration::from_millis(250);
/// The pause after a failure that the next try is likely to mend: a nonce that was not taken, an account that has gone.
pub const ACME_RETRY_SOON: Duration = Duration::from_secs(5);
/// The pause after the first failure in a row; it doubles. Let's Encrypt lets five validations an hour fail for a name.
pub const ACME_RETRY_MIN: Duration = Duration::from_secs(60);
/// The longest pause of our own.
pub const ACME_RETRY_MAX: Duration = Duration::from_secs(6 * 60 * 60);
/// The longest pause that an authority may ask for: it says so of rate limits that are a week long. It may ask for more than ours, and
/// never for less.
pub const ACME_RETRY_ASKED_MAX: Duration = Duration::from_secs(8 * 24 * 60 * 60);
/// How often a certificate that was issued is handed to a server that does not take it, before another is asked for: authorities limit
/// how many they issue, and a server that is silent today is as silent to the next.
pub const ACME_HANDED_OVER_MAX: u32 = 4;
/// A pause is shorter or longer by up to one part in this, so that a fleet does not come all at once.
pub const ACME_JITTER_PARTS: u32 = 4;
/// A certificate is renewed when two thirds of its life are over, or earlier by up to one part in this of it.
pub const RENEWAL_JITTER_PARTS: u64 = 20;
/// Nothing makes us renew before one part in this of a certificate's life has passed since it came, or an hour: an authority that always
/// says "now", or issues what is old already, would have us ask without end.
pub const RENEWAL_EARLIEST_PARTS: u64 = 10;
/// See [`RENEWAL_EARLIEST_PARTS`], in seconds.
pub const RENEWAL_EARLIEST_S: u64 = 60 * 60;
/// And at least so many seconds, however short its life.
pub const RENEWAL_EARLIEST_MIN_S: u64 = 5;
/// The authority's word does not put a renewal off until less than one part in this of the life is left: what fails is tried again.
pub const RENEWAL_LATEST_PARTS: u64 = 10;
/// How often the authority is asked when to renew, at most (RFC 9773 §4.3.3), in seconds.
pub const RENEWAL_INFO_PAUSE_MIN_S: u64 = 60;
/// And at least, in seconds.
pub const RENEWAL_INFO_PAUSE_MAX_S: u64 = 24 * 60 * 60;
/// And when it did not answer, in seconds.
pub const RENEWAL_INFO_PAUSE_S: u64 = 6 * 60 * 60;
