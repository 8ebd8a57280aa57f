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
use ward_edge::random::chance;
use ward_policy::credential::CredentialKind;
use ward_policy::fault::SourceFault;
use ward_policy::limit;
use ward_policy::phi::Secret;
use ward_policy::vendor::{KeyPlace, VaultAuth};

use super::schedule::refresh_after;
use super::{Context, Fetched};
use crate::exchange::{Answer, secret_field};

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
        let mut answer: Json = serde_json::from_slice(&answer.body).map_err(|_shape| garbage)?;
        let lease_s = answer.get("lease_duration").and_then(Json::as_u64).unwrap_or(0);
        let lease = answer.get("lease_id").and_then(Json::as_str).filter(|lease| !lease.is_empty());
        let lease = lease.map(str::to_owned);
        let field = wanted.field.as_deref().unwrap_or_default();
        let value = answer.get_mut("data").and_then(|data| data.pointer_mut(field));
        let Some(Json::String(value)) = value.map(Json::take) else {
            return Err(SourceFault::Absent);
        };
        let value = Secret::new(value.into_bytes());
        // A lease ends with the token that it was given to, if not before.
        let session = context.session().map(|session| session.until());
        let session = session.map_or(Duration::ZERO, |end| end.saturating_sub(context.now()));
        let ttl = lease.is_some().then(|| Duration::from_secs(lease_s).min(session));
        Ok(Fetched { value, ttl, lease, mended: None })
    }

    /// Has a token, a longer one when it is time for that; whether it is a new one.
    async fn log_in(&mut self, context: Context<'_>) -> Result<bool, SourceFault> {
        let is_there = context.session().is_some();
        if is_there && context.now() < self.renew_at {
            return Ok(false);
        }
        if is_there && !self.renewable.is_zero() && self.renew(context).await.is_ok() {
            return Ok(false);
        }
        match self.greet(context).await {
            Ok(()) => Ok(true),
            // The one that is there is good until its end.
            Err(_fault) if is_there => Ok(false),
            Err(fault) => Err(fault),
        }
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
