//! AWS Secrets Manager, as the role of the instance: its metadata service gives the role's credentials, and one signed request the secret.
//!
//! It never falls back to the first version of the metadata service, and reads nothing of it but the role.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use serde_json::{Value as Json, json};
use tokio::time::timeout;
use ward_edge::random::chance;
use ward_policy::credential::CredentialKind;
use ward_policy::date::Date;
use ward_policy::fault::SourceFault;
use ward_policy::limit;
use ward_policy::phi::Secret;
use ward_policy::vendor::KeyPlace;

use super::schedule::refresh_after;
use super::{Context, Fetched, ahead_s};
use crate::answer::unix_s;
use crate::exchange::{Answer, secret_field};
use crate::sigv4::{Credentials, ToSign, amz_date, authorization};

#[derive(Clone)]
pub(super) struct Aws {
    region: String,
    /// The entry of the metadata service.
    metadata: String,
    /// When the role's credentials are asked for again.
    renew_at: Duration,
    /// By how many seconds its clock is before ours, once that was seen to matter.
    ahead_s: i64,
}

/// What the service's name is in a signature.
const SERVICE: &str = "secretsmanager";
const TARGET: &str = "secretsmanager.GetSecretValue";
const JSON: &str = "application/x-amz-json-1.1";
const ROLE_PATH: &str = "/latest/meta-data/iam/security-credentials/";

impl Aws {
    pub(super) const fn new(region: String, metadata: String) -> Self {
        Self { region, metadata, renew_at: Duration::ZERO, ahead_s: 0 }
    }

    pub(super) async fn fetch(
        &mut self,
        context: Context<'_>,
        wanted: &KeyPlace,
    ) -> Result<Fetched, SourceFault> {
        let mut mended = None;
        loop {
            let error = match self.try_once(context, wanted).await {
                Ok(value) => {
                    return Ok(Fetched { value: Some(value), ttl: None, lease: None, mended });
                }
                Err(error) => error,
            };
            // Each is put right once: what fails again is somebody else's to mend.
            if mended.is_some() {
                return Err(error.fault);
            }
            match error {
                Refused { ahead_s: Some(ahead_s), .. } => {
                    self.ahead_s = ahead_s;
                    mended = Some(SourceFault::Clock);
                }
                Refused { fault: SourceFault::Expired, .. } => {
                    context.answering.sources.values.forget(context.id);
                    mended = Some(SourceFault::Expired);
                }
                Refused { fault, .. } => return Err(fault),
            }
        }
    }

    async fn try_once(
        &mut self,
        context: Context<'_>,
        wanted: &KeyPlace,
    ) -> Result<Secret<Vec<u8>>, Refused> {
        self.log_in(context).await?;
        let request = self.request(context, &wanted.path).ok_or(SourceFault::Expired)?;
        let answer = context.ask(request).await?;
        if !answer.status.is_success() {
            return Err(refused(&answer, unix_s(), self.ahead_s));
        }
        let mut answer: Json = serde_json::from_slice(&answer.body).map_err(|_shape| GARBAGE)?;
        let Some(Json::String(text)) = answer.get_mut("SecretString").map(Json::take) else {
            return Err(SourceFault::Garbage.into());
        };
        let text = Secret::new(text);
        let value = match &wanted.field {
            None => Secret::new(text.expose().as_bytes().to_vec()),
            Some(field) => {
                let mut fields: Json =
                    serde_json::from_str(text.expose()).map_err(|_shape| GARBAGE)?;
                match fields.pointer_mut(field).map(Json::take) {
                    Some(Json::String(value)) => Secret::new(value.into_bytes()),
                    _ => return Err(SourceFault::Absent.into()),
                }
            }
        };
        Ok(value)
    }

    /// Has the role's credentials, and fresh ones when it is time for that.
    async fn log_in(&mut self, context: Context<'_>) -> Result<(), SourceFault> {
        let is_there = context.session().is_some();
        if is_there && context.now() < self.renew_at {
            return Ok(());
        }
        // All three requests in one: the fetch that they are for has to end in time too.
        let asked = timeout(limit::METADATA_DEADLINE, Box::pin(self.role(context))).await;
        match asked.unwrap_or(Err(SourceFault::Late)) {
            Ok(()) => Ok(()),
            // Those that are there are good until their end.
            Err(_fault) if is_there => {
                self.renew_at = context.again_at();
                Ok(())
            }
            Err(fault) => Err(fault),
        }
    }

    /// Asks the metadata service for the role's credentials.
    async fn role(&mut self, context: Context<'_>) -> Result<(), SourceFault> {
        let began = context.now();
        let builder = Request::put("/latest/api/token")
            .header("x-aws-ec2-metadata-token-ttl-seconds", limit::METADATA_TOKEN_TTL_S);
        let answer = self.metadata(context, builder).await?;
        let token = secret_field(b"", answer.body.trim_ascii()).ok_or(SourceFault::Garbage)?;
        let get = async |path: &str| {
            let builder = Request::get(path).header("x-aws-ec2-metadata-token", token.clone());
            self.metadata(context, builder).await
        };
        let names = get(ROLE_PATH).await?.body;
        let name = names.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(byte);
        let name = std::str::from_utf8(name).ok().filter(|name| {
            (1..=limit::MINT_WORD_CHARS_MAX).contains(&name.len())
                && name.as_bytes().iter().all(is_name)
        });
        let name = name.ok_or(SourceFault::Absent)?;
        let answer = get(&format!("{ROLE_PATH}{name}")).await?;
        let now_s = corrected(unix_s(), ahead_s(&answer, unix_s()).unwrap_or(self.ahead_s));
        let body: Json = serde_json::from_slice(&answer.body).map_err(|_shape| GARBAGE)?;
        let text = |name: &str| {
            let text = body.get(name).and_then(Json::as_str);
            text.filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()))
                .ok_or(SourceFault::Garbage)
        };
        let parts = [text("AccessKeyId")?, text("SecretAccessKey")?, text("Token")?];
        let until_s = parse_time(text("Expiration")?).ok_or(SourceFault::Garbage)?;
        let ttl = Duration::from_secs(until_s.saturating_sub(now_s)).min(limit::SESSION_TTL_MAX);
        if ttl.is_zero() {
            return Err(SourceFault::Over);
        }
        let bytes = parts.iter().map(|part| part.len().saturating_add(1)).sum();
        let mut session = Secret::new(Vec::with_capacity(bytes));
        for part in parts {
            session.expose_mut().extend_from_slice(part.as_bytes());
            session.expose_mut().push(b'\n');
        }
        let (values, kind) = (&context.answering.sources.values, CredentialKind::SourceSession);
        let put = values.put(context.id, kind, session.expose(), began.saturating_add(ttl));
        put.map_err(|_place| SourceFault::Memory)?;
        self.renew_at = began.saturating_add(refresh_after(ttl, chance()));
        Ok(())
    }

    async fn metadata(
        &self,
        context: Context<'_>,
        builder: hyper::http::request::Builder,
    ) -> Result<Answer, SourceFault> {
        let host = context.metadata_host(&self.metadata)?;
        let request = builder.header(HOST, host).body(Full::default());
        let request = request.map_err(|_request| SourceFault::Garbage)?;
        let answer = context.ask_metadata(&self.metadata, request).await?;
        match answer.status.as_u16() {
            200 => Ok(answer),
            404 => Err(SourceFault::Absent),
            429 => Err(SourceFault::Throttled),
            400..=499 => Err(SourceFault::Refused),
            _ => Err(SourceFault::Broken),
        }
    }

    /// The one request that is made of Secrets Manager, signed; `None` without credentials.
    fn request(&self, context: Context<'_>, secret: &str) -> Option<Request<Full<Bytes>>> {
        let session = context.session()?;
        let mut parts = session.bytes().split(|byte| *byte == b'\n');
        let access_key_id = std::str::from_utf8(parts.next()?).ok()?;
        let secret_access_key = parts.next()?;
        let token = std::str::from_utf8(parts.next()?).ok()?;
        let host = context.host().ok()?.authority();
        let at_s = corrected(unix_s(), self.ahead_s);
        let date = amz_date(at_s);
        let body = json!({ "SecretId": secret }).to_string();
        let headers = [
            ("content-type", JSON),
            ("host", &host),
            ("x-amz-date", &date),
            ("x-amz-security-token", token),
            ("x-amz-target", TARGET),
        ];
        let to_sign = ToSign {
            method: "POST",
            path: "/",
            headers: &headers,
            body: body.as_bytes(),
            region: &self.region,
            service: SERVICE,
            at_s,
        };
        let credentials = Credentials { access_key_id, secret_access_key };
        let signature = HeaderValue::try_from(authorization(&to_sign, credentials)).ok()?;
        let request = Request::post("/")
            .header(HOST, &host)
            .header(CONTENT_TYPE, JSON)
            .header("x-amz-date", &date)
            .header("x-amz-target", TARGET)
            .header("x-amz-security-token", secret_field(b"", token.as_bytes())?)
            .header(AUTHORIZATION, signature);
        request.body(Full::from(body)).ok()
    }
}

const GARBAGE: Refused = Refused { fault: SourceFault::Garbage, ahead_s: None };

/// Why there is no secret, and, if our clock was the reason, by how many seconds theirs is before it.
#[derive(Debug, PartialEq, Eq)]
struct Refused {
    fault: SourceFault,
    ahead_s: Option<i64>,
}

impl From<SourceFault> for Refused {
    fn from(fault: SourceFault) -> Self {
        Self { fault, ahead_s: None }
    }
}

impl From<Refused> for SourceFault {
    fn from(refused: Refused) -> Self {
        refused.fault
    }
}

/// Seconds since 1970 by the clock of whoever is `ahead_s` before us.
pub(super) const fn corrected(now_s: u64, ahead_s: i64) -> u64 {
    now_s.saturating_add_signed(ahead_s)
}

/// What an answer that is no success means: AWS's error type stands in its body, or in a header. `used_s` is by how many seconds
/// the request was dated before our clock.
fn refused(answer: &Answer, now_s: u64, used_s: i64) -> Refused {
    let body: Json = serde_json::from_slice(&answer.body).unwrap_or_default();
    let header = answer.headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok());
    let kind = body.get("__type").and_then(Json::as_str).or(header).unwrap_or_default();
    // `namespace#Type`, or `Type:http://…` in the header.
    let kind = kind.rsplit('#').next().unwrap_or_default();
    let kind = kind.split(':').next().unwrap_or_default();
    let status = answer.status.as_u16();
    let of_clock = ["InvalidSignatureException", "SignatureDoesNotMatch", "RequestTimeTooSkewed"];
    if of_clock.contains(&kind) || kind.starts_with("RequestExpired") {
        // What was refused was dated by our clock as it was put right before: either may have been set since.
        let is_off =
            |ahead: &i64| ahead.saturating_sub(used_s).unsigned_abs() > limit::CLOCK_SKEW_MAX_S;
        let ahead_s = ahead_s(answer, now_s).filter(is_off);
        let fault = if ahead_s.is_some() { SourceFault::Clock } else { SourceFault::Refused };
        return Refused { fault, ahead_s };
    }
    let fault = match kind {
        "ExpiredToken" | "ExpiredTokenException" => SourceFault::Expired,
        "ResourceNotFoundException" => SourceFault::Absent,
        _ if status == 429 || kind.contains("Throttl") || kind.contains("TooManyRequests") => {
            SourceFault::Throttled
        }
        "LimitExceededException" => SourceFault::Throttled,
        _ if (400..500).contains(&status) => SourceFault::Refused,
        _ => SourceFault::Broken,
    };
    fault.into()
}

/// `2017-05-17T15:09:54Z`, in seconds since 1970.
pub(super) fn parse_time(text: &str) -> Option<u64> {
    let (day, time) = text.strip_suffix('Z')?.split_once('T')?;
    let days = Date::from_days(0).days_until(Date::parse(day).ok()?);
    let mut seconds = 0_u64;
    let mut parts = 0;
    for part in time.split(':') {
        let is_number = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        let part: u64 = part.parse().ok().filter(|part| is_number && *part < 61)?;
        seconds = seconds.saturating_mul(60).saturating_add(part);
        parts += 1;
    }
    let days = u64::try_from(days).ok().filter(|_days| parts == 3)?;
    Some(days.saturating_mul(86_400).saturating_add(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::StatusCode;
    use hyper::header::{DATE, HeaderMap};

    #[test]
    fn a_time_is_taken_whole_or_not_at_all() {
        assert_eq!(parse_time("2015-08-30T12:36:00Z"), Some(1_440_938_160));
        assert_eq!(parse_time("1970-01-01T00:00:00Z"), Some(0));
        for text in [
            "",
            "2015-08-30",
            "2015-08-30T12:36:00",
            "2015-08-30T12:36Z",
            "1969-01-01T00:00:00Z",
            "2015-08-30T12:36:0aZ",
            "2015-08-30T12:36:00.5Z",
            "2015-02-30T12:36:00Z",
            "2015-08-30T99:36:00Z",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    #[test]
    fn an_error_is_known_by_its_type_and_a_clock_by_the_date_of_the_answer() {
        let check_by = |used_s: i64, status: u16, body: &str, date: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(date) = date {
                headers.insert(DATE, date.parse().unwrap());
            }
            let status = StatusCode::from_u16(status).unwrap();
            let answer = Answer { status, headers, body: Bytes::from(body.to_owned()) };
            refused(&answer, 784_111_777, used_s)
        };
        let check = |status, body: &str, date| check_by(0, status, body, date);
        for (status, kind, fault) in [
            (400, "ThrottlingException", SourceFault::Throttled),
            (429, "", SourceFault::Throttled),
            (400, "com.amazonaws.secretsmanager#ResourceNotFoundException", SourceFault::Absent),
            (400, "ExpiredTokenException", SourceFault::Expired),
            (403, "AccessDeniedException", SourceFault::Refused),
            (400, "UnrecognizedClientException", SourceFault::Refused),
            (400, "InvalidSignatureException", SourceFault::Refused),
            (500, "InternalServiceError", SourceFault::Broken),
            (503, "", SourceFault::Broken),
        ] {
            let body = json!({ "__type": kind, "message": "…" }).to_string();
            assert_eq!(check(status, &body, None), fault.into(), "{status} {kind}");
        }
        assert_eq!(check(502, "<html>", None), SourceFault::Broken.into());
        let skewed = r#"{"__type":"InvalidSignatureException"}"#;
        // 1994-11-06 08:49:37, and an hour later.
        let now = check(400, skewed, Some("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert_eq!(now, SourceFault::Refused.into());
        let later = check(400, skewed, Some("Sun, 06 Nov 1994 09:49:37 GMT"));
        assert_eq!(later, Refused { fault: SourceFault::Clock, ahead_s: Some(3_600) });
        let before = check(400, skewed, Some("Sun, 06 Nov 1994 07:49:37 GMT"));
        assert_eq!(before.ahead_s, Some(-3_600));
        // A correction that has become wrong is put right too, to none at all if that is what is right.
        for (used_s, date, ahead_s) in [
            (3_600, "Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
            (-3_600, "Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
            (-3_600, "Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
            (3_600, "Sun, 06 Nov 1994 07:49:37 GMT", Some(-3_600)),
            (3_600, "Sun, 06 Nov 1994 09:49:37 GMT", None),
            (3_600, "Sun, 06 Nov 1994 09:50:30 GMT", None),
            (i64::MIN, "Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
        ] {
            let found = check_by(used_s, 400, skewed, Some(date)).ahead_s;
            assert_eq!(found, ahead_s, "{used_s} {date}");
        }
        assert_eq!((corrected(10, -3), corrected(10, 3)), (7, 13));
    }
}
