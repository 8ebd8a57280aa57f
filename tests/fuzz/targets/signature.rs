//! Signature headers and handshake documents: nothing but the right one is ever believed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ward_policy::phi::Secret;
use ward_twilio::form::Form;
use ward_twilio::handshake::HandshakeSet;
use ward_twilio::signature::{AuthToken, AuthTokens, Signature};

const URL: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";

fuzz_target!(|bytes: &[u8]| {
    let (head, tail) = bytes.split_at(bytes.len().min(28));
    if let Ok(signature) = Signature::parse(head) {
        assert_eq!(signature.to_base64().as_bytes(), head, "canonical");
        let token = AuthToken::new(&Secret::new("12345".to_owned())).expect("a token");
        if let Ok(form) = Form::parse(tail) {
            let right = token.sign_form(URL, &form).to_base64();
            let ported = token.sign_form(&URL.replace(".com", ".com:443"), &form).to_base64();
            let is_right = [right, ported].iter().any(|known| known.as_bytes() == head);
            let tokens = AuthTokens::new(Some(token), None);
            assert_eq!(tokens.verify_form(URL, form, &signature).is_ok(), is_right);
        }
        if cfg!(feature = "planted-bug") {
            assert_ne!(signature.as_bytes()[0], 0x41, "the planted bug");
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(set) = HandshakeSet::parse(text)
    {
        for line in text.lines().filter(|line| !line.is_empty()) {
            let signature = Signature::parse(line.as_bytes()).expect("it parsed before");
            assert!(set.verify(&signature).is_ok());
        }
    }
});
