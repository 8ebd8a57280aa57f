//! Webhooks that are answered: the document, retries, queries, rotation; and what is never logged.

use ward_tests::edge_cases::row_of;
use ward_tests::headers;
use ward_tests::servers::TOKEN;
use ward_tests::site::{Kind, Site};
use ward_twilio::form::Form;

use crate::ask::{FORM, PATH, TWIML, URL, body, check, fields, get, post, rightful, signed, token};

fn with_query(query: &str) -> String {
    let form = Form::from_fields(fields());
    let signature = token(TOKEN).sign_form(&format!("{URL}?{query}"), &form).to_base64();
    let header = format!("X-Twilio-Signature: {signature}\r\n");
    post(&format!("{PATH}?{query}"), FORM, &form.encode(), &header)
}

#[test]
fn a_signed_webhook_is_answered_with_the_seeds_twiml() {
    for kind in Kind::BOTH {
        let site = Site::start(kind, "");
        let response = check(&site, &rightful(), 200);
        assert_eq!(body(&response), TWIML, "{kind}");
        assert_eq!(headers::values(&response, "content-type"), ["text/xml; charset=utf-8"]);
        // A query that Twilio was configured with is part of what it signs.
        for query in ["clinic=7", "a=1&b=two+words", "name=O'Brien", "u=%C3%A9"] {
            assert_eq!(body(&check(&site, &with_query(query), 200)), TWIML, "{kind} {query}");
        }
    }
}

#[test]
fn a_query_that_the_platform_spells_anew_fails_closed() {
    for kind in Kind::BOTH {
        let site = Site::start(kind, "");
        for query in ["clinic", "u=%c3%a9", "a=(1)&&b=2"] {
            let expected = if kind == Kind::Responder { 200 } else { 403 };
            check(&site, &with_query(query), expected);
            let why = "Next.js takes the query apart and spells it anew before the route sees it";
            let why = (kind == Kind::Web).then_some(why);
            let meaning = if kind == Kind::Responder { "answered" } else { "403, signature_wrong" };
            row_of(kind, "E61", &format!("signed over the query `{query}`"), meaning, why);
        }
    }
}

#[test]
fn e62_a_webhook_that_is_sent_again_gets_the_same_answer() {
    for kind in Kind::BOTH {
        let site = Site::start(kind, "");
        let request =
            rightful().replace("Content-Type", "I-Twilio-Idempotency-Token: 1\r\nContent-Type");
        let first = body(&check(&site, &request, 200));
        let second = body(&check(&site, &request, 200));
        assert_eq!((first.as_str(), second.as_str()), (TWIML, TWIML));
        let meaning = "200 twice, the same document";
        row_of(kind, "E62", "the same webhook twice, as a retry", meaning, None);
    }
}

#[test]
fn two_tokens_are_valid_during_a_rotation() {
    for kind in Kind::BOTH {
        let site = Site::start(kind, "TWILIO_AUTH_TOKEN_NEXT=67890");
        check(&site, &rightful(), 200);
        check(&site, &signed(URL, &fields(), "67890"), 200);
        assert_eq!(site.logs.nth("webhook_answered", 1)["token"], 1, "{kind}");
        assert_eq!(site.logs.nth("webhook_answered", 2)["token"], 2, "{kind}");
    }
}

#[test]
fn no_field_of_a_webhook_is_ever_logged() {
    for kind in Kind::BOTH {
        let site = Site::start(kind, "");
        let mut marked = fields();
        marked.push(("CallerName", "SENTINEL"));
        marked.push(("SENTINEL", "1"));
        check(&site, &signed(URL, &marked, TOKEN), 200);
        check(&site, &signed(URL, &marked, "54321"), 403);
        check(&site, &with_query("who=SENTINEL"), 200);
        let mut foreign = marked.clone();
        foreign[0].1 = "AC11111111111111111111111111111111";
        check(&site, &signed(URL, &foreign, TOKEN), 403);
        check(&site, &post(PATH, FORM, "SENTINEL=%zz", "X-Twilio-Signature: SENTINEL\r\n"), 403);
        let more = "X-Twilio-Signature: x\r\nNext-Action: SENTINEL\r\nUser-Agent: SENTINEL\r\n";
        check(&site, &post(PATH, "text/SENTINEL", "SENTINEL", more), 403);
        for request in [get("/SENTINEL", ""), post("/", FORM, "SENTINEL", more)] {
            drop(ward_tests::wire::exchange(site.port, request.as_bytes()));
        }
        drop(site.logs.nth("refused", 4));
        let text = site.logs.text();
        let number = fields().into_iter().find(|(name, _)| *name == "From").unwrap().1;
        for value in ["SENTINEL", number, ward_tests::websocket::CALL, "CA0", TOKEN, "54321"] {
            assert!(!text.contains(value), "{kind}: {value} in\n{text}");
        }
        assert!(text.contains("\"event\":\"webhook_answered\""), "{text}");
    }
}
