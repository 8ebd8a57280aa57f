//! The media server's settings. It is never told an auth token.
//!
//! Parsed once into types; every problem is reported, not just the first.

use std::time::Duration;

use ward_edge::settings::{Problem, Settings};
use ward_policy::data_class::DataClass;
use ward_policy::limit;
use ward_policy::service::Service;
use ward_policy::vendor_id::VendorId;
use ward_twilio::sid::AccountSid;
use ward_twilio::twiml::StreamPath;

use crate::agent::AgentKind;
use crate::vendor::Wanted;

/// Everything the media server needs to know.
#[derive(Debug, Clone)]
pub struct MediaSettings {
    /// `MEDIA_PATH`: the path of the media route.
    pub path: StreamPath,
    /// `TWILIO_ACCOUNT_SID`: whose calls are taken.
    pub account: AccountSid,
    /// `MEDIA_AGENT`: who talks to callers.
    pub agent: AgentKind,
    /// `MEDIA_GUESSING`: whether a conversation begins replies before it is certain that the caller has finished.
    pub is_guessing: bool,
    /// `MEDIA_HANDSHAKE`: what an upgrade must carry.
    pub handshake: HandshakeMode,
    /// `CALL_DURATION_MAX_S`: the longest call.
    pub call_duration_max: Duration,
    /// `MEDIA_VENDORS`: whom every call has a connection to.
    pub vendors: Vec<Wanted>,
    /// `CALLS_PER_WORKER_MAX`: live calls of one worker.
    pub calls_per_worker_max: usize,
}

/// What an upgrade must carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HandshakeMode {
    /// A right `X-Twilio-Signature`. A ticket need not be there; one that is must be right.
    #[default]
    Signature,
    /// The signature, and a right ticket in `start`.
    SignatureAndTicket,
    /// A right ticket, in the path or in `start`. With one in `start` a signature need not be there; one that is must
    /// be right.
    Ticket,
}

impl HandshakeMode {
    fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "signature" => Ok(Self::Signature),
            "signature+ticket" => Ok(Self::SignatureAndTicket),
            "ticket" => Ok(Self::Ticket),
            _ => Err("must be signature, signature+ticket or ticket"),
        }
    }
}

impl MediaSettings {
    /// Judges a settings document.
    ///
    /// # Errors
    /// Every [`Problem`] in it.
    pub fn parse(document: &str) -> Result<Self, Vec<Problem>> {
        let mut settings = Settings::parse(document);
        let path = settings.optional("MEDIA_PATH", StreamPath::parse);
        let path = path.or_else(|| StreamPath::parse(StreamPath::DEFAULT).ok());
        let account = settings.required("TWILIO_ACCOUNT_SID", AccountSid::parse);
        let agent = settings.optional("MEDIA_AGENT", AgentKind::parse);
        let guessing = settings.optional("MEDIA_GUESSING", on_or_off);
        let handshake = settings.optional("MEDIA_HANDSHAKE", HandshakeMode::parse);
        let longest = limit::CALL_DURATION_MAX.as_secs();
        let duration = settings.optional("CALL_DURATION_MAX_S", |text| bounded(text, longest));
        let most = u64::try_from(limit::CALLS_PER_WORKER_MAX).unwrap_or(u64::MAX);
        let calls = settings.optional("CALLS_PER_WORKER_MAX", |text| bounded(text, most));
        let vendors = settings.optional("MEDIA_VENDORS", vendors);
        if agent == Some(AgentKind::Conversation) {
            let all = vendors.as_deref().unwrap_or_default();
            for service in Service::ALL {
                if all.iter().all(|wanted| wanted.class != service.class()) {
                    let what =
                        format!("a conversation needs a vendor for {}", service.class().name());
                    settings.problem("MEDIA_VENDORS", &what);
                }
            }
        }
        let problems = settings.into_problems();
        match (path, account) {
            (Some(path), Some(account)) if problems.is_empty() => Ok(Self {
                path,
                account,
                agent: agent.unwrap_or_default(),
                is_guessing: guessing.unwrap_or(true),
                handshake: handshake.unwrap_or_default(),
                call_duration_max: Duration::from_secs(duration.unwrap_or(longest)),
                vendors: vendors.unwrap_or_default(),
                calls_per_worker_max: usize::try_from(calls.unwrap_or(most)).unwrap_or(0),
            }),
            _ => Err(problems),
        }
    }
}

fn on_or_off(text: &str) -> Result<bool, &'static str> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("must be on or off"),
    }
}

fn bounded(text: &str, most: u64) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| format!("must be a whole number from 1 to {most}"))
}

/// `VENDOR:CLASS`, with spaces between.
fn vendors(text: &str) -> Result<Vec<Wanted>, String> {
    let one = |word: &str| {
        let (vendor, class) = word.split_once(':')?;
        let vendor = VendorId::parse(vendor).ok()?;
        Some(Wanted { vendor, class: DataClass::from_name(class)? })
    };
    let all: Option<Vec<Wanted>> = text.split_ascii_whitespace().map(one).collect();
    let all = all.ok_or("must be VENDOR:CLASS, with spaces between")?;
    if all.len() > limit::VENDORS_PER_CALL_MAX {
        return Err(format!("may have {} at most", limit::VENDORS_PER_CALL_MAX));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "TWILIO_ACCOUNT_SID=AC00000000000000000000000000000000\n";

    fn problems(more: &str) -> Vec<String> {
        let found = MediaSettings::parse(&format!("{GOOD}{more}")).err().unwrap_or_default();
        found.iter().map(|problem| problem.setting.clone()).collect()
    }

    #[test]
    fn the_account_alone_is_enough() {
        let settings = MediaSettings::parse(GOOD).unwrap();
        assert_eq!(settings.path.as_str(), "/rtm/voice");
        assert_eq!(settings.agent, AgentKind::Greeter);
        assert_eq!(settings.handshake, HandshakeMode::Signature);
        for (name, mode) in [
            ("signature+ticket", HandshakeMode::SignatureAndTicket),
            ("ticket", HandshakeMode::Ticket),
        ] {
            let settings = MediaSettings::parse(&format!("{GOOD}MEDIA_HANDSHAKE={name}\n"));
            assert_eq!(settings.unwrap().handshake, mode);
        }
        assert_eq!(settings.call_duration_max, limit::CALL_DURATION_MAX);
    }

    #[test]
    fn every_problem_is_named_at_once_and_an_auth_token_does_not_belong_here() {
        assert_eq!(
            problems(
                "MEDIA_PATH=x\nMEDIA_AGENT=hal\nMEDIA_GUESSING=maybe\nMEDIA_HANDSHAKE=off\nCALL_DURATION_MAX_S=0\nCALLS_PER_WORKER_MAX=9999999\nMEDIA_VENDORS=deepgram\nTWILIO_AUTH_TOKEN=1\n"
            ),
            [
                "MEDIA_PATH",
                "MEDIA_AGENT",
                "MEDIA_GUESSING",
                "MEDIA_HANDSHAKE",
                "CALL_DURATION_MAX_S",
                "CALLS_PER_WORKER_MAX",
                "MEDIA_VENDORS",
                "TWILIO_AUTH_TOKEN"
            ]
        );
        let vendors = "MEDIA_VENDORS=asr:audio tts:synth-text\n";
        let settings = MediaSettings::parse(&format!("{GOOD}{vendors}")).unwrap();
        let classes: Vec<DataClass> = settings.vendors.iter().map(|one| one.class).collect();
        assert_eq!(classes, [DataClass::Audio, DataClass::SynthText]);
        for wrong in
            ["asr:AUDIO", ":audio", "a:audio b:audio c:audio d:audio e:audio f:audio g:audio"]
        {
            assert_eq!(problems(&format!("MEDIA_VENDORS={wrong}\n")), ["MEDIA_VENDORS"]);
        }
        assert_eq!(problems("MEDIA_AGENT=echo\nCALL_DURATION_MAX_S=60\n"), Vec::<String>::new());
    }

    #[test]
    fn a_conversation_says_which_of_its_services_nobody_gives() {
        let with = |vendors: &str| problems(&format!("MEDIA_AGENT=conversation\n{vendors}"));
        assert_eq!(with("").len(), 3);
        assert_eq!(with("MEDIA_VENDORS=a:audio b:synth-text\n"), ["MEDIA_VENDORS"]);
        assert!(with("MEDIA_VENDORS=a:audio b:synth-text c:prompt d:prompt\n").is_empty());
    }
}
