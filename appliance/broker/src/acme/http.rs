//! What an authority is asked over: one connection a request, to hosts of its entry alone.
//!
//! The client library makes the requests and reads the answers; it opens nothing and resolves nothing. It follows no redirect.
//! It believes some things of an answer that need not be so, and ends the process where they are not: those are judged here first.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::header::{HOST, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode, Uri};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use serde_json::Value;
use tokio::time::timeout;
use ward_edge::wiped::wiped;
use ward_policy::fault::{AcmeFault, DialFault};
use ward_policy::limit;
use ward_policy::vendor::{Entry, Host, Purpose, VendorRole};
use ward_policy::vendor_id::VendorId;

use crate::answer::{Answering, day_of, unix_s};
use crate::exchange::{self, Answer, Limits, NoAnswer};

/// Why a request was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failed(pub(super) AcmeFault);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.code())
    }
}

impl std::error::Error for Failed {}

/// An authority of the registry.
#[derive(Clone)]
pub(super) struct Authority {
    answering: Arc<Answering>,
    ca: VendorId,
    /// When the authority would be asked again, if its last refusal said so.
    retry_after: Arc<Mutex<Option<Duration>>>,
}

impl Authority {
    pub(super) fn new(answering: Arc<Answering>, ca: VendorId) -> Self {
        Self { answering, ca, retry_after: Arc::default() }
    }

    /// The address of its directory.
    pub(super) fn directory(&self) -> Result<String, AcmeFault> {
        let entry = self.entry()?;
        let (acme, host) = (entry.acme.as_ref(), entry.host(Purpose::Data));
        let (acme, host) = acme.zip(host).ok_or(AcmeFault::Registry)?;
        Ok(format!("https://{}{}", host.authority(), acme.directory))
    }

    /// What its last refusal asked for, once.
    pub(super) fn take_retry_after(&self) -> Option<Duration> {
        self.retry_after.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Its entry, if the registry lets it be asked today.
    fn entry(&self) -> Result<&Entry, AcmeFault> {
        let registry = &self.answering.registry;
        let approved = registry.infrastructure(self.ca.as_str(), VendorRole::Ca, day_of(unix_s()));
        approved.map(|approved| approved.entry()).map_err(|_refusal| AcmeFault::Registry)
    }

    /// The host of the entry that `uri` is at.
    fn host(&self, uri: &Uri) -> Result<&Host, AcmeFault> {
        let name = uri.host().ok_or(AcmeFault::Garbage)?;
        let port = uri.port_u16().unwrap_or(443);
        let is_https = uri.scheme_str() == Some("https");
        let mut hosts = self.entry()?.hosts.iter();
        let host = hosts.find(|host| is_https && host.name == name && host.port == port);
        host.ok_or(AcmeFault::Host)
    }

    async fn ask(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, AcmeFault> {
        let host = self.host(request.uri())?;
        let roots = self.entry()?.roots_pem.as_deref().unwrap_or_default();
        // What is signed is answered with a problem that the library reads; of a directory it would read anything.
        let is_plain_get = request.method() == Method::GET;
        let request = plain(request, host).ok_or(AcmeFault::Garbage)?;
        let answer = exchange::ask(&self.answering.dialler, host, roots, request, LIMITS).await;
        let Answer { status, mut headers, body } = answer.map_err(fault)?;
        let pause = tame_pause(&mut headers, unix_s());
        self.note(status, pause);
        if is_plain_get {
            refused(status)?;
            self.judge_directory(&body)?;
        }
        let (mut parts, ()) = Response::new(()).into_parts();
        (parts.status, parts.headers) = (status, headers);
        Ok(BytesResponse { parts, body: Box::new(body) })
    }

    /// Judges where a directory would send us. The library takes it for granted that these are addresses; what is none would end the
    /// process. An answer that is no directory has none of them.
    fn judge_directory(&self, body: &[u8]) -> Result<(), AcmeFault> {
        let Ok(said) = serde_json::from_slice::<Value>(body) else { return Ok(()) };
        for name in ["newNonce", "newAccount", "newOrder", "renewalInfo"] {
            let Some(address) = said.get(name).and_then(Value::as_str) else { continue };
            let address: Uri = address.parse().map_err(|_none| AcmeFault::Garbage)?;
            self.host(&address)?;
        }
        Ok(())
    }

    /// Keeps what a refusal says about when to come again.
    fn note(&self, status: StatusCode, pause: Option<Duration>) {
        let is_refused = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
        if let Some(pause) = pause.filter(|_| is_refused.contains(&status)) {
            let mut asked = self.retry_after.lock().unwrap_or_else(PoisonError::into_inner);
            *asked = Some(pause);
        }
    }
}

/// Makes what an answer says about when to come again a number of seconds that arithmetic on times can bear, or takes it out: the library
/// adds it to the time of day. It may be a number or a date (RFC 9110 §10.2.3).
fn tame_pause(headers: &mut HeaderMap, now_s: u64) -> Option<Duration> {
    let text = headers.remove(RETRY_AFTER)?;
    let text = text.to_str().ok()?.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = if is_number {
        // More digits than a number has: later than any.
        text.parse().unwrap_or(u64::MAX)
    } else {
        let date: SystemTime = httpdate::parse_http_date(text).ok()?;
        date.duration_since(UNIX_EPOCH).ok()?.as_secs().saturating_sub(now_s)
    };
    let pause = Duration::from_secs(seconds).min(limit::ACME_RETRY_ASKED_MAX);
    headers.insert(RETRY_AFTER, HeaderValue::from(pause.as_secs()));
    Some(pause)
}

/// What is taken of an answer.
const LIMITS: Limits =
    Limits { bytes: limit::ACME_ANSWER_BYTES_MAX, fields: limit::ACME_ANSWER_FIELDS_MAX };

fn fault(reason: NoAnswer) -> AcmeFault {
    match reason {
        NoAnswer::Dial(DialFault::DialLate) => AcmeFault::Late,
        NoAnswer::Dial(_) | NoAnswer::Tls => AcmeFault::Unreachable,
        NoAnswer::Broken | NoAnswer::Long => AcmeFault::Garbage,
    }
}

fn refused(status: StatusCode) -> Result<(), AcmeFault> {
    match status {
        _ if status.is_success() => Ok(()),
        StatusCode::TOO_MANY_REQUESTS => Err(AcmeFault::RateLimited),
        _ if status.is_server_error() => Err(AcmeFault::Broken),
        _ => Err(AcmeFault::Rejected),
    }
}

/// The request as it goes over a connection: the path alone, and the host's name in its field.
fn plain(request: Request<BodyWrapper<Bytes>>, host: &Host) -> Option<Request<BodyWrapper<Bytes>>> {
    let (mut parts, body) = request.into_parts();
    parts.uri = parts.uri.path_and_query()?.as_str().parse().ok()?;
    parts.headers.insert(HOST, HeaderValue::try_from(host.authority()).ok()?);
    Some(Request::from_parts(parts, body))
}

impl HttpClient for Authority {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let asking = Box::pin(self.clone().ask(request));
        Box::pin(async move {
            let mut outcome = Err(AcmeFault::Late);
            // What is signed with the account's key passes through the stack.
            wiped(async {
                if let Ok(answer) = timeout(limit::ACME_REQUEST_DEADLINE, asking).await {
                    outcome = answer;
                }
            })
            .await;
            outcome.map_err(|reason| Error::Other(Box::new(Failed(reason))))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_a_number_that_can_be_added_to_a_time_or_is_not_there() {
        let most = limit::ACME_RETRY_ASKED_MAX;
        for (said, expected) in [
            ("0", Some(Duration::ZERO)),
            (" 120 ", Some(Duration::from_secs(120))),
            ("9223372036854775807", Some(most)),
            ("99999999999999999999999999", Some(most)),
            ("Thu, 01 Jan 1970 01:00:00 GMT", Some(Duration::from_secs(3_000))),
            ("Thu, 01 Jan 1970 00:00:01 GMT", Some(Duration::ZERO)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(most)),
            ("", None),
            ("-1", None),
            ("+5", None),
            ("soon", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(RETRY_AFTER, HeaderValue::from_static(said));
            headers.append(RETRY_AFTER, HeaderValue::from_static("9223372036854775807"));
            assert_eq!(tame_pause(&mut headers, 600), expected, "{said}");
            let left: Vec<_> = headers.get_all(RETRY_AFTER).iter().collect();
            let expected = expected.map(|pause| HeaderValue::from(pause.as_secs()));
            assert_eq!(left, expected.iter().collect::<Vec<_>>(), "{said}");
        }
    }
}
