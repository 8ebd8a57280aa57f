//! Ways into the responder: the webhook's form, right and wrong, and what pretends to be one.

use ward_policy::phi::Secret;
use ward_tests::websocket::CALL;
use ward_twilio::form::Form;
use ward_twilio::signature::AuthToken;

use crate::class::{Canaries, Class, Encoding, Sent, percent};
use crate::edge::{each_batch, in_target, joined};
use crate::ward::{Sinks, Ward, ask};

const PATH: &str = "/api/voice/incoming";
const URL: &str = "https://www.example.com/api/voice/incoming";
const FORM: &str = "application/x-www-form-urlencoded";

/// What a rightful webhook is made with.
pub(crate) struct Account {
    pub(crate) sid: String,
    pub(crate) token: String,
}

fn token(text: &str) -> AuthToken {
    AuthToken::new(&Secret::new(text.to_owned())).unwrap()
}

/// A field as it stands in the body, and as it is signed.
struct Field {
    name: String,
    written: String,
    signed: String,
}

/// The fields of a webhook: a canary's own where it has the shape that is demanded there, else beside it.
fn fields(account: &Account, encoding: Encoding, batch: &[Sent]) -> Vec<Field> {
    let required = [
        ("AccountSid", account.sid.as_str()),
        ("ApiVersion", "2010-04-01"),
        ("CallSid", CALL),
        ("CallStatus", "ringing"),
        ("From", "+14158675309"),
        ("To", "+18005551212"),
    ];
    let has_shape = |class| {
        let is_own = matches!(class, Class::From | Class::To | Class::CallSid);
        is_own && matches!(encoding, Encoding::Plain | Encoding::Url)
    };
    let is_given = |name| batch.iter().any(|(class, _)| has_shape(*class) && class.field() == name);
    let plain = required.into_iter().filter(|(name, _)| !is_given(*name));
    let mut fields: Vec<Field> = plain
        .map(|(name, value)| Field {
            name: name.to_owned(),
            written: percent(value, "+"),
            signed: value.to_owned(),
        })
        .collect();
    for (class, sent) in batch {
        let before = if has_shape(*class) { "" } else { "X" };
        let is_url = encoding == Encoding::Url;
        fields.push(Field {
            name: format!("{before}{}", class.field()),
            written: if is_url { sent.clone() } else { percent(sent, "+") },
            signed: if is_url { decoded(sent) } else { sent.clone() },
        });
    }
    fields
}

fn decoded(percented: &str) -> String {
    let bytes = percented.split('%').skip(1).map(|two| u8::from_str_radix(two, 16).unwrap());
    String::from_utf8(bytes.collect()).unwrap()
}

fn post(target: &str, kind: &str, signature: &str, body: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\nContent-Type: {kind}\r\n\
         X-Twilio-Signature: {signature}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn signed(target: &str, account: &Account, by: &str, fields: &[Field]) -> String {
    let pairs = fields.iter().map(|field| (field.name.as_str(), field.signed.as_str()));
    let url = format!("{}{target}", URL.strip_suffix(PATH).unwrap());
    let signature = token(by).sign_form(&url, &Form::from_fields(pairs)).to_base64();
    let body: Vec<String> =
        fields.iter().map(|field| format!("{}={}", field.name, field.written)).collect();
    assert!(!account.sid.is_empty());
    post(target, FORM, &signature, &body.join("&"))
}

pub(crate) fn deliver(ward: &Ward, account: &Account, canaries: &mut Canaries, sinks: &mut Sinks) {
    let wrong = "0123456789abcdef0123456789abcdef";
    let mut each = |what: &str, request: &dyn Fn(Encoding, &[Sent]) -> String| {
        each_batch(canaries, &format!("twiml: {what}"), |encoding, batch| {
            ask(ward.port, request(encoding, batch).as_bytes(), sinks);
        });
    };
    let before = ward.count("\"event\":\"webhook_answered\"");
    each("form, signed", &|encoding, batch| {
        signed(PATH, account, &account.token, &fields(account, encoding, batch))
    });
    each("query, signed", &|encoding, batch| {
        let query: Vec<String> = batch
            .iter()
            .map(|(class, sent)| format!("{class:?}={}", in_target(encoding, sent)))
            .collect();
        let target = format!("{PATH}?{}", query.join("&"));
        signed(&target, account, &account.token, &fields(account, encoding, &[]))
    });
    // All of these were rightful: they got as far as a request can.
    ward.await_event("twiml", "webhook_answered", before + 16);
    each("form, badly signed", &|encoding, batch| {
        signed(PATH, account, wrong, &fields(account, encoding, batch))
    });
    each("form, against the schema", &|encoding, batch| {
        let mut fields = fields(account, encoding, batch);
        fields.retain(|field| field.name != "ApiVersion");
        signed(PATH, account, &account.token, &fields)
    });
    each("names of a form's fields", &|encoding, batch| {
        let names = batch.iter().map(|(_, sent)| {
            if encoding == Encoding::Url { sent.clone() } else { percent(sent, "+") }
        });
        let body: Vec<String> = names.map(|name| format!("{name}=x")).collect();
        post(PATH, FORM, &token(wrong).sign_url(URL).to_base64(), &body.join("&"))
    });
    each("body that is no form", &|_, batch| {
        post(
            PATH,
            FORM,
            &token(wrong).sign_url(URL).to_base64(),
            &format!("%%{}", joined(batch, "&")),
        )
    });
    each("body of another type", &|_, batch| {
        let body = format!("{{\"x\":\"{}\"}}", joined(batch, "\",\""));
        post(PATH, "application/json", &token(wrong).sign_url(URL).to_base64(), &body)
    });
    each("Content-Type", &|_, batch| {
        post(PATH, &joined(batch, ";"), &token(wrong).sign_url(URL).to_base64(), "a=b")
    });
    each("X-Twilio-Signature", &|_, batch| post(PATH, FORM, &joined(batch, ","), "a=b"));
    each("body too long", &|_, batch| {
        let body = format!("{}&{}", joined(batch, "&"), "x".repeat(70_000));
        post(PATH, FORM, &token(wrong).sign_url(URL).to_base64(), &body)
    });
    each("body in chunks, with extensions", &|_, batch| {
        let signature = token(wrong).sign_url(URL).to_base64();
        let body = joined(batch, "&");
        format!(
            "POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Type: {FORM}\r\nX-Twilio-Signature: {signature}\r\n\
             Transfer-Encoding: chunked\r\n\r\n{:x};x=y\r\n{body}\r\n0\r\n\r\n",
            body.len()
        )
    });
    each("Authorization", &|_, batch| {
        let lines: String = batch
            .iter()
            .map(|(class, sent)| format!("Authorization: {class:?} {sent}\r\n"))
            .collect();
        format!("POST {PATH} HTTP/1.1\r\nHost: a\r\n{lines}Content-Length: 0\r\n\r\n")
    });
}
