//! The two routes: the webhook and the health of the server.
//!
//! Order matters: route, token, method, signature header, type, body, signature, schema. Each step
//! that fails answers with a fixed body and is recorded once.

use hyper::body::Incoming;
use hyper::{Method, Request};
use ward_edge::answer::Answer;
use ward_edge::connection::{Handler, read_body};
use ward_edge::drain::{Drain, Phase};
use ward_edge::log::Log;
use ward_edge::random::Pseudonyms;
use ward_policy::audit::Event;
use ward_policy::fault::Refusal;
use ward_twilio::form::Form;
use ward_twilio::signature::{Signature, SignatureError};
use ward_twilio::twiml::connect_stream;
use ward_twilio::webhook::{VoiceWebhook, WebhookError};

use crate::settings::TwimlSettings;

/// The webhook's path, fixed by the seed document.
pub const WEBHOOK_PATH: &str = "/api/voice/incoming";
/// Where a load balancer asks whether to send traffic.
pub const HEALTH_PATH: &str = "/health";

/// Answers requests.
#[derive(Debug)]
pub struct Responder {
    settings: TwimlSettings,
    document: String,
    pseudonyms: Pseudonyms,
    drain: Drain,
    log: Log,
}

impl Responder {
    /// A responder that answers with the document of `settings`.
    #[must_use]
    pub fn new(settings: TwimlSettings, pseudonyms: Pseudonyms, drain: Drain, log: Log) -> Self {
        let document = connect_stream(&settings.media, &settings.path);
        Self { settings, document, pseudonyms, drain, log }
    }

    async fn webhook(&self, request: Request<Incoming>) -> Result<Answer, Refusal> {
        let values = request.headers().get_all("x-twilio-signature");
        let values = values.iter().map(hyper::header::HeaderValue::as_bytes);
        let signature = Signature::from_headers(values).map_err(refusal)?;
        if !is_form(&request) {
            return Err(Refusal::BodyType);
        }
        let target = request.uri().path_and_query().map_or(WEBHOOK_PATH, |target| target.as_str());
        let url = format!("{}{target}", self.settings.site);
        let body = read_body(request.into_body()).await?;
        self.answer(&url, body.expose(), &signature)
    }

    fn answer(&self, url: &str, body: &[u8], signature: &Signature) -> Result<Answer, Refusal> {
        let form = Form::parse(body).map_err(|_form| Refusal::BodyMalformed)?;
        let form = self.settings.tokens.verify_form(url, form, signature).map_err(refusal)?;
        let (account, application) = (&self.settings.account, self.settings.application.as_ref());
        let webhook =
            VoiceWebhook::parse(&form, account, application).map_err(|error| match error {
                WebhookError::Field(_) => Refusal::Schema,
                WebhookError::Foreign(_) => Refusal::ForeignAccount,
            })?;
        if let Some(call) = self.pseudonyms.pseudonym(&webhook.call_sid().canonical()) {
            self.log.record(&Event::WebhookAnswered { token: form.token(), call });
        }
        Ok(Answer::ok("text/xml; charset=utf-8", self.document.clone()))
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

impl Handler for Responder {
    async fn handle(&self, request: Request<Incoming>) -> Answer {
        let is_post = request.method() == Method::POST;
        match request.uri().path() {
            WEBHOOK_PATH if self.settings.tokens.is_empty() => self.refuse(Refusal::TokenAbsent),
            WEBHOOK_PATH if is_post => {
                self.webhook(request).await.unwrap_or_else(|refusal| self.refuse(refusal))
            }
            WEBHOOK_PATH => self.wrong_method("POST"),
            HEALTH_PATH if matches!(*request.method(), Method::GET | Method::HEAD) => {
                let is_serving = self.drain.phase() == Phase::Serving;
                Answer::health(is_serving && !self.settings.tokens.is_empty())
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
