//! `HashiCorp` Vault and `OpenBao`: log in as a role, read a path, honour its lease.
//!
//! By the HTTP API's documentation: `auth/approle`, `auth/jwt`, `auth/token`, `secret/kv/kv-v2`, `system/leases`. What it logs in with
//! is in the keys' document, under the source's own id.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::http::request::Builder;
use serde_json::{Value as Json, json};
use tokio::time::timeout;
use ward_edge::random::chance;
use ward_policy::credential::CredentialKind;
use ward_policy::fault::SourceFault;
use ward_policy::limit;
use ward_policy::phi::Secret;
use ward_policy::vendor::{KeyPlace, VaultAuth};

use super::aws::{corrected, parse_time};
use super::schedule::refresh_after;
use super::{Context, Fetched, ahead_s};
use crate::answer::unix_s;
use crate::exchange::{Answer, secret_field};

#[derive(Clone)]
pub(super) struct Vault {
    auth: VaultAuth,
    mount: String,
    role: String,
    namespace: Option<String>,
    /// When the token is renewed, or another is asked for.
    renew_at: Duration,
    /// The life of the token as it was granted; zero for one that cannot be renewed.
    renewable: Duration,
}

impl Vault {
    pub(super) fn new(auth: VaultAuth, mount: &str, role: &str, namespace: Option<String>) -> Self {
        Self {
            auth,
            mount: mount.to_owned(),
            role: role.to_owned(),
            namespace,
            renew_at: Duration::ZERO,
            renewable: Duration::ZERO,
        }
    }

    pub(super) async fn fetch(
        &mut self,
        context: Context<'_>,
        wanted: &KeyPlace,
    ) -> Result<Fetched, SourceFault> {
        let is_fresh = self.log_in(context).await?;
        let fetched = self.read(context, wanted).await;
        if fetched.as_ref().err() != Some(&SourceFault::Refused) || is_fresh {
            return fetched;
        }
        // Its token may have been revoked: once more with another.
        context.answering.sources.values.forget(context.id);
        self.log_in(context).await?;
        let fetched = self.read(context, wanted).await?;
        Ok(Fetched { mended: Some(SourceFault::Expired), ..fetched })
    }

    pub(super) async fn give_back(
        &mut self,
        context: Context<'_>,
        lease: &str,
    ) -> Result<(), SourceFault> {
        let body = json!({ "lease_id": lease }).to_string();
        let builder = Request::put("/v1/sys/leases/revoke");
        self.ask(context, builder, Some(Bytes::from(body)), true).await.map(drop)
    }

    async fn read(&self, context: Context<'_>, wanted: &KeyPlace) -> Result<Fetched, SourceFault> {
        let builder = Request::get(format!("/v1/{}", wanted.path));
        let answer = self.ask(context, builder, None, true).await?;
        let garbage = SourceFault::Garbage;
        let now_s = corrected(unix_s(), ahead_s(&answer, unix_s()).unwrap_or(0));
        let mut answer: Json = serde_json::from_slice(&answer.body).map_err(|_shape| garbage)?;
        let until_deleted = until_deleted(&answer, now_s);
        let lease_s = answer.get("lease_duration").and_then(Json::as_u64).unwrap_or(0);
        let lease = answer.get("lease_id").and_then(Json::as_str).filter(|lease| !lease.is_empty());
        let lease = lease.map(str::to_owned);
        let field = wanted.field.as_deref().unwrap_or_default();
        let value = answer.get_mut("data").and_then(|data| data.pointer_mut(field));
        let value = match value.map(Json::take) {
            Some(Json::String(value)) => Some(Secret::new(value.into_bytes())),
            _ => None,
        };
        // A lease ends with the token that it was given to, if not before.
        let session = context.session().map(|session| session.until());
        let session = session.map_or(Duration::ZERO, |end| end.saturating_sub(context.now()));
        let granted = Duration::from_secs(lease_s);
        let of_lease = lease.is_some().then(|| granted.min(session));
        // KV 1 says without a lease when to come again; KV 2 when the version is to be deleted.
        let of_secret = (lease.is_none() && lease_s > 0).then_some(granted);
        let ttl = [of_lease, of_secret, until_deleted].into_iter().flatten().min();
        Ok(Fetched { value, ttl, lease, mended: None })
    }

    /// Has a token, a longer one when it is time for that; whether it is a new one.
    async fn log_in(&mut self, context: Context<'_>) -> Result<bool, SourceFault> {
        let is_there = context.session().is_some();
        if is_there && context.now() < self.renew_at {
            return Ok(false);
        }
        if !is_there {
            return self.greet(context).await.map(|()| true);
        }
        // The one that is there is good until its end: whoever does not answer must not take the time that it is needed in.
        let asked = timeout(limit::SESSION_DEADLINE, Box::pin(self.lengthen(context))).await;
        let asked = asked.unwrap_or(Err(SourceFault::Late));
        if asked.is_err() {
            self.renew_at = context.again_at();
        }
        Ok(asked.unwrap_or(false))
    }

    /// A longer life for the token that is there, or another token; whether it is another.
    async fn lengthen(&mut self, context: Context<'_>) -> Result<bool, SourceFault> {
        if !self.renewable.is_zero() && self.renew(context).await.is_ok() {
            return Ok(false);
        }
        self.greet(context).await.map(|()| true)
    }

    /// A longer life for the token. One that can no longer be renewed for half of what it was granted is replaced.
    async fn renew(&mut self, context: Context<'_>) -> Result<(), SourceFault> {
        let (began, first) = (context.now(), self.renewable);
        let builder = Request::post("/v1/auth/token/renew-self");
        let answer = self.ask(context, builder, Some(Bytes::from_static(b"{}")), true).await?;
        let session = context.session().ok_or(SourceFault::Expired)?;
        let granted = self.take(context, &answer, began, Some(session.bytes()))?;
        self.renewable = first;
        if granted.saturating_mul(2) < first { Err(SourceFault::Over) } else { Ok(()) }
    }

    /// A token of its own.
    async fn greet(&mut self, context: Context<'_>) -> Result<(), SourceFault> {
        let began = context.now();
        let secret = context.answering.keys.of(context.id).ok_or(SourceFault::Refused)?;
        let secret = std::str::from_utf8(secret).map_err(|_text| SourceFault::Refused)?;
        let body = match self.auth {
            VaultAuth::Approle => json!({ "role_id": self.role, "secret_id": secret }),
            VaultAuth::Jwt => json!({ "role": self.role, "jwt": secret }),
        };
        let body = Bytes::from(body.to_string());
        let builder = Request::post(format!("/v1/auth/{}/login", self.mount));
        let answer = self.ask(context, builder, Some(body), false).await?;
        self.take(context, &answer, began, None).map(drop)
    }

    /// Takes the token of an answer, or `known` with the life of the answer; for how long it was granted.
    fn take(
        &mut self,
        context: Context<'_>,
        answer: &Answer,
        began: Duration,
        known: Option<&[u8]>,
    ) -> Result<Duration, SourceFault> {
        let garbage = SourceFault::Garbage;
        let body: Json = serde_json::from_slice(&answer.body).map_err(|_shape| garbage)?;
        let auth = body.get("auth").ok_or(garbage)?;
        let granted_s = auth.get("lease_duration").and_then(Json::as_u64).ok_or(garbage)?;
        let granted = match granted_s {
            // At a renewal, that its longest life is over; else for ever, for Vault and not for us.
            0 if known.is_some() => return Err(SourceFault::Over),
            0 => limit::SESSION_TTL_MAX,
            seconds => Duration::from_secs(seconds),
        };
        let ttl = granted.min(limit::SESSION_TTL_MAX);
        let text = auth.get("client_token").and_then(Json::as_str).map(str::as_bytes);
        let token = known.or(text).filter(|token| !token.is_empty()).ok_or(garbage)?;
        let (values, kind) = (&context.answering.sources.values, CredentialKind::SourceSession);
        let put = values.put(context.id, kind, token, began.saturating_add(ttl));
        put.map_err(|_place| SourceFault::Memory)?;
        let is_renewable = auth.get("renewable").and_then(Json::as_bool).unwrap_or(false);
        self.renewable = if is_renewable { ttl } else { Duration::ZERO };
        self.renew_at = began.saturating_add(refresh_after(ttl, chance()));
        Ok(ttl)
    }

    async fn ask(
        &self,
        context: Context<'_>,
        builder: Builder,
        body: Option<Bytes>,
        is_logged_in: bool,
    ) -> Result<Answer, SourceFault> {
        let mut builder =
            builder.header(HOST, context.host()?.authority()).header("x-vault-request", "true");
        if let Some(namespace) = &self.namespace {
            builder = builder.header("x-vault-namespace", namespace);
        }
        if is_logged_in {
            let session = context.session().ok_or(SourceFault::Expired)?;
            let token = secret_field(b"", session.bytes()).ok_or(SourceFault::Garbage)?;
            builder = builder.header("x-vault-token", token);
        }
        if body.is_some() {
            builder = builder.header(CONTENT_TYPE, "application/json");
        }
        let request = builder.body(Full::from(body.unwrap_or_default()));
        let answer = context.ask(request.map_err(|_request| SourceFault::Absent)?).await?;
        match answer.status.as_u16() {
            200..=299 => Ok(answer),
            404 => Err(SourceFault::Absent),
            // 412 and 472 to 473: a standby that is not there yet.
            412 | 472 | 473 => Err(SourceFault::Broken),
            429 => Err(SourceFault::Throttled),
            400..=499 => Err(SourceFault::Refused),
            _ => Err(SourceFault::Broken),
        }
    }
}

/// How long it is from `now_s` until the version of KV 2 in `answer` is deleted, if it says so: `2018-03-22T02:36:43.986212308Z`,
/// and nothing for one that stays.
fn until_deleted(answer: &Json, now_s: u64) -> Option<Duration> {
    let text = answer.pointer("/data/metadata/deletion_time")?.as_str()?;
    let (whole, _fraction) = text.split_once('.').unwrap_or((text.strip_suffix('Z')?, ""));
    let at_s = parse_time(&format!("{whole}Z"))?;
    Some(Duration::from_secs(at_s.saturating_sub(now_s)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_is_to_be_deleted_says_when() {
        let left = |text: &str| {
            let answer = json!({ "data": { "metadata": { "deletion_time": text } } });
            until_deleted(&answer, 1_440_938_100).map(|left| left.as_secs())
        };
        assert_eq!(left("2015-08-30T12:36:00Z"), Some(60));
        assert_eq!(left("2015-08-30T12:36:00.986212308Z"), Some(60));
        assert_eq!(left("2015-08-30T12:00:00Z"), Some(0), "over");
        for none in ["", "soon", "2015-08-30", "2015-08-30T12:36:00"] {
            assert_eq!(left(none), None, "{none}");
        }
        assert_eq!(until_deleted(&json!({ "data": { "key": "x" } }), 0), None);
    }
}
