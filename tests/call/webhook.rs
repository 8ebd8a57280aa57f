//! E61–E64: the webhook.

use ward_policy::audit::Role;
use ward_policy::phi::Secret;
use ward_tests::edge_cases::{note_seen, note_sent, row};
use ward_tests::headers;
use ward_tests::servers::{ACCOUNT, Running, TOKEN};
use ward_tests::websocket::CALL;
use ward_tests::wire::{Wire, exchange, status};
use ward_twilio::form::Form;
use ward_twilio::signature::AuthToken;

const PATH: &str = "/api/voice/incoming";
const URL: &str = "https://www.example.com/api/voice/incoming";
const TWIML: &str =
    r#"<Response><Connect><Stream url="wss://media.example.com/rtm/voice"/></Connect></Response>"#;
const FORM: &str = "application/x-www-form-urlencoded";

fn fields() -> Vec<(&'static str, &'static str)> {
    vec![
        ("AccountSid", ACCOUNT),
        ("ApiVersion", "2010-04-01"),
        ("CallSid", CALL),
        ("CallStatus", "ringing"),
        ("Called", "+18005551212"),
        ("Caller", "+14158675309"),
        ("Direction", "inbound"),
        ("From", "+14158675309"),
        ("To", "+18005551212"),
    ]
}

fn token(text: &str) -> AuthToken {
    AuthToken::new(&Secret::new(text.to_owned())).unwrap()
}

/// A POST of `body`, with a signature over `url` and its fields.
fn signed(url: &str, fields: &[(&str, &str)], token_text: &str) -> String {
    let form = Form::from_fields(fields.iter().copied());
    let signature = token(token_text).sign_form(url, &form).to_base64();
    post(PATH, FORM, &form.encode(), &format!("X-Twilio-Signature: {signature}\r\n"))
}

fn post(target: &str, content_type: &str, body: &str, more: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: www.example.com\r\nContent-Type: {content_type}\r\n\
         Content-Length: {}\r\n{more}\r\n{body}",
        body.len()
    )
}

fn check(server: &Running, request: &str, expected: u16) -> String {
    let response = exchange(server.port, request.as_bytes());
    assert_eq!(status(&response), expected, "{request:.200}\n{response}");
    drop(headers::check(&response));
    assert_eq!(response.contains("<Response>"), expected == 200, "{response}");
    response
}

/// A refusal with its reason in the log, and the row that says so.
fn refused(server: &Running, what: &str, request: &str, expected: u16, reason: &str) {
    let before = server.logs.text().matches("\"event\":\"refused\"").count();
    check(server, request, expected);
    assert_eq!(server.logs.nth("refused", before + 1)["reason"], reason, "{what}");
    row("E61", what, &format!("{expected}, {reason}"));
}

#[test]
fn a_signed_webhook_is_answered_with_the_seeds_twiml() {
    let server = Running::twiml("");
    let response = check(&server, &signed(URL, &fields(), TOKEN), 200);
    assert!(response.ends_with(&format!("\r\n\r\n{TWIML}")), "{response}");
    assert_eq!(headers::values(&response, "content-type"), ["text/xml; charset=utf-8"]);
    // A query that Twilio was configured with is part of what it signs.
    let form = Form::from_fields(fields());
    let signature = token(TOKEN).sign_form(&format!("{URL}?clinic=7"), &form).to_base64();
    let target = format!("{PATH}?clinic=7");
    let request =
        post(&target, FORM, &form.encode(), &format!("X-Twilio-Signature: {signature}\r\n"));
    check(&server, &request, 200);
}

#[test]
fn e61_webhooks_that_twilio_did_not_sign_are_refused() {
    let server = Running::twiml("");
    let form = Form::from_fields(fields()).encode();
    refused(&server, "no signature", &post(PATH, FORM, &form, ""), 403, "signature_absent");
    let good = signed(URL, &fields(), TOKEN);
    let with_one_more = {
        let mut more = fields();
        more.insert(0, ("AAdded", "1"));
        let signature = token(TOKEN).sign_form(URL, &Form::from_fields(fields())).to_base64();
        let header = format!("X-Twilio-Signature: {signature}\r\n");
        post(PATH, FORM, &Form::from_fields(more).encode(), &header)
    };
    for (what, request) in [
        ("another token", signed(URL, &fields(), "54321")),
        ("signed over http://", signed(&URL.replace("https", "http"), &fields(), TOKEN)),
        (
            "signed over the Host header",
            signed(&URL.replace("www", "evil"), &fields(), TOKEN)
                .replace("Host: www", "Host: evil"),
        ),
        (
            "signed over X-Forwarded-Host",
            signed(&URL.replace("www", "evil"), &fields(), TOKEN).replace(
                "Host: www.example.com\r\n",
                "Host: www.example.com\r\nX-Forwarded-Host: evil.example.com\r\n",
            ),
        ),
        ("one field changed", good.replace("CallStatus=ringing", "CallStatus=failure")),
        ("one field added", with_one_more.clone()),
        ("a signature that is none", post(PATH, FORM, &form, "X-Twilio-Signature: x\r\n")),
        (
            "two signatures",
            good.replace("X-Twilio-Signature", "X-Twilio-Signature: x\r\nX-Twilio-Signature"),
        ),
    ] {
        let reason = match what {
            "a signature that is none" => "signature_malformed",
            "two signatures" => "signature_repeated",
            _ => "signature_wrong",
        };
        refused(&server, what, &request, 403, reason);
    }
}

#[test]
fn e61_rightly_signed_fields_of_another_shape_are_refused() {
    let server = Running::twiml("");
    let m1 = [
        ("CallSid", "CA1234567890ABCDE"),
        ("Caller", "+14158675309Digits1234From+14158675309To+18005551212"),
    ];
    let m2 = [(
        "CallSidCA1234567890ABCDECaller",
        "+14158675309Digits1234From+14158675309To+18005551212",
    )];
    for (what, set) in [("V-M1", &m1[..]), ("V-M2", &m2[..]), ("no fields at all (V-I3)", &[])] {
        let what = format!("{what}, rightly signed");
        refused(&server, &what, &signed(URL, set, TOKEN), 403, "schema");
    }
    let mut twice = fields();
    twice.push(("CallSid", "CA11111111111111111111111111111111"));
    let request = signed(URL, &twice, TOKEN);
    refused(&server, "CallSid twice, rightly signed", &request, 403, "schema");
    let foreign: Vec<_> = fields()
        .into_iter()
        .map(|(name, value)| {
            (name, if name == "AccountSid" { "AC11111111111111111111111111111111" } else { value })
        })
        .collect();
    let request = signed(URL, &foreign, TOKEN);
    refused(&server, "another account, rightly signed", &request, 403, "foreign_account");
    let with_application =
        Running::twiml("TWILIO_TWIML_APP_SID=AP00000000000000000000000000000000");
    let mut other = fields();
    other.insert(2, ("ApplicationSid", "AP11111111111111111111111111111111"));
    let what = "another ApplicationSid than TWILIO_TWIML_APP_SID";
    let request = signed(URL, &other, TOKEN);
    refused(&with_application, what, &request, 403, "foreign_account");
    check(&with_application, &signed(URL, &fields(), TOKEN), 200);
}

#[test]
fn e61_other_methods_types_and_bodies_are_refused() {
    let server = Running::twiml("");
    let signature = token(TOKEN).sign_url(URL).to_base64();
    let header = format!("X-Twilio-Signature: {signature}\r\n");
    let get = format!("GET {PATH} HTTP/1.1\r\nHost: a\r\n{header}\r\n");
    let response = check(&server, &get, 405);
    assert_eq!(headers::values(&response, "allow"), ["POST"]);
    row("E61", "GET, rightly signed", "405, Allow: POST");
    // Signed over the URL alone, so these bodies fail before or whatever their signature.
    for (what, request, expected, reason) in [
        ("a JSON body", post(PATH, "application/json", "{}", &header), 415, "body_type"),
        (
            "a multipart body",
            post(PATH, "multipart/form-data; boundary=x", "--x--", &header),
            415,
            "body_type",
        ),
        (
            "no content type",
            post(PATH, FORM, "", &header).replace("Content-Type", "X-Was-Content-Type"),
            415,
            "body_type",
        ),
        ("a body of 1 MB", post(PATH, FORM, &"a=1&".repeat(262_144), &header), 413, "body_long"),
        ("bytes that are no UTF-8", post(PATH, FORM, "a=%FF", &header), 403, "body_malformed"),
        ("percent signs without digits", post(PATH, FORM, "a=%zz", &header), 403, "body_malformed"),
        ("257 fields", post(PATH, FORM, &"a=1&".repeat(257), &header), 403, "body_malformed"),
    ] {
        refused(&server, what, &request, expected, reason);
    }
}

#[test]
fn e61_a_slow_body_is_given_up_after_five_seconds() {
    let server = Running::twiml("");
    let mut wire = Wire::open(server.port);
    let signature = token(TOKEN).sign_url(URL).to_base64();
    let begin = std::time::Instant::now();
    wire.send(
        format!("POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Type: {FORM}\r\nTransfer-Encoding: chunked\r\nX-Twilio-Signature: {signature}\r\n\r\n5\r\nAc").as_bytes(),
    );
    let response = String::from_utf8(wire.receive_all()).unwrap();
    assert_eq!(status(&response), 408);
    drop(headers::check(&response));
    assert!((4..8).contains(&begin.elapsed().as_secs()));
    row("E61", "a chunked body that never ends", "408 after 5 s");
}

#[test]
fn e62_a_webhook_that_is_sent_again_gets_the_same_answer() {
    let server = Running::twiml("");
    let request = signed(URL, &fields(), TOKEN)
        .replace("Content-Type", "I-Twilio-Idempotency-Token: 1\r\nContent-Type");
    let body = |response: &str| response.split("\r\n\r\n").nth(1).unwrap().to_owned();
    let first = body(&check(&server, &request, 200));
    let second = body(&check(&server, &request, 200));
    assert_eq!((first.as_str(), second.as_str()), (TWIML, TWIML));
    row("E62", "the same webhook twice, as a retry", "200 twice, the same document");
}

#[test]
fn e63_media_urls_that_cannot_be_dialled_refuse_to_start() {
    for url in [
        "wss://media.example.com/rtm/voice",
        "wss://media.example.com/",
        "wss://media.example.com?x=1",
        "wss://media.example.com#rc=1",
        "ws://media.example.com",
        "https://media.example.com",
        "wss://user:secret@media.example.com",
        "wss://media\"onload=.example.com",
        "wss://media<.example.com",
        "wss://media&amp;.example.com",
        "wss://",
        "media.example.com",
    ] {
        let all = ward_tests::servers::settings(&format!("MEDIA_WSS_URL={url}"));
        let problems: Vec<String> = all.problems().into_iter().map(|p| p.setting).collect();
        assert_eq!(problems, ["MEDIA_WSS_URL"], "{url}");
        // The launcher names the setting; the server itself, given the same, does not start either.
        note_sent(format!("MEDIA_WSS_URL={url}").as_bytes());
        let status = Running::refused_status(Role::Twiml, &format!("MEDIA_WSS_URL={url}"));
        assert_eq!(status, Some(65), "{url}");
        note_seen("exit status 65");
        row(
            "E63",
            &format!("MEDIA_WSS_URL={url}"),
            "refuses to start; the launcher names the setting",
        );
    }
}

fn check_health(server: &Running, request: &str) -> String {
    let response = exchange(server.port, request.as_bytes());
    assert_eq!(status(&response), 200);
    response
}

#[test]
fn e64_without_a_token_everything_is_refused_and_health_says_so() {
    let server = Running::twiml("TWILIO_AUTH_TOKEN=");
    drop(server.logs.first("not_ready"));
    check(&server, &signed(URL, &fields(), TOKEN), 403);
    check(&server, &format!("GET {PATH} HTTP/1.1\r\nHost: a\r\n\r\n"), 403);
    assert_eq!(server.logs.nth("refused", 2)["reason"], "token_absent");
    row("E64", "no auth token: signed POST, GET", "403, token_absent");
    let health = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n";
    let response = check(&server, health, 503);
    assert!(response.ends_with("not ready"), "{response}");
    row("E64", "no auth token: GET /health", "503, not ready");
    let ready = Running::twiml("");
    assert!(check_health(&ready, health).ends_with("\r\n\r\nready"));
}

#[test]
fn two_tokens_are_valid_during_a_rotation() {
    let server = Running::twiml("TWILIO_AUTH_TOKEN_NEXT=67890");
    check(&server, &signed(URL, &fields(), TOKEN), 200);
    check(&server, &signed(URL, &fields(), "67890"), 200);
    assert_eq!(server.logs.nth("webhook_answered", 1)["token"], 1);
    assert_eq!(server.logs.nth("webhook_answered", 2)["token"], 2);
}
