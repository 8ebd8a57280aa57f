//! Both responders' tickets are the media server's, and the published vectors are everybody's.

use std::process::Command;

use serde_json::Value;
use ward_policy::fault::{CallEnd, TicketFault};
use ward_policy::phi::Secret;
use ward_policy::ticket::Validity;
use ward_tests::binaries::{release, root};
use ward_tests::servers::{ACCOUNT, Running, TOKEN, ca_certificate};
use ward_tests::site::{Kind, Site};
use ward_tests::websocket::CALL;
use ward_tests::wire::{exchange, status};
use ward_twilio::form::Form as Fields;
use ward_twilio::sid::CallSid;
use ward_twilio::signature::AuthToken;
use ward_twilio::ticket::{TicketKey, TicketPublicKey, TicketPublicKeys};

use crate::desk::{Form, KEYS, await_open, given, present, public, refused, taken};

fn vectors() -> Value {
    let text = std::fs::read_to_string(root().join("tests/tickets/vectors.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap()
}

#[test]
fn the_published_vectors_hold() {
    let vectors = vectors();
    let key = TicketKey::parse(&Secret::new(text(&vectors, "key").to_owned())).unwrap();
    let public = TicketPublicKey::parse(text(&vectors, "publicKey")).unwrap();
    assert_eq!((key.public(), public.id().hex().as_str()), (public, text(&vectors, "keyId")));
    let keys = TicketPublicKeys::new(vec![public]).unwrap();
    let tickets = vectors["tickets"].as_array().unwrap();
    assert!(tickets.len() >= 3);
    for vector in tickets {
        let call = CallSid::parse(text(vector, "call")).unwrap();
        let validity = Validity {
            issued_ms: vector["issuedMs"].as_u64().unwrap(),
            life_s: u8::try_from(vector["lifeS"].as_u64().unwrap()).unwrap(),
        };
        let digits = text(vector, "nonce");
        let nonce: Vec<u8> = (0..16)
            .map(|place| u8::from_str_radix(&digits[2 * place..2 * place + 2], 16).unwrap())
            .collect();
        let nonce = nonce.try_into().unwrap();
        // Ed25519 has one signature for one text, so tickets are compared whole.
        assert_eq!(key.issue(&call, validity, nonce), text(vector, "ticket"));
        let verified = keys.verify(text(vector, "ticket")).unwrap();
        assert_eq!((verified.validity(), verified.nonce()), (validity, nonce));
        assert!(verified.is_for(&call));
    }
    let wrong = vectors["wrong"].as_array().unwrap();
    assert!(wrong.len() >= 10);
    for vector in wrong {
        let fault: TicketFault = keys.verify(text(vector, "ticket")).unwrap_err();
        let code = CallEnd::from(fault).code();
        assert_eq!(code, text(vector, "reason"), "{}", text(vector, "what"));
    }
}

/// Posts a signed webhook; the TwiML.
fn twiml(site: &Site) -> String {
    let form = Fields::from_fields([
        ("AccountSid", ACCOUNT),
        ("ApiVersion", "2010-04-01"),
        ("CallSid", CALL),
        ("CallStatus", "ringing"),
        ("From", "+12025550123"),
        ("To", "+18005550100"),
    ]);
    let token = AuthToken::new(&Secret::new(TOKEN.to_owned())).unwrap();
    let url = "https://www.example.com/api/voice/incoming";
    let (body, signature) = (form.encode(), token.sign_form(url, &form).to_base64());
    let answer = exchange(
        site.port,
        format!(
            "POST /api/voice/incoming HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\
             X-Twilio-Signature: {signature}\r\n\r\n{body}",
            body.len()
        )
        .as_bytes(),
    );
    assert_eq!(status(&answer), 200, "{answer}");
    let begin = answer.find("<Response>").expect("a document");
    let end = answer.find("</Response>").expect("a whole document") + "</Response>".len();
    answer[begin..end].to_owned()
}

#[test]
fn each_responders_tickets_are_taken_once_in_each_form() {
    let media = crate::desk::media("ticket");
    for kind in Kind::BOTH {
        let off =
            twiml(&Site::start(kind, &format!("STREAM_TICKET=off\nSTREAM_TICKET_KEY={}", KEYS[0])));
        let seeds = r#"<Response><Connect><Stream url="wss://media.example.com/rtm/voice"/></Connect></Response>"#;
        assert_eq!(off, seeds, "{kind}");
        for (form, name, before, after) in [
            (
                Form::Parameter,
                "parameter",
                r#"<Response><Connect><Stream url="wss://media.example.com/rtm/voice"><Parameter name="wardTicket" value=""#,
                r#""/></Stream></Connect></Response>"#,
            ),
            (
                Form::Path,
                "path",
                r#"<Response><Connect><Stream url="wss://media.example.com/rtm/voice/"#,
                r#""/></Connect></Response>"#,
            ),
        ] {
            let site =
                Site::start(kind, &format!("STREAM_TICKET={name}\nSTREAM_TICKET_KEY={}", KEYS[0]));
            let [first, second] = [(), ()].map(|()| twiml(&site));
            let ticket = |document: &str| {
                let inner = document.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
                inner.unwrap_or_else(|| panic!("{kind} {name}: {document}")).to_owned()
            };
            let (first, second) = (ticket(&first), ticket(&second));
            assert_ne!(first, second, "{kind} {name}: each webhook has a ticket of its own");
            // For the call that the webhook was about, once, and for no other.
            drop(taken(&media, form, &first, 0));
            let again = present(&media, form, &first, 0);
            refused(&media, form, &again, "ticket_used");
            refused(&media, form, &present(&media, form, &second, 1), "ticket_other_call");
        }
    }
    given(&media, "ticket_used", 4);
    given(&media, "ticket_other_call", 4);
}

#[test]
fn the_stand_in_places_calls_with_tickets_in_both_forms() {
    let folder = root().join("target/tickets/stand-in");
    std::fs::create_dir_all(&folder).unwrap();
    let file = |name: &str| folder.join(name);
    std::fs::write(file("ca.pem"), ca_certificate()).unwrap();
    std::fs::write(file("token"), TOKEN).unwrap();
    for (form, mode) in [("parameter", "signature+ticket"), ("path", "ticket")] {
        let media = Running::media(&format!(
            "MEDIA_WSS_URL=wss://localhost:{{port}}\nMEDIA_HANDSHAKE={mode}\nMEDIA_AGENT=greeter\n{}",
            public(&[0])
        ));
        await_open();
        let site = Site::start(
            Kind::Responder,
            &format!(
                "NEXT_PUBLIC_SITE_URL=https://localhost:{{port}}\nSTREAM_TICKET={form}\n\
                 STREAM_TICKET_KEY={}\nMEDIA_WSS_URL=wss://localhost:{}",
                KEYS[0], media.port
            ),
        );
        let output = Command::new(release("ward"))
            .args(["call", "--json", "--account-sid", ACCOUNT, "--hangup-after", "3"])
            .args(["--webhook", &format!("https://localhost:{}/api/voice/incoming", site.port)])
            .arg("--auth-token-file")
            .arg(file("token"))
            .arg("--ca")
            .arg(file("ca.pem"))
            .arg("--audio")
            .arg(root().join("tests/corpus/appointment.wav"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{form}: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(media.logs.first("call_started")["ticket"], form);
    }
}

#[test]
fn the_tool_makes_a_key_once_and_never_shows_its_private_half() {
    let folder = root().join("target/tickets/key");
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("ticket-key");
    let run = |more: &[&str]| {
        let mut command = Command::new(release("ward"));
        command.args(["ticket-key", "--json"]).args(more).arg(&path);
        let output = command.output().unwrap();
        let said = [output.stdout.as_slice(), &output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let (status, made) = run(&[]);
    assert_eq!(status, Some(0), "{made}");
    let private = std::fs::read_to_string(&path).unwrap();
    let key = TicketKey::parse(&Secret::new(private.trim_end().to_owned())).unwrap();
    let said: Value = serde_json::from_str(&made).unwrap();
    assert_eq!(said["public_key"], key.public().to_base64());
    assert_eq!(said["key_id"], key.public().id().hex());
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let (status, refused) = run(&[]);
    assert_eq!(status, Some(2), "a key is never overwritten: {refused}");
    let (status, shown) = run(&["--show"]);
    assert_eq!((status, shown), (Some(0), made.clone()));
    assert!(![made, refused].iter().any(|said| said.contains(private.trim_end())));
}
