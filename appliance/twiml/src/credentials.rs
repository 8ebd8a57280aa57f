//! What the responder verifies webhooks with and signs tickets with. It is replaced while the server runs.
//!
//! Parsed from a document of its own, so that the settings hold no secret. It never shows a value.

use ward_edge::settings::{Problem, Settings};
use ward_policy::phi::Secret;
use ward_twilio::signature::{AuthToken, AuthTokenError, AuthTokens};
use ward_twilio::ticket::{TicketKey, TicketKeyError};
use ward_twilio::twiml::TicketForm;

/// The responder's secrets.
#[derive(Debug, Default)]
pub struct Credentials {
    /// `TWILIO_AUTH_TOKEN` and, during a rotation, `TWILIO_AUTH_TOKEN_NEXT`.
    pub tokens: AuthTokens,
    /// `STREAM_TICKET_KEY`: signs tickets.
    pub ticket_key: Option<TicketKey>,
}

impl Credentials {
    /// Judges a document for a responder whose calls carry tickets in `form`.
    ///
    /// # Errors
    /// Every [`Problem`] in it.
    pub fn parse(document: &str, form: TicketForm) -> Result<Self, Vec<Problem>> {
        let mut settings = Settings::parse(document);
        let current = settings.optional("TWILIO_AUTH_TOKEN", token);
        let next = settings.optional("TWILIO_AUTH_TOKEN_NEXT", token);
        let ticket_key = if form == TicketForm::Off {
            settings.optional("STREAM_TICKET_KEY", ticket_key)
        } else {
            settings.required("STREAM_TICKET_KEY", ticket_key)
        };
        if next.is_some() && current.is_none() {
            settings.problem("TWILIO_AUTH_TOKEN_NEXT", "is set without TWILIO_AUTH_TOKEN");
        }
        let problems = settings.into_problems();
        if problems.is_empty() {
            Ok(Self { tokens: AuthTokens::new(current, next), ticket_key })
        } else {
            Err(problems)
        }
    }
}

fn token(text: &str) -> Result<AuthToken, AuthTokenError> {
    AuthToken::new(&Secret::new(text.to_owned()))
}

fn ticket_key(text: &str) -> Result<TicketKey, TicketKeyError> {
    TicketKey::parse(&Secret::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(document: &str, form: TicketForm) -> Vec<String> {
        let found = Credentials::parse(document, form).err().unwrap_or_default();
        assert!(!format!("{found:?}").contains("SENTINEL"));
        found.iter().map(|problem| problem.setting.clone()).collect()
    }

    #[test]
    fn nothing_is_enough_until_a_ticket_is_asked_for() {
        let none = Credentials::parse("\n", TicketForm::Off).unwrap();
        assert!(none.tokens.is_empty() && none.ticket_key.is_none());
        let key = format!("STREAM_TICKET_KEY={}A=\nTWILIO_AUTH_TOKEN=1\n", "A".repeat(42));
        let all = format!("{key}TWILIO_AUTH_TOKEN_NEXT=2\n\n");
        for form in [TicketForm::Off, TicketForm::Parameter, TicketForm::Path] {
            let parsed = Credentials::parse(&all, form).unwrap();
            assert!(!parsed.tokens.is_empty() && parsed.ticket_key.is_some());
        }
        assert_eq!(problems("\n", TicketForm::Path), ["STREAM_TICKET_KEY"]);
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let document = "TWILIO_AUTH_TOKEN=SENTINEL SENTINEL\nTWILIO_AUTH_TOKEN_NEXT=2\n\
            STREAM_TICKET_KEY=SENTINEL\nMEDIA_PATH=/x\n";
        assert_eq!(
            problems(document, TicketForm::Off),
            ["TWILIO_AUTH_TOKEN", "STREAM_TICKET_KEY", "TWILIO_AUTH_TOKEN_NEXT", "MEDIA_PATH"]
        );
    }
}
