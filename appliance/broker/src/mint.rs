//! A vendor's own short-lived token: one request over TLS and HTTP/1.1 to the entry's host of purpose `token`.
//!
//! The key goes from its place into one header field and nowhere else; every copy that a library makes lies in blocks
//! that the allocator wipes. A token is for the one connection that was asked for: none is kept, none is given twice.
//! It follows no redirect, and nothing in the request is media's.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderName};
use hyper::{Request, StatusCode};
use serde_json::Value;
use tokio::time::timeout;
use ward_edge::wiped::wiped;
use ward_policy::fault::DialFault;
use ward_policy::limit;
use ward_policy::phi::Secret;
use ward_policy::vendor::{Host, Mint};

use crate::answer::unix_s;
use crate::dial::Dialler;
use crate::exchange::{Limits, NoAnswer, ask, secret_field};

/// What is taken of an answer.
const LIMITS: Limits =
    Limits { bytes: limit::MINT_ANSWER_BYTES_MAX, fields: limit::MINT_ANSWER_FIELDS_MAX };

/// What is asked, of whom, and for how long at most.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) mint: &'a Mint,
    pub(crate) host: &'a Host,
    pub(crate) roots_pem: &'a str,
    pub(crate) key: &'a [u8],
    pub(crate) max_ttl_s: u32,
}

/// A token, and for how many seconds it is good.
pub(crate) struct Minted {
    pub(crate) token: Secret<String>,
    pub(crate) ttl_s: u32,
}

/// A token for one connection, within [`limit::MINT_DEADLINE`].
pub(crate) async fn mint(dialler: &Dialler, asked: Asked<'_>) -> Result<Minted, DialFault> {
    let mut outcome = Err(DialFault::MintLate);
    // Key and token pass through the stack.
    wiped(async {
        let fetching = Box::pin(fetch(dialler, asked));
        if let Ok(done) = timeout(limit::MINT_DEADLINE, fetching).await {
            outcome = done;
        }
    })
    .await;
    outcome
}

async fn fetch(dialler: &Dialler, asked: Asked<'_>) -> Result<Minted, DialFault> {
    let request = request(asked).ok_or(DialFault::NoCredential)?;
    let answer = ask(dialler, asked.host, asked.roots_pem, request, LIMITS).await;
    let answer = answer.map_err(|reason| match reason {
        NoAnswer::Dial(fault) => fault,
        NoAnswer::Tls | NoAnswer::Broken => DialFault::MintFailed,
        NoAnswer::Long => DialFault::MintGarbage,
    })?;
    refused(answer.status)?;
    read(&answer.body, asked, unix_s())
}

/// The request; `None` when the key cannot stand in a header.
fn request(asked: Asked<'_>) -> Option<Request<Full<Bytes>>> {
    let Asked { mint, host, key, .. } = asked;
    let field = secret_field(mint.key_prefix.as_bytes(), key)?;
    let mut request = Request::builder()
        .method(mint.method.name())
        .uri(mint.path.as_str())
        .header(HOST, host.authority())
        .header(ACCEPT, "application/json")
        .header(HeaderName::try_from(mint.key_header.as_str()).ok()?, field);
    for header in &mint.headers {
        request = request.header(header.name.as_str(), header.value.as_str());
    }
    let mut body = String::new();
    if let Some((content_type, text)) = mint.sent() {
        request = request.header(CONTENT_TYPE, content_type);
        text.clone_into(&mut body);
    }
    request.body(Full::from(body)).ok()
}

fn refused(status: StatusCode) -> Result<(), DialFault> {
    if status.is_success() {
        Ok(())
    } else if status.is_client_error() {
        Err(DialFault::MintRefused)
    } else {
        Err(DialFault::MintFailed)
    }
}

/// The token and its life, `now_s` seconds after 1970-01-01.
fn read(body: &[u8], asked: Asked<'_>, now_s: u64) -> Result<Minted, DialFault> {
    let Asked { mint, max_ttl_s, .. } = asked;
    let garbage = DialFault::MintGarbage;
    let mut answer: Value = serde_json::from_slice(body).map_err(|_shape| garbage)?;
    let seconds = |at: &str| answer.pointer(at).and_then(seconds).ok_or(garbage);
    let left_s = match (&mint.expires_in, &mint.expires_at) {
        (Some(at), _) => seconds(at)?,
        (None, Some(at)) => seconds(at)?.saturating_sub(i64::try_from(now_s).unwrap_or(i64::MAX)),
        (None, None) => i64::from(max_ttl_s),
    };
    let token = match answer.pointer_mut(&mint.token).map(Value::take) {
        Some(Value::String(token)) => Secret::new(token),
        _ => return Err(garbage),
    };
    // It will stand in a header or a subprotocol.
    let is_plain = token.expose().bytes().all(|byte| byte.is_ascii_graphic());
    if !is_plain || !(1..=limit::TOKEN_BYTES_MAX).contains(&token.expose().len()) {
        return Err(garbage);
    }
    let ttl_s = u32::try_from(left_s.max(0)).unwrap_or(u32::MAX).min(max_ttl_s);
    if ttl_s == 0 { Err(DialFault::MintOver) } else { Ok(Minted { token, ttl_s }) }
}

/// Whole seconds of a JSON number; what stands behind a point is dropped.
fn seconds(value: &Value) -> Option<i64> {
    let Value::Number(number) = value else { return None };
    number.to_string().split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests;
