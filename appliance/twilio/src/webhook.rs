//! The strict schema of a voice webhook, after its signature.
//!
//! Twilio's signature has no delimiters, so one signature fits many sets of fields. Everything that
//! identifies the call must therefore stand once and have exactly the shape Twilio gives it; fields
//! beyond those are tolerated, because Twilio adds some without notice.

use crate::form::Form;
use crate::sid::{AccountSid, ApplicationSid, CallSid};
use crate::signature::Verified;

/// A webhook for a call to us. Only [`VoiceWebhook::parse`] makes one.
#[derive(Debug)]
pub struct VoiceWebhook {
    call_sid: CallSid,
}

/// Why rightly signed fields are not acted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// A required field is absent, repeated or of another shape.
    #[error("the field {0} is absent, repeated or malformed")]
    Field(&'static str),
    /// The call belongs to another account or application.
    #[error("the field {0} is not the configured one")]
    Foreign(&'static str),
}

impl VoiceWebhook {
    /// Judges the fields of a verified form.
    ///
    /// # Errors
    /// [`WebhookError`] names the field, never its value.
    pub fn parse(
        form: &Verified<Form<'_>>,
        account: &AccountSid,
        application: Option<&ApplicationSid>,
    ) -> Result<Self, WebhookError> {
        let form = form.value();
        let account_sid = required(form, "AccountSid", |text| AccountSid::parse(text).ok())?;
        let call_sid = required(form, "CallSid", |text| CallSid::parse(text).ok())?;
        required(form, "ApiVersion", |text| is_date(text).then_some(()))?;
        required(form, "CallStatus", |text| CALL_STATUS.contains(&text).then_some(()))?;
        required(form, "From", |text| is_party(text).then_some(()))?;
        required(form, "To", |text| is_party(text).then_some(()))?;
        if account_sid != *account {
            return Err(WebhookError::Foreign("AccountSid"));
        }
        if let (Some(ours), true) = (application, form.has("ApplicationSid")) {
            let theirs = required(form, "ApplicationSid", |text| ApplicationSid::parse(text).ok())?;
            if theirs != *ours {
                return Err(WebhookError::Foreign("ApplicationSid"));
            }
        }
        Ok(Self { call_sid })
    }

    /// The call.
    #[must_use]
    pub const fn call_sid(&self) -> &CallSid {
        &self.call_sid
    }
}

/// Twilio: "TwiML Voice: request parameters", `CallStatus`.
const CALL_STATUS: &[&str] = &[
    "queued",
    "initiated",
    "ringing",
    "in-progress",
    "completed",
    "busy",
    "failed",
    "no-answer",
    "canceled",
];

/// What Twilio puts where a number is withheld or unknown.
const WITHHELD: &[&str] = &["anonymous", "restricted", "unknown", "unavailable", "private", ""];

fn required<T>(
    form: &Form<'_>,
    name: &'static str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, WebhookError> {
    form.only(name).and_then(parse).ok_or(WebhookError::Field(name))
}

/// `YYYY-MM-DD`.
fn is_date(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(index, byte)| match index {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// A number in E.164 form (at most 15 digits), a short code, a withheld number, a client or SIP.
fn is_party(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let is_number = (3..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let lower = text.trim_start_matches('+').to_ascii_lowercase();
    let is_address = ["client:", "sip:", "sips:"].iter().any(|scheme| {
        lower.strip_prefix(scheme).is_some_and(|rest| {
            (1..=255).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_graphic())
        })
    });
    is_number || is_address || WITHHELD.contains(&lower.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::{AuthToken, AuthTokens};
    use ward_policy::phi::Secret;

    const URL: &str = "https://www.example.com/api/voice/incoming";
    const ACCOUNT: &str = "AC00000000000000000000000000000000";
    const CALL: &str = "CA00000000000000000000000000000000";
    const APPLICATION: &str = "AP00000000000000000000000000000000";
    const GOOD: &[(&str, &str)] = &[
        ("AccountSid", ACCOUNT),
        ("ApiVersion", "2010-04-01"),
        ("CallSid", CALL),
        ("CallStatus", "ringing"),
        ("Direction", "inbound"),
        ("From", "+14158675309"),
        ("To", "+18005551212"),
    ];

    fn check(fields: &[(&str, &str)], application: Option<&str>) -> Result<bool, WebhookError> {
        let token = || AuthToken::new(&Secret::new("12345".to_owned())).unwrap();
        let form = Form::from_fields(fields.iter().copied());
        let signature = token().sign_form(URL, &form);
        let verified =
            AuthTokens::new(Some(token()), None).verify_form(URL, form, &signature).unwrap();
        let application = application.map(|text| ApplicationSid::parse(text).unwrap());
        VoiceWebhook::parse(&verified, &AccountSid::parse(ACCOUNT).unwrap(), application.as_ref())
            .map(|webhook| webhook.call_sid().as_str() == CALL)
    }

    fn with(name: &'static str, value: &'static str) -> Vec<(&'static str, &'static str)> {
        let mut fields = GOOD.to_vec();
        fields.retain(|(key, _)| *key != name);
        fields.push((name, value));
        fields
    }

    #[test]
    fn a_voice_webhook_is_accepted_with_or_without_more_fields() {
        assert_eq!(check(GOOD, None), Ok(true));
        assert_eq!(check(&with("CallerCity", "BOSTON"), None), Ok(true));
        for party in
            ["anonymous", "Restricted", "", "client:alice", "sip:a@b.example", "911", "+266696687"]
        {
            assert_eq!(check(&with("From", party), None), Ok(true), "{party}");
        }
    }

    #[test]
    fn the_malleability_vectors_are_refused() {
        let m1 = [
            ("CallSid", "CA1234567890ABCDE"),
            ("Caller", "+14158675309Digits1234From+14158675309To+18005551212"),
        ];
        assert_eq!(check(&m1, None), Err(WebhookError::Field("AccountSid")), "V-M1");
        let m2 = [(
            "CallSidCA1234567890ABCDECaller",
            "+14158675309Digits1234From+14158675309To+18005551212",
        )];
        assert_eq!(check(&m2, None), Err(WebhookError::Field("AccountSid")), "V-M2");
    }

    #[test]
    fn fields_that_swallowed_their_neighbours_are_refused() {
        assert_eq!(
            check(&with("From", "+14158675309FromCityBOSTON"), None),
            Err(WebhookError::Field("From"))
        );
        assert_eq!(
            check(&with("CallStatus", "ringingCalled"), None),
            Err(WebhookError::Field("CallStatus"))
        );
        assert_eq!(
            check(&with("ApiVersion", "2010-04-01C"), None),
            Err(WebhookError::Field("ApiVersion"))
        );
        assert_eq!(check(&with("To", "sip:a b"), None), Err(WebhookError::Field("To")));
    }

    #[test]
    fn absent_and_repeated_fields_are_refused() {
        for name in ["AccountSid", "ApiVersion", "CallSid", "CallStatus", "From", "To"] {
            let without: Vec<_> = GOOD.iter().copied().filter(|(key, _)| *key != name).collect();
            assert_eq!(check(&without, None), Err(WebhookError::Field(name)));
            let mut twice = GOOD.to_vec();
            twice.push((name, "x"));
            assert_eq!(check(&twice, None), Err(WebhookError::Field(name)));
        }
    }

    #[test]
    fn another_account_or_application_is_refused() {
        assert_eq!(
            check(&with("AccountSid", "AC11111111111111111111111111111111"), None),
            Err(WebhookError::Foreign("AccountSid"))
        );
        let fields = with("ApplicationSid", APPLICATION);
        assert_eq!(check(&fields, None), Ok(true));
        assert_eq!(check(&fields, Some(APPLICATION)), Ok(true));
        assert_eq!(check(GOOD, Some(APPLICATION)), Ok(true), "absent is allowed");
        assert_eq!(
            check(&fields, Some("AP11111111111111111111111111111111")),
            Err(WebhookError::Foreign("ApplicationSid"))
        );
        assert_eq!(
            check(&with("ApplicationSid", "AP1"), Some(APPLICATION)),
            Err(WebhookError::Field("ApplicationSid"))
        );
    }
}
