//! The responder's settings, by the seed document's names.
//!
//! Parsed once into types; every problem is reported, not just the first. Secrets are not among them:
//! [`crate::credentials`].

use ward_edge::settings::{Problem, Settings};
use ward_twilio::sid::{AccountSid, ApplicationSid};
use ward_twilio::twiml::{StreamPath, TicketForm};
use ward_twilio::url::{Origin, Scheme};

/// Everything the responder needs to know.
#[derive(Debug)]
pub struct TwimlSettings {
    /// `MEDIA_WSS_URL`: where Twilio is sent.
    pub media: Origin,
    /// `MEDIA_PATH`: the path there.
    pub path: StreamPath,
    /// `NEXT_PUBLIC_SITE_URL`: the origin that Twilio posts to, and therefore signs.
    pub site: Origin,
    /// `TWILIO_ACCOUNT_SID`: whose calls are answered.
    pub account: AccountSid,
    /// `STREAM_TICKET`: how calls carry a ticket to the media server.
    pub ticket: TicketForm,
    /// `TWILIO_TWIML_APP_SID`: if set, a present `ApplicationSid` must equal it.
    pub application: Option<ApplicationSid>,
    /// `TWIML_PLAIN_HTTP=loopback`: no TLS of our own, and loopback listeners only.
    pub is_plain_http: bool,
}

impl TwimlSettings {
    /// Judges a settings document.
    ///
    /// # Errors
    /// Every [`Problem`] in it.
    pub fn parse(document: &str) -> Result<Self, Vec<Problem>> {
        let mut settings = Settings::parse(document);
        let media = settings.required("MEDIA_WSS_URL", |text| Origin::parse(text, &[Scheme::Wss]));
        let path = settings.optional("MEDIA_PATH", StreamPath::parse);
        let path = path.or_else(|| StreamPath::parse(StreamPath::DEFAULT).ok());
        let site =
            settings.required("NEXT_PUBLIC_SITE_URL", |text| Origin::parse(text, &[Scheme::Https]));
        let account = settings.required("TWILIO_ACCOUNT_SID", AccountSid::parse);
        let ticket = settings.optional("STREAM_TICKET", |text| {
            TicketForm::from_name(text).ok_or("must be off, parameter or path")
        });
        let application = settings.optional("TWILIO_TWIML_APP_SID", ApplicationSid::parse);
        let plain = settings.optional("TWIML_PLAIN_HTTP", |text| {
            if text == "loopback" { Ok(()) } else { Err("the only value is loopback") }
        });
        let problems = settings.into_problems();
        match (media, path, site, account) {
            (Some(media), Some(path), Some(site), Some(account)) if problems.is_empty() => {
                Ok(Self {
                    media,
                    path,
                    site,
                    account,
                    ticket: ticket.unwrap_or_default(),
                    application,
                    is_plain_http: plain.is_some(),
                })
            }
            _ => Err(problems),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "MEDIA_WSS_URL=wss://media.example.com\n\
        NEXT_PUBLIC_SITE_URL=https://www.example.com\n\
        TWILIO_ACCOUNT_SID=AC00000000000000000000000000000000\n";

    fn problems(document: &str) -> Vec<String> {
        let found = TwimlSettings::parse(document).err().unwrap_or_default();
        found.iter().map(|problem| problem.setting.clone()).collect()
    }

    #[test]
    fn the_least_that_works_has_the_seeds_path_and_no_tickets() {
        let settings = TwimlSettings::parse(GOOD).unwrap();
        assert_eq!((settings.path.as_str(), settings.ticket), ("/rtm/voice", TicketForm::Off));
        let path = format!("{GOOD}STREAM_TICKET=path\n");
        assert_eq!(TwimlSettings::parse(&path).unwrap().ticket, TicketForm::Path);
    }

    #[test]
    fn every_problem_is_named_at_once() {
        assert_eq!(
            problems(
                "MEDIA_WSS_URL=ws://a\nTWILIO_ACCOUNT_SID=AC1\nSTREAM_TICKET=yes\nTWIML_PLAIN_HTTP=yes\nTWILIO_AUTH_TOKEN=1\n"
            ),
            [
                "MEDIA_WSS_URL",
                "NEXT_PUBLIC_SITE_URL",
                "TWILIO_ACCOUNT_SID",
                "STREAM_TICKET",
                "TWIML_PLAIN_HTTP",
                "TWILIO_AUTH_TOKEN"
            ]
        );
    }

    #[test]
    fn media_urls_that_twilio_could_not_dial_refuse_to_start() {
        for url in [
            "wss://a.example/rtm/voice",
            "wss://a.example/",
            "wss://a.example?x=1",
            "ws://a.example",
            "wss://u:p@a.example",
            "wss://a\"b.example",
            "wss://a<b",
            "https://a.example",
            "",
        ] {
            let document = GOOD.replace("wss://media.example.com", url);
            assert_eq!(problems(&document), ["MEDIA_WSS_URL"], "{url}");
        }
    }
}
