//! The operator's tool as an operator uses it: arguments, exit statuses, JSON.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use ward_tests::binaries::{release, root};

fn file(name: &str, text: &str) -> PathBuf {
    let folder = root().join("target/tool-test");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn ward(arguments: &[&str]) -> (Option<i32>, String, Output) {
    let output = Command::new(release("ward")).args(arguments).env_clear().output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout.clone()).unwrap(), output)
}

fn json(arguments: &[&str]) -> (Option<i32>, Value) {
    let (status, text, _) = ward(&[arguments, &["--json"]].concat());
    (status, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

const GOOD: &str = "MEDIA_WSS_URL=wss://media.example.com\nNEXT_PUBLIC_SITE_URL=https://www.example.com\n\
    TWILIO_ACCOUNT_SID=AC00000000000000000000000000000000\nTWILIO_AUTH_TOKEN=12345\n";

#[test]
fn check_config_names_every_problem_and_shows_no_value() {
    let good = file("good.env", GOOD);
    let (status, text, _) = ward(&["check-config", "--env-file", good.to_str().unwrap()]);
    assert_eq!((status, text.trim()), (Some(0), "ok"));
    let bad = file(
        "bad.env",
        "MEDIA_WSS_URL=ws://hunter2/\nTWILIO_ACCOUNT_SID=hunter2\nTWILIO_AUTH_TOKEN=hunter 2\nMEDIA_AGENT=hunter2\nHUNTER=2\n",
    );
    let (status, object) = json(&["check-config", "--env-file", bad.to_str().unwrap()]);
    assert_eq!((status, &object["ok"]), (Some(1), &false.into()));
    let problems = object["problems"].to_string();
    for name in [
        "MEDIA_WSS_URL",
        "NEXT_PUBLIC_SITE_URL",
        "TWILIO_ACCOUNT_SID",
        "TWILIO_AUTH_TOKEN",
        "MEDIA_AGENT",
        "HUNTER",
    ] {
        assert!(problems.contains(name), "{name}: {problems}");
    }
    assert!(!problems.contains("hunter"), "{problems}");
    assert_eq!(ward(&["check-config", "--env-file", "/nowhere"]).0, Some(2));
}

#[test]
fn signature_says_what_twilio_signs_and_which_variant_matches() {
    let token = file("token", "12345\n");
    let token = token.to_str().unwrap();
    let stream =
        ["signature", "--auth-token-file", token, "--url", "wss://media.example.com/rtm/voice"];
    let (status, object) = json(&stream);
    assert_eq!((status, &object["signature"]), (Some(0), &"hT6TllFCjXqRGzPszuGWRqAQ2lY=".into()));
    let (status, object) =
        json(&[&stream[..], &["--check", "hT6TllFCjXqRGzPszuGWRqAQ2lY="]].concat());
    assert_eq!((status, &object["matches"]), (Some(0), &true.into()));
    // The signature over https, which a server behind a proxy computes by mistake.
    let (status, object) =
        json(&[&stream[..], &["--check", "Vij22jir6R+t9gbbSc1DUsBFJ5w="]].concat());
    assert_eq!((status, &object["matches"]), (Some(1), &false.into()));
    assert_eq!(object["variant"]["url"], "https://media.example.com/rtm/voice");
    let (status, object) =
        json(&[&stream[..], &["--check", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="]].concat());
    assert_eq!((status, &object["variant"]), (Some(1), &Value::Null));
    assert_eq!(json(&[&stream[..], &["--check", "nonsense"]].concat()).0, Some(2));
    let webhook = [
        "signature",
        "--auth-token-file",
        token,
        "--url",
        "https://mycompany.com/myapp.php?foo=1&bar=2",
        "--param",
        "CallSid=CA1234567890ABCDE",
        "--param",
        "Caller=+14158675309",
        "--param",
        "Digits=1234",
        "--param",
        "From=+14158675309",
        "--param",
        "To=+18005551212",
    ];
    assert_eq!(json(&webhook).1["signature"], "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
    let body = file("body.json", r#"{"property": "value", "boolean": true}"#);
    let signed_body = [&webhook[..5], &["--body", body.to_str().unwrap()]].concat();
    assert_eq!(json(&signed_body).1["signature"], "a9nBmqA0ju/hNViExpshrM61xv4=");
}

#[test]
fn wrong_usage_is_status_two() {
    for arguments in
        [&[][..], &["nonsense"], &["call"], &["run", "nonsense"], &["signature", "--url", "x"]]
    {
        assert_eq!(ward(arguments).0, Some(2), "{arguments:?}");
    }
    let token = file("token2", "12345");
    let call = [
        "call",
        "--webhook",
        "https://127.0.0.1:9/x",
        "--account-sid",
        "AC00000000000000000000000000000000",
        "--auth-token-file",
        token.to_str().unwrap(),
        "--audio",
        "/nowhere.wav",
    ];
    assert_eq!(ward(&call).0, Some(2));
    assert_eq!(ward(&["--help"]).0, Some(0));
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let env = file("start.env", GOOD);
    let env = env.to_str().unwrap();
    let wrong = ["run", "media", "--env-file", env, "--tls-chain", env, "--tls-key", env];
    let (status, _, output) = ward(&wrong);
    assert_eq!(status, Some(1), "no certificate in it");
    assert!(String::from_utf8_lossy(&output.stderr).contains("certificate or key"));
    // Where nobody would see that no telephone network trusts it, a development CA is no way out.
    let image = ["run", "media", "--env-file", env, "--target", "image"];
    let (status, _, output) = ward(&image);
    assert_eq!(status, Some(2), "no certificate");
    assert!(String::from_utf8_lossy(&output.stderr).contains("the image needs a certificate"));
    let broken = file("broken.env", &GOOD.replace("wss:", "ws:"));
    let (status, _, output) = ward(&["run", "twiml", "--env-file", broken.to_str().unwrap()]);
    assert_eq!(status, Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("MEDIA_WSS_URL"));
}

#[test]
fn vendors_says_what_each_may_be_given_and_names_every_problem() {
    let folder = root().join("target/vendors-test");
    std::fs::create_dir_all(&folder).unwrap();
    let shipped = std::fs::read_to_string(root().join("policy/vendors/deepgram.toml")).unwrap();
    let signed = shipped.replace(
        "status = \"pending\"",
        &format!(
            "status = \"signed\"\nreference = \"17\"\ndocument_sha256 = \"{}\"\neffective = \"2026-01-01\"\n\
             expires = \"2026-12-31\"\nreviewed_on = \"2026-01-01\"\nnext_review = \"2027-06-30\"",
            "0".repeat(64)
        ),
    );
    let path = folder.join("deepgram.toml");
    std::fs::write(&path, &signed).unwrap();
    let on = |day: &str| {
        let arguments = ["vendors", "--registry", folder.to_str().unwrap(), "--on", day];
        let (status, object) = json(&arguments);
        (status, object["vendors"][0]["data_classes"]["audio"].clone())
    };
    assert_eq!(on("2025-12-31"), (Some(0), "baa_not_yet".into()));
    assert_eq!(on("2026-12-31"), (Some(0), "approved until 2026-12-31".into()));
    assert_eq!(on("2027-01-01"), (Some(0), "baa_expired".into()));
    let today = ["vendors", "--registry", folder.to_str().unwrap()];
    assert_eq!(json(&today).0, Some(0), "without a day: today");
    std::fs::write(&path, signed.replace("api.deepgram", "*.deepgram").replace("\"us\"", "\"\""))
        .unwrap();
    let (status, object) = json(&today);
    assert_eq!((status, object["problems"].as_array().unwrap().len()), (Some(1), 2), "{object}");
    assert_eq!(ward(&["vendors", "--registry", "/nowhere"]).0, Some(2));
    assert_eq!(ward(&["vendors", "--on", "2026-02-30"]).0, Some(2));
}

#[test]
fn events_prints_the_book_and_the_schema_that_is_published() {
    let published = std::fs::read_to_string(root().join("policy/log.schema.json")).unwrap();
    for arguments in [&["events", "--schema"][..], &["events", "--schema", "--json"]] {
        let (status, text, _) = ward(arguments);
        assert_eq!(status, Some(0));
        assert!(text == published, "{arguments:?}");
    }
    let (status, object) = json(&["events"]);
    let events = object["events"].as_array().unwrap();
    let schema: Value = serde_json::from_str(&published).unwrap();
    assert_eq!((status, events.len()), (Some(0), schema["oneOf"].as_array().unwrap().len()));
    for event in events {
        // The fields of the schema's branch, without those that every line has.
        let branch = &schema["$defs"][event["event"].as_str().unwrap()];
        let fields = event["fields"].as_array().unwrap();
        assert_eq!(branch["properties"].as_object().unwrap().len(), fields.len() + 6, "{event}");
        assert!(fields.iter().all(|name| branch["properties"][name.as_str().unwrap()].is_object()));
    }
    let (_, text, _) = ward(&["events"]);
    assert!(text.contains("call_ended  call reason fault close duration_ms counts"), "{text}");
}
