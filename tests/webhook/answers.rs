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
fn what_the_framework_and_the_sdk_change_is_known() {
    let two_types =
        rightful().replace("Content-Type", "Content-Type: application/json\r\nContent-Type");
    let form_first = two_types
        .replace("application/json\r\nContent-Type: application/x-www-form-urlencoded", "\u{0}")
        .replace('\u{0}', "application/x-www-form-urlencoded\r\nContent-Type: application/json");
    let unsigned_query = rightful().replace(PATH, &format!("{PATH}?nxtPx=1"));
    let mut beyond = fields();
    beyond.extend([("\u{ff21}", "1"), ("\u{1f3e5}", "2")]);
    let beyond = signed(URL, &beyond, TOKEN);
    let node = "Node keeps the first of two content types";
    let next = "Next.js drops parameters of names that it uses itself, signed or not; the document is the \
        same for every query";
    let order =
        "Twilio's SDK for Node sorts names by UTF-16, not by bytes; Twilio's own names are ASCII";
    for kind in Kind::BOTH {
        let site = Site::start(kind, "");
        let is_web = kind == Kind::Web;
        for (what, request, ours, theirs, why) in [
            ("two content types, the form first", &form_first, 415, 200, node),
            ("an unsigned query of the framework's own names", &unsigned_query, 403, 200, next),
            ("field names beyond the basic plane", &beyond, 200, 403, order),
        ] {
            let expected = if is_web { theirs } else { ours };
            check(&site, request, expected);
            row_of(kind, "E61", what, &expected.to_string(), is_web.then_some(why));
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
        // What a framework may write about by itself: targets, bodies, and what it takes for its own.
        let long = "SENTINEL".repeat(20_000);
        for request in [
            get("/SENTINEL", ""),
            get("/SENTINEL?SENTINEL", "RSC: 1\r\nNext-Router-State-Tree: SENTINEL\r\n"),
            get("*SENTINEL", ""),
            get("http://[SENTINEL/", ""),
            get("/_next/image?url=/SENTINEL&w=64&q=75", ""),
            get("/_next/data/SENTINEL", ""),
            post("/", FORM, "SENTINEL", more),
            post("/SENTINEL", "text/plain", &long, more),
            post(&format!("{PATH}/SENTINEL"), FORM, "SENTINEL", more),
        ] {
            drop(ward_tests::wire::exchange(site.port, request.as_bytes()));
        }
        // Uploads that break off.
        for path in [PATH, "/SENTINEL"] {
            let mut wire = ward_tests::wire::Wire::open(site.port);
            let whole = post(path, FORM, &long, more);
            wire.send(&whole.as_bytes()[..2_000]);
            wire.reset();
        }
        check(&site, &post(PATH, FORM, "", ""), 403);
        site.logs.wait_for("signature_absent");
        let text = site.logs.text();
        let number = fields().into_iter().find(|(name, _)| *name == "From").unwrap().1;
        for value in ["SENTINEL", number, ward_tests::websocket::CALL, "CA0", TOKEN, "54321"] {
            assert!(!text.contains(value), "{kind}: {value} in\n{text}");
        }
        assert!(text.contains("\"event\":\"webhook_answered\""), "{text}");
        // Beside the events there is nothing but what the framework says of itself as it starts.
        let others: Vec<&str> = text.lines().filter(|line| !line.starts_with('{')).collect();
        assert!(others.len() <= 5, "{others:#?}");
    }
}
