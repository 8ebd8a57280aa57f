//! E61, E63 and E64: what is not answered, and why.

use std::time::Instant;

use ward_tests::edge_cases::{note_seen, note_sent, row_of};
use ward_tests::headers;
use ward_tests::servers::{TOKEN, settings};
use ward_tests::site::{Kind, Site};
use ward_tests::wire::{Wire, exchange, status};
use ward_twilio::form::Form;

use crate::ask::{Asked, FORM, PATH, URL, body, check, fields, get, post, rightful, signed, token};

#[test]
fn e61_webhooks_that_twilio_did_not_sign_are_refused() {
    let form = Form::from_fields(fields()).encode();
    let good = rightful();
    let one_more = {
        let mut more = fields();
        more.insert(0, ("AAdded", "1"));
        let signature = token(TOKEN).sign_form(URL, &Form::from_fields(fields())).to_base64();
        let header = format!("X-Twilio-Signature: {signature}\r\n");
        post(PATH, FORM, &Form::from_fields(more).encode(), &header)
    };
    let unsigned = post(PATH, FORM, &form, "");
    let other_token = signed(URL, &fields(), "54321");
    let over_http = signed(&URL.replace("https", "http"), &fields(), TOKEN);
    let elsewhere = signed(&URL.replace("www", "evil"), &fields(), TOKEN);
    let over_host = elsewhere.replace("Host: www", "Host: evil");
    let over_forwarded = elsewhere.replace(
        "Host: www.example.com\r\n",
        "Host: www.example.com\r\nX-Forwarded-Host: evil.example.com\r\n",
    );
    let changed = good.replace("CallStatus=ringing", "CallStatus=failure");
    let none = post(PATH, FORM, &form, "X-Twilio-Signature: x\r\n");
    let two = good.replace("X-Twilio-Signature", "X-Twilio-Signature: x\r\nX-Twilio-Signature");
    let slashed = good.replace(PATH, &format!("{PATH}/"));
    let joined = "Node joins repeated headers by a comma, and that is no signature";
    for kind in Kind::BOTH {
        let site = Site::start(kind, "");
        for asked in [
            Asked::refused("no signature", &unsigned, 403, "signature_absent"),
            Asked::refused("another token", &other_token, 403, "signature_wrong"),
            Asked::refused("signed over http://", &over_http, 403, "signature_wrong"),
            Asked::refused("signed over the Host header", &over_host, 403, "signature_wrong"),
            Asked::refused("signed over X-Forwarded-Host", &over_forwarded, 403, "signature_wrong"),
            Asked::refused("one field changed", &changed, 403, "signature_wrong"),
            Asked::refused("one field added", &one_more, 403, "signature_wrong"),
            Asked::refused("a signature that is none", &none, 403, "signature_malformed"),
            Asked::refused("a slash at the end of the path", &slashed, 404, "route"),
            Asked::refused("two signatures", &two, 403, "signature_repeated").but(
                403,
                "signature_malformed",
                joined,
            ),
        ] {
            asked.of(&site);
        }
    }
}

#[test]
fn e61_rightly_signed_fields_of_another_shape_are_refused() {
    let m1 = [
        ("CallSid", "CA1234567890ABCDE"),
        ("Caller", "+14158675309Digits1234From+14158675309To+18005551212"),
    ];
    let m2 = [(
        "CallSidCA1234567890ABCDECaller",
        "+14158675309Digits1234From+14158675309To+18005551212",
    )];
    let (m1, m2, none) =
        (signed(URL, &m1, TOKEN), signed(URL, &m2, TOKEN), signed(URL, &[], TOKEN));
    let mut twice = fields();
    twice.push(("CallSid", "CA11111111111111111111111111111111"));
    let twice = signed(URL, &twice, TOKEN);
    let mut foreign = fields();
    foreign[0].1 = "AC11111111111111111111111111111111";
    let foreign = signed(URL, &foreign, TOKEN);
    let mut other = fields();
    other.insert(2, ("ApplicationSid", "AP11111111111111111111111111111111"));
    let other = signed(URL, &other, TOKEN);
    for kind in Kind::BOTH {
        let site = Site::start(kind, "");
        for asked in [
            Asked::refused("V-M1, rightly signed", &m1, 403, "schema"),
            Asked::refused("V-M2, rightly signed", &m2, 403, "schema"),
            Asked::refused("no fields at all (V-I3), rightly signed", &none, 403, "schema"),
            Asked::refused("CallSid twice, rightly signed", &twice, 403, "schema"),
            Asked::refused("another account, rightly signed", &foreign, 403, "foreign_account"),
        ] {
            asked.of(&site);
        }
        let site = Site::start(kind, "TWILIO_TWIML_APP_SID=AP00000000000000000000000000000000");
        let what = "another ApplicationSid than TWILIO_TWIML_APP_SID";
        Asked::refused(what, &other, 403, "foreign_account").of(&site);
        check(&site, &rightful(), 200);
    }
}

#[test]
fn e61_other_methods_types_and_bodies_are_refused() {
    let signature = token(TOKEN).sign_url(URL).to_base64();
    let header = format!("X-Twilio-Signature: {signature}\r\n");
    let form = |body: &str| post(PATH, FORM, body, &header);
    let json = post(PATH, "application/json", "{}", &header);
    let multipart = post(PATH, "multipart/form-data; boundary=x", "--x--", &header);
    let untyped = form("").replace("Content-Type", "X-Was-Content-Type");
    let (long, text) = (form(&"a=1&".repeat(262_144)), form("a=%FF"));
    let (percent, many) = (form("a=%zz"), form(&"a=1&".repeat(257)));
    for kind in Kind::BOTH {
        let site = Site::start(kind, "");
        let response = check(&site, &get(PATH, &header), 405);
        assert_eq!(headers::values(&response, "allow"), ["POST"]);
        assert_eq!(site.refused_because(), "method");
        row_of(kind, "E61", "GET, rightly signed", "405, Allow: POST", None);
        // Signed over the URL alone, so these bodies fail before or whatever their signature.
        for asked in [
            Asked::refused("a JSON body", &json, 415, "body_type"),
            Asked::refused("a multipart body", &multipart, 415, "body_type"),
            Asked::refused("no content type", &untyped, 415, "body_type"),
            Asked::refused("a body of 1 MB", &long, 413, "body_long"),
            Asked::refused("bytes that are no UTF-8", &text, 403, "body_malformed"),
            Asked::refused("percent signs without digits", &percent, 403, "body_malformed"),
            Asked::refused("257 fields", &many, 403, "body_malformed"),
        ] {
            asked.of(&site);
        }
    }
}

#[test]
fn e61_a_body_without_an_end_is_given_up() {
    let signature = token(TOKEN).sign_url(URL).to_base64();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: {FORM}\r\n\
         Transfer-Encoding: chunked\r\nX-Twilio-Signature: {signature}\r\n\r\n"
    );
    for kind in Kind::BOTH {
        let site = Site::start(kind, "");
        let mut wire = Wire::open(site.port);
        let begin = Instant::now();
        wire.send(format!("{head}5\r\nAc").as_bytes());
        let response = String::from_utf8(wire.receive_all()).unwrap();
        assert_eq!(status(&response), 408, "{kind}");
        drop(headers::check(&response));
        assert!((4..8).contains(&begin.elapsed().as_secs()));
        row_of(kind, "E61", "a chunked body that never ends", "408 after 5 s", None);
        // Longer than allowed, in chunks, so that no length says so beforehand.
        let chunk = format!("1000\r\n{}\r\n", "a=1&".repeat(1_024));
        let response =
            exchange(site.port, format!("{head}{}0\r\n\r\n", chunk.repeat(40)).as_bytes());
        assert_eq!(status(&response), 413, "{kind}");
        drop(headers::check(&response));
        row_of(kind, "E61", "a chunked body of 160 KiB", "413, body_long", None);
    }
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
        let setting = format!("MEDIA_WSS_URL={url}");
        let problems: Vec<String> =
            settings(&setting).problems().into_iter().map(|p| p.setting).collect();
        assert_eq!(problems, ["MEDIA_WSS_URL"], "{url}");
        for kind in Kind::BOTH {
            // The launcher names the setting; the server itself, given the same, does not start either.
            note_sent(setting.as_bytes());
            let (status, log) = Site::refused(kind, &setting);
            assert_eq!(status, Some(65), "{kind} {url}\n{log}");
            if kind == Kind::Web {
                assert!(log.contains("settings_refused") && log.contains("MEDIA_WSS_URL must be"));
                assert!(!log.contains("secret"), "{log}");
            }
            note_seen("exit status 65");
            row_of(kind, "E63", &setting, "refuses to start; the setting is named", None);
        }
    }
}

#[test]
fn every_unusable_setting_is_refused_by_both() {
    for setting in [
        "NEXT_PUBLIC_SITE_URL=http://www.example.com",
        "NEXT_PUBLIC_SITE_URL=https://www.example.com/",
        "NEXT_PUBLIC_SITE_URL=https://www.exa mple.com",
        "NEXT_PUBLIC_SITE_URL=https://[::1",
        "NEXT_PUBLIC_SITE_URL=https://www.example.com:0",
        "NEXT_PUBLIC_SITE_URL=https://www.example.com:65536",
        "NEXT_PUBLIC_SITE_URL=https://-www.example.com",
        "NEXT_PUBLIC_SITE_URL=https://www.example.123",
        "NEXT_PUBLIC_SITE_URL=https://www.example.com:0443",
        "TWILIO_AUTH_TOKEN=\nTWILIO_AUTH_TOKEN_NEXT=67890",
        "TWILIO_ACCOUNT_SID=AC1",
        "TWILIO_ACCOUNT_SID=CA00000000000000000000000000000000",
        "TWILIO_TWIML_APP_SID=AP1",
        "MEDIA_PATH=rtm/voice",
        "MEDIA_PATH=/rtm/../voice",
        "MEDIA_PATH=/rtm/voice?x",
        "TWILIO_AUTH_TOKEN=white space",
        "STREAM_TICKET=on",
        "STREAM_TICKET=path",
        "STREAM_TICKET=parameter\nSTREAM_TICKET_KEY=short",
        "STREAM_TICKET_KEY=short",
    ] {
        for kind in Kind::BOTH {
            assert_eq!(Site::refused(kind, setting).0, Some(65), "{kind} {setting}");
        }
    }
}

#[test]
fn e64_without_a_token_everything_is_refused_and_health_says_so() {
    for kind in Kind::BOTH {
        let site = Site::start(kind, "TWILIO_AUTH_TOKEN=");
        assert!(site.logs.text().contains(match kind {
            Kind::Responder => "not_ready",
            Kind::Web => "\"ready\":false",
        }));
        check(&site, &rightful(), 403);
        check(&site, &get(PATH, ""), 403);
        for _ in 1..=2 {
            assert_eq!(site.refused_because(), "token_absent");
        }
        row_of(kind, "E64", "no auth token: signed POST, GET", "403, token_absent", None);
        let response = check(&site, &get("/health", ""), 503);
        assert_eq!(body(&response), "not ready");
        row_of(kind, "E64", "no auth token: GET /health", "503, not ready", None);
        let response = exchange(Site::start(kind, "").port, get("/health", "").as_bytes());
        assert_eq!((status(&response), body(&response).as_str()), (200, "ready"));
    }
}
