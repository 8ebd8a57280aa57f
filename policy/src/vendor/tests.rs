//! The registry against everything that an entry can get wrong, and every day around its dates.

use super::*;
use crate::connector::RequestPlace;

const GOOD: &str = r#"
id = "listener"
vendor_legal_name = "Listener, Inc."
service = "streaming speech recognition"
role = "asr"
data_classes_allowed = ["audio", "token-only"]
training_opt_out = true
region = "us"
approved_by = "privacy officer"
approved_on = "2026-01-10"

[[hosts]]
name = "api.listener.example"
port = 443
protocol = "wss"
purpose = "data"

[[hosts]]
name = "api.listener.example"
port = 443
protocol = "https"
purpose = "token"

[connector]
dialect = "deepgram-listen"
path = "/v1/listen"
model = "nova-3"

[baa]
status = "signed"
reference = "contract 17"
document_sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
effective = "2026-02-01"
expires = "2027-01-31"
reviewed_on = "2026-01-10"
next_review = "2026-12-31"

[retention]
mode = "zero"
evidence = "contract"

[[request_must]]
where = "query"
name = "mip_opt_out"
value = "true"

[credential]
class = "token"
max_ttl_s = 60
max_session_s = 3600
single_use = false

[credential.mint]
method = "POST"
path = "/v1/auth/grant"
key_header = "authorization"
key_prefix = "Token "
body = '{"ttl_seconds":30}'
token = "/access_token"
expires_in = "/expires_in"

[source]
title = "their documentation"
date = "2026-01-05"
"#;

fn day(text: &str) -> Date {
    Date::parse(text).unwrap()
}

fn registry(text: &str) -> Registry {
    Registry::parse([("listener.toml", text)]).unwrap()
}

fn problems(text: &str) -> Vec<String> {
    let found = Registry::parse([("listener.toml", text)]).err().unwrap_or_default();
    found.into_iter().map(|problem| problem.what).collect()
}

#[test]
fn an_entry_is_approved_for_what_it_says_until_its_first_end() {
    let registry = registry(GOOD);
    let approved = registry.approve("listener", DataClass::Audio, day("2026-11-22")).unwrap();
    assert_eq!(approved.entry().hosts[0].name, "api.listener.example");
    assert_eq!(approved.entry().request_must[0].place, RequestPlace::Query);
    assert_eq!(approved.until(), Some(day("2026-12-31")), "the review comes before the expiry");
    // A credential alone is no PHI: the agreement's dates do not matter, the review does.
    assert!(registry.approve("listener", DataClass::TokenOnly, day("2026-01-15")).is_ok());
    let early = registry.approve("listener", DataClass::TokenOnly, day("2026-01-09")).err();
    assert_eq!(early, Some(VendorRefusal::NotApproved));
}

#[test]
fn every_refusal_is_the_documented_one_on_the_first_and_last_day() {
    let registry = registry(GOOD);
    let check = |id: &str, class, today: &str| registry.approve(id, class, day(today)).err();
    let audio = DataClass::Audio;
    assert_eq!(check("nobody", audio, "2026-11-22"), Some(VendorRefusal::UnknownVendor));
    assert_eq!(check("listener", audio, "2026-01-31"), Some(VendorRefusal::BaaNotYet));
    assert_eq!(check("listener", audio, "2026-02-01"), None);
    assert_eq!(check("listener", audio, "2026-12-31"), None);
    assert_eq!(check("listener", audio, "2027-01-01"), Some(VendorRefusal::ReviewOverdue));
    assert_eq!(check("listener", audio, "2027-02-01"), Some(VendorRefusal::BaaExpired));
    for class in DataClass::ALL {
        let is_allowed = matches!(class, DataClass::Audio | DataClass::TokenOnly);
        let expected = (!is_allowed).then_some(VendorRefusal::DataClass);
        assert_eq!(check("listener", class, "2026-11-22"), expected, "{class:?}");
    }
    for (status, expected) in
        [("pending", VendorRefusal::BaaMissing), ("expired", VendorRefusal::BaaExpired)]
    {
        let text = GOOD.replace("\"signed\"", &format!("\"{status}\""));
        let registry = Registry::parse([("x", text.as_str())]).unwrap();
        let refusal = registry.approve("listener", audio, day("2026-11-22")).err();
        assert_eq!(refusal, Some(expected));
    }
}

#[test]
fn every_problem_is_named() {
    assert_eq!(problems(GOOD), Vec::<String>::new());
    for (from, to, what) in [
        ("id = \"listener\"", "id = \"Listener\"", "the id is not"),
        ("api.listener.example", "*.listener.example", "without wildcards"),
        ("api.listener.example", "API.listener.example", "lower case"),
        ("api.listener.example", "192.0.2.1", "a whole name"),
        ("api.listener.example", "localhost", "a whole name"),
        ("api.listener.example", "127.0.0.0x1", "a whole name"),
        ("protocol = \"wss\"", "protocol = \"ntp\"", "over TLS only"),
        ("\"token-only\"]", "\"none\"]", "none stands alone"),
        ("port = 443", "port = 0", "the port 0"),
        ("port = 443", "port = 65536", "invalid value"),
        ("[\"audio\", \"token-only\"]", "[]", "no data class"),
        ("[\"audio\", \"token-only\"]", "[\"audio\", \"audio\"]", "twice"),
        ("[\"audio\", \"token-only\"]", "[\"everything\"]", "unknown variant"),
        ("role = \"asr\"", "role = \"dns\"", "infrastructure may be given no PHI"),
        ("\"signed\"", "\"not-required\"", "cannot be not-required"),
        ("effective = \"2026-02-01\"\n", "", "from which it is in force"),
        ("next_review = \"2026-12-31\"\n", "", "a next_review"),
        ("reference = \"contract 17\"\n", "", "a reference"),
        ("document_sha256 = \"00", "document_sha256 = \"x0", "SHA-256"),
        ("expires = \"2027-01-31\"", "expires = \"2025-01-31\"", "ends before it begins"),
        ("next_review = \"2026-12-31\"", "next_review = \"2025-12-31\"", "before the last"),
        ("next_review = \"2026-12-31\"", "next_review = \"2026-13-31\"", "not a date"),
        ("training_opt_out = true", "training_opt_out = false", "training on it is off"),
        ("mode = \"zero\"", "mode = \"ttl\"", "ttl_days goes with"),
        ("value = \"true\"", "value = \"\"", "needs name and value"),
        ("max_ttl_s = 60", "max_ttl_s = 0", "longest life"),
        ("max_session_s = 3600", "max_session_s = 0", "longest session"),
        ("region = \"us\"", "region = \" \"", "region is empty"),
        ("region = \"us\"", "region = \"us\"\nfavourite = true", "unknown field"),
        ("training_opt_out = true\n", "", "missing field"),
        ("role = \"asr\"", "role = \"tts\"", "another service than the role"),
        ("role = \"asr\"", "role = \"host\"", "another service than the role"),
        ("\"deepgram-listen\"", "\"telepathy\"", "unknown variant"),
        ("\"/v1/listen\"", "\"/v1/listen?a=b\"", "path is no plain path"),
        ("\"nova-3\"", "\"nova 3\"", "a URL can hold"),
        ("value = \"true\"", "value = \"a\\nb\"", "control character"),
        ("class = \"token\"", "class = \"signed-token\"", "a mint goes with"),
        ("class = \"token\"", "class = \"none\"", "a mint goes with"),
        ("purpose = \"token\"", "purpose = \"control\"", "minted at a host"),
        ("protocol = \"https\"", "protocol = \"wss\"", "speaks https"),
        ("purpose = \"token\"", "purpose = \"data\"", "twice for one purpose"),
        ("\"POST\"", "\"GET\"", "a GET has no body"),
        ("\"POST\"", "\"PUT\"", "unknown variant"),
        ("\"/v1/auth/grant\"", "\"v1/auth/grant\"", "the mint's path"),
        ("\"/v1/auth/grant\"", "\"/v1/auth/grant\\r\\nx: y\"", "the mint's path"),
        ("\"authorization\"", "\"Authorization\"", "name in lower case"),
        ("\"authorization\"", "\"content-length\"", "name in lower case"),
        ("\"Token \"", "\"Token\\n\"", "printable ASCII"),
        ("body = '{", "body = '", "not JSON"),
        ("token = \"/access_token\"", "token = \"access_token\"", "JSON Pointer"),
        ("expires_in = \"/expires_in\"", "expires_in = \"\"", "JSON Pointer"),
        ("token = \"/access", "expires_at = \"/at\"\ntoken = \"/access", "in one way"),
        ("body =", "headers = [{ name = \"authorization\", value = \"x\" }]\nbody =", "twice"),
    ] {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "{from}");
        let found = problems(&text);
        assert!(found.iter().any(|problem| problem.contains(what)), "{to}: {found:?}");
    }
}

#[test]
fn a_problem_of_two_hosts_is_said_once() {
    assert_eq!(problems(&GOOD.replace("port = 443", "port = 0")), ["a host has the port 0"]);
}

#[test]
fn an_empty_registry_is_a_problem() {
    assert_eq!(Registry::parse([]).unwrap_err()[0].what, "there is no entry");
}

#[test]
fn problems_of_all_files_are_listed_at_once() {
    let wildcard =
        GOOD.replace("api.listener", "*.listener").replace("region = \"us\"", "region = \"\"");
    let found = Registry::parse([
        ("a.toml", GOOD),
        ("b.toml", GOOD),
        ("c.toml", "id = 1"),
        ("d.toml", &wildcard),
    ])
    .unwrap_err();
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    let has = |start: &str, what: &str| {
        lines.iter().any(|line| line.starts_with(start) && line.contains(what))
    };
    assert!(has("b.toml", "the id listener is in another entry too"), "{lines:?}");
    assert!(has("c.toml", "invalid type"), "{lines:?}");
    assert!(has("d.toml", "without wildcards") && has("d.toml", "region is empty"), "{lines:?}");
    assert!(!lines.iter().any(|line| line.starts_with("a.toml")), "{lines:?}");
}

/// The tables of [`GOOD`] between these two, replaced.
fn with_mint(mint: &str) -> String {
    let (start, rest) = GOOD.split_once("[credential.mint]").unwrap();
    let (_, end) = rest.split_once("[source]").unwrap();
    format!("{start}{mint}\n[source]{end}")
}

#[test]
fn the_ways_of_vendors_to_mint_can_be_written_down() {
    assert!(problems(&with_mint("")).iter().any(|one| one.contains("a mint goes with")));
    let written = [
        "method = \"GET\"\npath = \"/v3/token?expires_in_seconds=60\"\nkey_header = \"authorization\"
         token = \"/token\"",
        "method = \"POST\"\npath = \"/access-token\"\nkey_header = \"authorization\"\nkey_prefix = \"Bearer \"
         body = '{\"grants\":{\"tts\":true},\"expires_in\":60}'\ntoken = \"/token\"
         headers = [{ name = \"cartesia-version\", value = \"2025-04-16\" }]",
        "method = \"POST\"\npath = \"/v1/single-use-token/tts_websocket\"\nkey_header = \"xi-api-key\"
         token = \"/token\"",
        "method = \"POST\"\npath = \"/v1/realtime/client_secrets\"\nkey_header = \"authorization\"
         key_prefix = \"Bearer \"\nbody = '{\"expires_after\":{\"anchor\":\"created_at\",\"seconds\":60}}'
         token = \"/value\"\nexpires_at = \"/expires_at\"",
        "method = \"POST\"\npath = \"/00000000-0000-0000-0000-000000000000/oauth2/v2.0/token\"
         key_header = \"authorization\"\nkey_prefix = \"Basic \"
         form = \"grant_type=client_credentials&scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default\"
         token = \"/access_token\"\nexpires_in = \"/expires_in\"",
    ];
    for mint in written {
        assert_eq!(
            problems(&with_mint(&format!("[credential.mint]\n{mint}\n"))),
            [""; 0],
            "{mint}"
        );
    }
    let entry: Entry = toml::from_str(GOOD).unwrap();
    let mint = entry.credential.mint.unwrap();
    assert_eq!((mint.method.name(), mint.expires_in.as_deref()), ("POST", Some("/expires_in")));
}

#[test]
fn what_a_mint_sends_is_json_or_a_form_and_not_both() {
    let mint = |what: &str| {
        problems(&with_mint(&format!(
            "[credential.mint]\nmethod = \"POST\"\npath = \"/token\"\nkey_header = \"authorization\"\ntoken = \"/token\"\n{what}\n"
        )))
    };
    assert_eq!(mint("form = \"grant_type=client_credentials\""), [""; 0]);
    for (what, problem) in [
        ("form = \"a=b c\"", "not encoded"),
        ("form = \"a=b\\r\\nx: y\"", "not encoded"),
        ("form = \"\"", "not encoded"),
        ("form = \"a=b\"\nbody = \"{}\"", "not both"),
        ("body = \"a=b\"", "not JSON"),
    ] {
        assert!(mint(what).iter().any(|one| one.contains(problem)), "{what}");
    }
}

#[test]
fn a_host_is_shared_by_one_vendor_under_one_agreement_alone() {
    let second = GOOD.replace("id = \"listener\"", "id = \"speaker\"");
    let check = |second: &str| {
        let found = Registry::parse([("a.toml", GOOD), ("b.toml", second)]).err();
        let found = found.unwrap_or_default();
        let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
        lines.join("\n")
    };
    assert_eq!(check(&second), "");
    for (from, to) in [
        ("Listener, Inc.", "Another, Inc."),
        ("contract 17", "contract 18"),
        ("next_review = \"2026-12-31\"", "next_review = \"2026-12-30\""),
        ("status = \"signed\"", "status = \"pending\""),
    ] {
        let found = check(&second.replace(from, to));
        let expected = "b.toml: the host api.listener.example:443 is in an entry of another vendor";
        assert!(found.contains(expected), "{to}: {found}");
        // A host of its own is nobody else's business.
        let apart = second.replace("api.listener", "api.speaker").replace(from, to);
        assert_eq!(check(&apart), "", "{to}");
    }
}

#[test]
fn what_media_is_told_is_the_connector_and_what_every_request_must_carry() {
    let registry = registry(GOOD);
    let manner = registry.entries()[0].manner().unwrap();
    assert_eq!(manner.connector.path, "/v1/listen");
    assert_eq!(manner.musts[0].name, "mip_opt_out");
    let (start, rest) = GOOD.split_once("[connector]").unwrap();
    let without = format!("{start}[baa]{}", rest.split_once("[baa]").unwrap().1);
    assert_eq!(Registry::parse([("x", without.as_str())]).unwrap().entries()[0].manner(), None);
}

#[test]
fn the_entries_that_ship_are_right_and_let_nothing_through_by_themselves() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("vendors");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        files.push((name, std::fs::read_to_string(entry.path()).unwrap()));
    }
    assert!(!files.is_empty());
    files.sort();
    let mut built_in: Vec<_> =
        BUILT_IN.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    built_in.sort();
    assert_eq!(files, built_in);
    let pairs = files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let registry = Registry::parse(pairs).unwrap_or_else(|problems| panic!("{problems:#?}"));
    for entry in registry.entries() {
        for class in DataClass::ALL.into_iter().filter(|class| class.is_phi()) {
            // Only an operator who has signed something can say so.
            let refused = registry.approve(&entry.id, class, day("2026-11-23")).err();
            let expected = if entry.role.is_infrastructure() {
                VendorRefusal::Infrastructure
            } else {
                VendorRefusal::BaaMissing
            };
            assert_eq!(refused, Some(expected), "{} {class:?}", entry.id);
        }
    }
}

#[test]
fn the_words_of_the_classes_are_those_of_the_files() {
    for class in DataClass::ALL {
        let text = GOOD.replace("[\"audio\", \"token-only\"]", &format!("[\"{}\"]", class.name()));
        let entry: Entry = toml::from_str(&text).unwrap();
        assert_eq!(entry.data_classes_allowed, [class]);
    }
}
