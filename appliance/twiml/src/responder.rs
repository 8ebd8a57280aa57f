//! The two routes: the webhook and the health of the server.
//!
//! Order matters: route, token, method, signature header, type, body, signature, schema, ticket. Each step
//! that fails answers with a fixed body and is recorded once.

use std::sync::{Arc, PoisonError, RwLock};

use hyper::body::Incoming;
use hyper::{Method, Request};
use ward_edge::answer::Answer;
use ward_edge::clock::date_ms;
use ward_edge::connection::{Handler, read_body};
use ward_edge::drain::{Drain, Phase};
use ward_edge::log::Log;
use ward_edge::random::{Pseudonyms, ticket_nonce};
use ward_policy::audit::Event;
use ward_policy::credential::CredentialKind;
use ward_policy::fault::Refusal;
use ward_policy::limit;
use ward_policy::ticket::Validity;
use ward_twilio::form::Form;
use ward_twilio::sid::CallSid;
use ward_twilio::signature::{Signature, SignatureError};
use ward_twilio::ticket::TicketKey;
use ward_twilio::twiml::{TicketForm, connect_stream, connect_stream_with};
use ward_twilio::webhook::{VoiceWebhook, WebhookError};

use crate::credentials::Credentials;
use crate::settings::TwimlSettings;

/// The webhook's path, fixed by the seed document.
pub const WEBHOOK_PATH: &str = "/api/voice/incoming";
/// Where a load balancer asks whether to send traffic.
pub const HEALTH_PATH: &str = "/health";

/// Answers requests.
#[derive(Debug)]
pub struct Responder {
    settings: TwimlSettings,
    credentials: RwLock<Arc<Credentials>>,
    pseudonyms: Pseudonyms,
    drain: Drain,
    log: Log,
}

impl Responder {
    /// A responder that answers nobody until it has credentials.
    #[must_use]
    pub fn new(settings: TwimlSettings, pseudonyms: Pseudonyms, drain: Drain, log: Log) -> Self {
        Self { settings, credentials: RwLock::default(), pseudonyms, drain, log }
    }

    /// Takes a document of credentials in the place of those in use, if it can be used.
    pub fn take(&self, document: &str) -> bool {
        let Ok(credentials) = Credentials::parse(document, self.settings.ticket) else {
            self.log.record(&Event::CredentialsRefused);
            return false;
        };
        let tokens = credentials.tokens.count();
        let ticket_keys = u8::from(credentials.ticket_key.is_some());
        let credentials = Arc::new(credentials);
        *self.credentials.write().unwrap_or_else(PoisonError::into_inner) = credentials;
        self.log.holds(CredentialKind::AuthToken, usize::from(tokens));
        self.log.record(&Event::CredentialsSet { tokens, ticket_keys });
        if tokens == 0 {
            self.log.record(&Event::NotReady);
        }
        true
    }

    /// The credentials in use: a request goes by those that it finds.
    fn credentials(&self) -> Arc<Credentials> {
        Arc::clone(&self.credentials.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn webhook(
        &self,
        request: Request<Incoming>,
        credentials: &Credentials,
    ) -> Result<Answer, Refusal> {
        let values = request.headers().get_all("x-twilio-signature");
        let values = values.iter().map(hyper::header::HeaderValue::as_bytes);
        let signature = Signature::from_headers(values).map_err(refusal)?;
        if !is_form(&request) {
            return Err(Refusal::BodyType);
        }
        let target = request.uri().path_and_query().map_or(WEBHOOK_PATH, |target| target.as_str());
        let url = format!("{}{target}", self.settings.site);
        let body = read_body(request.into_body()).await?;
        self.answer(&url, body.expose(), &signature, credentials)
    }

    fn answer(
        &self,
        url: &str,
        body: &[u8],
        signature: &Signature,
        credentials: &Credentials,
    ) -> Result<Answer, Refusal> {
        let form = Form::parse(body).map_err(|_form| Refusal::BodyMalformed)?;
        let form = credentials.tokens.verify_form(url, form, signature).map_err(refusal)?;
        let (account, application) = (&self.settings.account, self.settings.application.as_ref());
        let webhook =
            VoiceWebhook::parse(&form, account, application).map_err(|error| match error {
                WebhookError::Field(_) => Refusal::Schema,
                WebhookError::Foreign(_) => Refusal::ForeignAccount,
            })?;
        let document = self.document(webhook.call_sid(), credentials)?;
        if let Some(call) = self.pseudonyms.pseudonym(&webhook.call_sid().canonical()) {
            self.log.record(&Event::WebhookAnswered { token: form.token(), call });
        }
        Ok(Answer::ok("text/xml; charset=utf-8", document))
    }

    /// The document for one call: with a ticket of its own, where calls carry one.
    fn document(&self, call: &CallSid, credentials: &Credentials) -> Result<String, Refusal> {
        let TwimlSettings { media, path, ticket: form, .. } = &self.settings;
        match (form, &credentials.ticket_key) {
            (TicketForm::Off, _) => Ok(connect_stream(media, path)),
            (_, Some(key)) => Ok(connect_stream_with(media, path, *form, &ticket(key, call)?)),
            // Credentials without a key are not taken where calls carry tickets.
            (_, None) => Err(Refusal::TokenAbsent),
        }
    }

    fn wrong_method(&self, allow: &'static str) -> Answer {
        let answer = Answer::method_not_allowed(allow);
        self.log.record(&Event::Refused { status: answer.status(), reason: Refusal::Method });
        answer
    }

    fn refuse(&self, refusal: Refusal) -> Answer {
        let answer = Answer::refusal(refusal).unwrap_or_else(|| Answer::health(false));
        self.log.record(&Event::Refused { status: answer.status(), reason: refusal });
        answer
    }
}

/// A fresh ticket for `call`.
fn ticket(key: &TicketKey, call: &CallSid) -> Result<String, Refusal> {
    let life_s = u8::try_from(limit::TICKET_LIFE.as_secs()).unwrap_or(u8::MAX);
    let validity = Validity { issued_ms: date_ms(), life_s };
    // Without randomness there is no ticket, and nothing to connect the call with.
    let nonce = ticket_nonce().map_err(|_random| Refusal::Capacity)?;
    Ok(key.issue(call, validity, nonce))
}

impl Handler for Responder {
    async fn handle(&self, request: Request<Incoming>) -> Answer {
        let is_post = request.method() == Method::POST;
        let credentials = self.credentials();
        let has_token = !credentials.tokens.is_empty();
        match request.uri().path() {
            WEBHOOK_PATH if !has_token => self.refuse(Refusal::TokenAbsent),
            WEBHOOK_PATH if is_post => {
                let answer = self.webhook(request, &credentials).await;
                answer.unwrap_or_else(|refusal| self.refuse(refusal))
            }
            WEBHOOK_PATH => self.wrong_method("POST"),
            HEALTH_PATH if matches!(*request.method(), Method::GET | Method::HEAD) => {
                let is_serving = self.drain.phase() == Phase::Serving;
                Answer::health(is_serving && has_token)
            }
            HEALTH_PATH => self.wrong_method("GET, HEAD"),
            _ => self.refuse(Refusal::Route),
        }
    }
}

/// Whether the body is declared as a form, with or without parameters, exactly once.
fn is_form(request: &Request<Incoming>) -> bool {
    let mut values = request.headers().get_all(hyper::header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}

const fn refusal(error: SignatureError) -> Refusal {
    match error {
        SignatureError::Absent => Refusal::SignatureAbsent,
        SignatureError::Repeated => Refusal::SignatureRepeated,
        SignatureError::Malformed => Refusal::SignatureMalformed,
        SignatureError::Wrong | SignatureError::Body => Refusal::SignatureWrong,
        SignatureError::NoToken => Refusal::TokenAbsent,
    }
}
