//! Thousands of random webhooks, right and wrong: both servers must agree on every one of them.
//!
//! Two implementations of one strict schema drift apart unless something asks both the same questions.
//! The cases come from a fixed seed, so a disagreement can be seen again.

use std::collections::BTreeMap;
use std::time::Duration;

use ward_policy::limit;
use ward_tests::random::Random;
use ward_tests::servers::{ACCOUNT, TOKEN};
use ward_tests::site::{Kind, Site};
use ward_tests::wire::{exchange, status};
use ward_twilio::form::Form;

use crate::ask::{FORM, PATH, URL, fields, post, token};

/// Random webhooks; each is asked of both.
const CASES: usize = 1_000;

const NAMES: &[&str] = &[
    "AccountSid",
    "ApiVersion",
    "CallSid",
    "CallStatus",
    "From",
    "To",
    "ApplicationSid",
    "Digits",
    "__proto__",
    "constructor",
    "1",
    "toString",
    "é",
    "callsid",
    "CallSid ",
    "",
];

/// Values at the borders of what the schema takes.
const VALUES: &[&str] = &[
    "",
    "+14158675309",
    "911",
    "12",
    "+1234567890123456",
    "++15551234567",
    "+",
    "1\u{663}5",
    "５５５",
    "anonymous",
    "ANONYMOUS",
    "un\u{212a}nown",
    "+Restricted",
    "client:alice",
    "CLIENT:a",
    "client:",
    "client:a b",
    "sip:a@b",
    "sips:é",
    "2010-04-01",
    "2010-4-01",
    "2010-04-01\n",
    "２010-04-01",
    "ringing",
    "Ringing",
    "ringing ",
    "no-answer",
    "queuedX",
    ACCOUNT,
    "ac00000000000000000000000000000000",
    "AC0000000000000000000000000000000a",
    "AC0000000000000000000000000000000A",
    "AC0000000000000000000000000000000g",
    "CA0000000000000000000000000000000F",
    "CA0000000000000000000000000000000F\n",
    "AP00000000000000000000000000000000",
    "AP0",
    "AP11111111111111111111111111111111",
    "\u{feff}x",
    "a=b&c",
    "%41",
    "日本",
    "🏥",
];

const SIDS: &[&str] = &[
    ACCOUNT,
    "AC11111111111111111111111111111111",
    "AP00000000000000000000000000000000",
    "AP11111111111111111111111111111111",
    "AC0",
];

/// The body and the signature of one webhook.
fn case(random: &mut Random) -> String {
    let mut list: Vec<(String, String)> =
        fields().into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    for _ in 0..random.below(4) {
        let at = random.below(list.len());
        match random.below(6) {
            0 => drop(list.remove(at)),
            1 => list[at].1 = random.pick(VALUES).to_owned(),
            2 => list.push((random.pick(NAMES).to_owned(), random.pick(VALUES).to_owned())),
            3 => list.push(list[at].clone()),
            4 => {
                let name = random.pick(&["AccountSid", "ApplicationSid"]);
                list.retain(|(key, _)| key != name);
                list.push((name.to_owned(), random.pick(SIDS).to_owned()));
            }
            _ => list.swap(0, at),
        }
    }
    let form = Form::from_fields(list.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let mut body = form.encode();
    // Other spellings of the same fields, and bodies that are none.
    match random.below(12) {
        0 => body = body.replace('+', "%20"),
        1 => body = body.to_lowercase().replace("callsid=", "CallSid="),
        2 => body = format!("&&{body}&"),
        3 => body.push_str("&novalue"),
        4 => body.push_str("&a=%f"),
        5 => body.push_str("&a=%ff"),
        6 => body.push_str("&a=b=c"),
        7 => body.push_str(&"&x=1".repeat(random.below(300))),
        _ => {}
    }
    let parsed = Form::parse(body.as_bytes()).unwrap_or(form);
    let mut signature = token(TOKEN).sign_form(URL, &parsed).to_base64();
    if random.below(20) == 0 {
        signature.replace_range(..1, if signature.starts_with('A') { "B" } else { "A" });
    }
    post(PATH, FORM, &body, &format!("X-Twilio-Signature: {signature}\r\n"))
}

#[test]
fn both_servers_agree_on_every_webhook() {
    let sites = Kind::BOTH
        .map(|kind| Site::start(kind, "TWILIO_TWIML_APP_SID=AP00000000000000000000000000000000"));
    let mut random = Random(0x5eed_0003);
    let mut verdicts: BTreeMap<String, usize> = BTreeMap::new();
    for number in 0..CASES {
        let request = case(&mut random);
        let [ours, theirs] = [0, 1].map(|index| {
            let site: &Site = &sites[index];
            let code = status(&exchange(site.port, request.as_bytes()));
            if code == 200 {
                return "answered".to_owned();
            }
            format!("{code} {}", site.refused_because())
        });
        assert_eq!(ours, theirs, "case {number}:\n{request}");
        // Slowly enough that the responder writes a line for each refusal rather than count it.
        if ours != "answered" {
            std::thread::sleep(Duration::from_secs(1) / limit::PEER_EVENTS_PER_SECOND_MAX);
        }
        *verdicts.entry(ours).or_default() += 1;
    }
    println!("{CASES} webhooks, both servers: {verdicts:?}");
    for verdict in [
        "answered",
        "403 schema",
        "403 foreign_account",
        "403 signature_wrong",
        "403 body_malformed",
    ] {
        assert!(verdicts.get(verdict) >= Some(&10), "{verdict}: {verdicts:?}");
    }
}
