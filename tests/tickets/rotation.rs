//! The rotation drill: auth token and ticket key are rotated under a hundred live calls, as an operator does it, with
//! `ward run` and SIGHUP. No new call fails, no live one ends, and afterwards the old ones are refused. E57 and E65.

use std::fs::File;
use std::io::{BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use ward_policy::phi::Secret;
use ward_tests::binaries::{release, root};
use ward_tests::edge_cases::{note_seen, row};
use ward_tests::logs::Logs;
use ward_tests::random::{fresh, fresh_text};
use ward_tests::servers::{ACCOUNT, Running, TOKEN, identity};
use ward_tests::websocket::{CALL, Stream, connected, numbered, upgrade_request};
use ward_tests::wire::{Wire, exchange, status};
use ward_twilio::form::Form;
use ward_twilio::handshake::expected;
use ward_twilio::signature::AuthToken;
use ward_twilio::url::{Origin, Scheme};

use crate::desk::{self, KEYS, await_open, call, key, lives, named, start_with};

const LIVE_CALLS: u64 = 100;
const MEDIA_URL: &str = "wss://media.example.com";
const SITE_URL: &str = "https://www.example.com/api/voice/incoming";

fn token(text: &str) -> AuthToken {
    AuthToken::new(&Secret::new(text.to_owned())).unwrap()
}

/// One `ward run`, with its settings in a file.
pub(crate) struct Operated {
    child: Child,
    env_file: PathBuf,
    pub(crate) logs: Logs,
    pub(crate) port: u16,
    replacements: usize,
}

impl Operated {
    /// Starts `ward run` for `server` ("media" or "twiml").
    pub(crate) fn start(folder: &Path, server: &str, settings: &str) -> Self {
        let file = |name: &str, text: &str| {
            let path = folder.join(format!("{server}-{name}"));
            std::fs::write(&path, text).unwrap();
            path
        };
        let identity = identity();
        let env_file = file("env", settings);
        let mut command = Command::new(release("ward"));
        command.args(["run", server, "--workers", "1", "--exec"]);
        command.arg(release(&format!("ward-{server}")));
        command.arg("--env-file").arg(&env_file);
        command.arg("--tls-chain").arg(file("chain.pem", &identity.chain));
        command.arg("--tls-key").arg(file("key.pem", identity.key.expose()));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).env_clear();
        let mut child = command.spawn().unwrap();
        let logs = Logs::collect_among_other_lines(BufReader::new(child.stdout.take().unwrap()));
        logs.wait_for("listening on");
        logs.wait_for(&format!("\"role\":\"{server}\",\"event\":\"started\""));
        let text = logs.text();
        let address = text.split("listening on ").nth(1).unwrap().lines().next().unwrap();
        let port = address.rsplit(':').next().unwrap().parse().unwrap();
        Self { child, env_file, logs, port, replacements: 1 }
    }

    /// Writes other settings and has them read, and waits until the server has what may be replaced.
    fn reload(&mut self, settings: &str) {
        // As an editor does it: the file is never half there.
        let next = self.env_file.with_extension("next");
        File::create(&next).and_then(|mut file| file.write_all(settings.as_bytes())).unwrap();
        std::fs::rename(&next, &self.env_file).unwrap();
        self.hang_up();
        self.replacements += 1;
        self.logs.wait_for_count("s_set\",", self.replacements);
    }

    pub(crate) fn hang_up(&self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::HUP).unwrap();
    }
}

impl Drop for Operated {
    fn drop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        // Twice: the second ends live calls.
        for _ in 0..2 {
            kill_process(pid, Signal::TERM).unwrap_or_default();
            std::thread::sleep(Duration::from_millis(200));
        }
        let until = Instant::now() + Duration::from_secs(5);
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > until {
                drop(self.child.kill());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = root().join("target/tickets").join(name);
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// What both hosts are told: the current secrets and, during a rotation, the next.
#[derive(Clone)]
pub(crate) struct Secrets {
    pub(crate) tokens: Vec<String>,
    pub(crate) signs_with: usize,
    pub(crate) taken: Vec<usize>,
}

impl Secrets {
    pub(crate) fn common(&self) -> String {
        let names = ["TWILIO_AUTH_TOKEN", "TWILIO_AUTH_TOKEN_NEXT"];
        let tokens =
            names.iter().zip(&self.tokens).map(|(name, token)| format!("{name}={token}\n"));
        format!(
            "MEDIA_WSS_URL={MEDIA_URL}\nNEXT_PUBLIC_SITE_URL=https://www.example.com\n\
             TWILIO_ACCOUNT_SID={ACCOUNT}\nMEDIA_AGENT=echo\n{}",
            tokens.collect::<String>()
        )
    }

    fn media(&self) -> String {
        let handshake = "MEDIA_HANDSHAKE=signature+ticket\n";
        format!("{}{handshake}{}\n", self.common(), desk::public(&self.taken))
    }

    fn twiml(&self) -> String {
        let key = KEYS[self.signs_with];
        format!("{}STREAM_TICKET=parameter\nSTREAM_TICKET_KEY={key}\n", self.common())
    }
}

/// Posts a webhook as Twilio would with its token: the status and the TwiML.
fn webhook(port: u16, number: u64, with: &str) -> (u16, String) {
    let call = numbered(CALL, number);
    let form = Form::from_fields([
        ("AccountSid", ACCOUNT),
        ("ApiVersion", "2010-04-01"),
        ("CallSid", &call),
        ("CallStatus", "ringing"),
        ("From", "+12025550123"),
        ("To", "+18005550100"),
    ]);
    let signature = token(with).sign_form(SITE_URL, &form).to_base64();
    let body = form.encode();
    let request = format!(
        "POST /api/voice/incoming HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\
         X-Twilio-Signature: {signature}\r\n\r\n{body}",
        body.len()
    );
    let answer = exchange(port, request.as_bytes());
    (status(&answer), answer)
}

/// The ticket in a TwiML document.
fn ticket_in(twiml: &str) -> &str {
    twiml.split("value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect(twiml)
}

/// Dials the media host as Twilio would with its token; the ticket is what the TwiML said.
fn dial(port: u16, number: u64, with: &str, ticket: &str) -> Result<Stream, String> {
    let url = format!("{MEDIA_URL}/rtm/voice");
    let signature = token(with).sign_url(&url).to_base64();
    let wire = Wire::open(port);
    let mut stream = Stream::over(wire, "/rtm/voice", &[("X-Twilio-Signature", &signature)])?;
    stream.be(number);
    stream.send(&connected());
    stream.send(&start_with(ticket));
    Ok(stream)
}

/// A whole new call: webhook, TwiML, stream, an echo.
fn place(site: u16, media: u16, number: u64, with: &str) -> Result<Stream, String> {
    let (status, answer) = webhook(site, number, with);
    if status != 200 {
        return Err(format!("webhook {number}: {status}"));
    }
    let mut stream = dial(media, number, with, ticket_in(&answer))?;
    stream.proves_alive(1);
    Ok(stream)
}

/// Rotates both, as `docs/running.md` says.
fn rotate(
    first: &Secrets,
    new: &str,
    media: &mut Operated,
    site: &mut Operated,
    promote: impl Fn(),
) {
    let some_calls = || std::thread::sleep(Duration::from_millis(300));
    some_calls();
    // The token: both hosts know the next before Twilio is told to use it.
    let mut now = first.clone();
    now.tokens.push(new.to_owned());
    media.reload(&now.media());
    site.reload(&now.twiml());
    some_calls();
    promote();
    // A call that had begun with the old one is over before it is forgotten.
    some_calls();
    now.tokens = vec![new.to_owned()];
    site.reload(&now.twiml());
    media.reload(&now.media());
    some_calls();
    // The key: the media host knows the next before the responder signs with it.
    now.taken = vec![0, 1];
    media.reload(&now.media());
    now.signs_with = 1;
    site.reload(&now.twiml());
    some_calls();
    now.taken = vec![1];
    media.reload(&now.media());
    some_calls();
}

#[test]
fn e57_token_and_key_are_rotated_under_a_hundred_calls_and_nobody_is_refused() {
    let folder = folder("rotation");
    let [old, new] = [0, 1].map(|_| fresh_text(b"0123456789abcdef", 32));
    let first = Secrets { tokens: vec![old.clone()], signs_with: 0, taken: vec![0] };
    let mut media = Operated::start(&folder, "media", &first.media());
    let mut site = Operated::start(&folder, "twiml", &first.twiml());
    await_open();
    let (media_port, site_port) = (media.port, site.port);
    let mut live: Vec<Stream> =
        (0..LIVE_CALLS).map(|number| place(site_port, media_port, number, &old).unwrap()).collect();
    // What somebody captured before: an unused ticket of the old key, and the old handshake.
    let leaked_ticket = key(0).issue(&call(9_000), lives(60), fresh());
    let is_over = AtomicBool::new(false);
    let promoted = AtomicBool::new(false);
    let (placed, failed) = std::thread::scope(|scope| {
        let twilio = scope.spawn(|| {
            // New calls, one after the other, for as long as the rotation takes.
            let (mut placed, mut failed) = (0_u64, Vec::new());
            while !is_over.load(Ordering::Acquire) {
                let with = if promoted.load(Ordering::Acquire) { &new } else { &old };
                match place(site_port, media_port, 1_000 + placed, with) {
                    Ok(stream) => drop(stream),
                    Err(what) => failed.push(what),
                }
                placed += 1;
            }
            (placed, failed)
        });
        rotate(&first, &new, &mut media, &mut site, || promoted.store(true, Ordering::Release));
        for stream in &mut live {
            stream.proves_alive(2);
        }
        is_over.store(true, Ordering::Release);
        twilio.join().unwrap()
    });
    println!(
        "{LIVE_CALLS} live calls; {placed} new ones during the rotation, {} failed",
        failed.len()
    );
    assert!(failed.is_empty(), "{failed:?}");
    assert!(placed >= 20, "{placed}");
    // Afterwards the old ones are refused.
    assert_eq!(webhook(site_port, 5_000, &old).0, 403);
    site.logs.wait_for(&named("signature_wrong"));
    assert_eq!(status(&dial(media_port, 5_000, &old, "").unwrap_err()), 403);
    media.logs.wait_for(&named("signature_wrong"));
    let mut stale = dial(media_port, 9_000, &new, &leaked_ticket).unwrap();
    assert_eq!(stale.close_code(), 1008);
    media.logs.wait_for(&named("ticket_unknown_key"));
    // The control: every live call is still there, and the log names no other refusal.
    for stream in &mut live {
        stream.proves_alive(3);
    }
    let refusals =
        media.logs.count("\"event\":\"refused\"") + site.logs.count("\"event\":\"refused\"");
    assert_eq!(refusals, 2, "{}\n{}", site.logs.text(), media.logs.text());
    note_seen("signature_wrong, ticket_unknown_key");
    row(
        "E57",
        "auth token and ticket key rotated by SIGHUP, with 100 live calls and new ones all the time",
        "0 calls failed, 0 ended; afterwards 403 for the old token at both hosts, 1008 for the old key",
    );
}

#[test]
fn e57_a_reload_that_cannot_be_used_changes_nothing() {
    let folder = folder("unusable");
    let secrets = Secrets { tokens: vec![TOKEN.to_owned()], signs_with: 0, taken: vec![0] };
    let mut media = Operated::start(&folder, "media", &secrets.media());
    let mut site = Operated::start(&folder, "twiml", &secrets.twiml());
    await_open();
    for (server, good) in [(&media, secrets.media()), (&site, secrets.twiml())] {
        for wrong in [
            good.replace("TWILIO_AUTH_TOKEN=", "TWILIO_AUTH_TOKEN=a b"),
            good.replace("wss:", "ws:"),
            good.replace("STREAM_TICKET_PUBLIC_KEYS=", "STREAM_TICKET_PUBLIC_KEYS=x")
                .replace("STREAM_TICKET_KEY=", "STREAM_TICKET_KEY=x"),
            String::new(),
            // Nothing is wrong with these but that the server goes by others, or that nobody would be let in.
            good.replace(&format!("TWILIO_AUTH_TOKEN={TOKEN}\n"), ""),
            good.replace("wss://media.example.com", "wss://other.example.com"),
            format!("{good}MEDIA_PATH=/other\n"),
            good.replace("MEDIA_HANDSHAKE=signature+ticket\n", "MEDIA_HANDSHAKE=signature\n")
                .replace(&desk::public(&[0]), "")
                .replace("STREAM_TICKET=parameter\n", "STREAM_TICKET=path\n"),
            // Half written: the value may go on.
            good.trim_end().to_owned(),
        ] {
            assert_ne!(wrong, good);
            let before = server.logs.count("nothing was replaced");
            std::fs::write(&server.env_file, wrong).unwrap();
            server.hang_up();
            server.logs.wait_for_count("nothing was replaced", before + 1);
        }
        assert_eq!(server.logs.count("s_set\","), 1, "{}", server.logs.text());
    }
    drop(place(site.port, media.port, 1, TOKEN).unwrap());
    // The control: the same file with nothing wrong about it is taken.
    for (server, good) in [(&mut media, secrets.media()), (&mut site, secrets.twiml())] {
        server.reload(&good);
    }
    note_seen("nothing was replaced");
    row("E57", "SIGHUP with settings that have a problem", "nothing is replaced; calls go on");
}

#[test]
fn e57_two_keys_are_taken_and_a_server_that_comes_back_has_the_newest() {
    let mut server = Running::media(&format!("MEDIA_HANDSHAKE=ticket\n{}", desk::public(&[0])));
    let more = |keys: &[usize]| format!("MEDIA_HANDSHAKE=ticket\n{}", desk::public(keys));
    server.follow(&more(&[0, 1]));
    assert_eq!(server.logs.nth("handshake_values_set", 2)["ticket_keys"], 2);
    await_open();
    for by in [0, 1] {
        let ticket = key(by).issue(&call(1), lives(30), fresh());
        drop(desk::taken(&server, desk::Form::Path, &ticket, 1));
    }
    server.follow(&more(&[1]));
    drop(server.logs.nth("handshake_values_set", 3));
    let id = server.id();
    kill_process(Pid::from_raw(i32::try_from(id).unwrap()).unwrap(), Signal::KILL).unwrap();
    server.logs.wait_for_count("\"role\":\"media\",\"event\":\"started\"", 2);
    await_open();
    let ticket = key(0).issue(&call(1), lives(30), fresh());
    let fate = desk::present(&server, desk::Form::Path, &ticket, 1);
    desk::refused(&server, desk::Form::Path, &fate, "ticket_unknown_key");
    let ticket = key(1).issue(&call(1), lives(30), fresh());
    drop(desk::taken(&server, desk::Form::Path, &ticket, 1));
    row(
        "E57",
        "a key taken away, then media killed: tickets of the old and of the new key",
        "403, ticket_unknown_key; the new one's are taken: the newest set is handed down again",
    );
}

#[test]
fn e65_a_rotated_token_invalidates_every_handshake_that_leaked() {
    let mut server = Running::media("");
    let origin = Origin::parse(MEDIA_URL, &[Scheme::Wss]).unwrap();
    let old = token(TOKEN);
    let leaked: Vec<String> =
        expected(&origin, "/rtm/voice", &[&old]).iter().map(|one| one.to_base64()).collect();
    let opens = |port: u16, signature: &str| {
        let mut wire = Wire::open(port);
        let changes = [("X-Twilio-Signature", signature)];
        wire.send(upgrade_request("/rtm/voice", &changes).as_bytes());
        status(&wire.receive_head())
    };
    let mut live = Stream::started(&server);
    live.proves_alive(1);
    for signature in &leaked {
        assert_eq!(opens(server.port, signature), 101);
    }
    let begin = Instant::now();
    server.follow("TWILIO_AUTH_TOKEN=67890");
    assert_eq!(server.logs.nth("handshake_values_set", 2)["values"], 4);
    let took = begin.elapsed();
    for signature in &leaked {
        assert_eq!(opens(server.port, signature), 403);
    }
    live.proves_alive(2);
    let next = token("67890").sign_url(&format!("{MEDIA_URL}/rtm/voice")).to_base64();
    assert_eq!(opens(server.port, &next), 101);
    println!("the old handshakes were worthless after {took:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    row(
        "E65",
        "the handshake in every spelling, before and after another auth token was handed over",
        "101 before, 403 signature_wrong after one reload; live calls go on, the new token's gets 101",
    );
}

#[test]
fn e57_a_media_server_that_demands_tickets_takes_no_document_without_a_key() {
    let mut server = Running::media(&format!("MEDIA_HANDSHAKE=ticket\n{}", desk::public(&[0])));
    server.expect_signatures(&[]);
    drop(server.logs.first("handshake_values_refused"));
    await_open();
    let ticket = key(0).issue(&call(1), lives(30), fresh());
    drop(desk::taken(&server, desk::Form::Path, &ticket, 1));
    row(
        "E57",
        "MEDIA_HANDSHAKE=ticket, and a replacement without any public key",
        "handshake_values_refused; the old set stays",
    );
}
