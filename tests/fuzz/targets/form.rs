//! Webhook bodies: parsing is total, encoding is its inverse, and the schema admits whole calls only.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ward_policy::phi::Secret;
use ward_twilio::form::Form;
use ward_twilio::sid::AccountSid;
use ward_twilio::signature::{AuthToken, AuthTokens};
use ward_twilio::webhook::VoiceWebhook;

const URL: &str = "https://www.example.com/api/voice/incoming";

fuzz_target!(|bytes: &[u8]| {
    let Ok(form) = Form::parse(bytes) else { return };
    let sorted = form.sorted();
    assert!(sorted.is_sorted());
    let encoded = form.encode();
    let again = Form::parse(encoded.as_bytes()).expect("what we encode, we read");
    assert_eq!(again.sorted(), sorted);
    for (name, value) in &sorted {
        assert!(form.has(name));
        if let Some(only) = form.only(name) {
            assert_eq!(only, *value);
        }
    }
    let token = || AuthToken::new(&Secret::new("12345".to_owned())).expect("a token");
    let account = AccountSid::parse("AC00000000000000000000000000000000").expect("an account");
    let signature = token().sign_form(URL, &again);
    let verified = AuthTokens::new(Some(token()), None).verify_form(URL, again, &signature);
    let verified = verified.expect("what we sign, we verify");
    if let Ok(webhook) = VoiceWebhook::parse(&verified, &account, None) {
        assert_eq!(form.only("CallSid"), Some(webhook.call_sid().as_str()));
        assert!(form.only("From").is_some() && form.only("To").is_some());
    }
    if cfg!(feature = "planted-bug") {
        assert!(!sorted.contains(&("c", "")), "the planted bug");
    }
});
