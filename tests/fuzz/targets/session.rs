//! A whole stream: any texts at any times, and the session still keeps its promises.
//!
//! The input is lines; a line that is a number lets that many milliseconds pass, any other line is a
//! message after a rightful `connected` and `start`.
#![no_main]

use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use ward_edge::clock::Clock;
use ward_edge::log::Log;
use ward_edge::random::Pseudonyms;
use ward_media::admission::{Admission, Opened};
use ward_media::agent::{AgentKind, Embedded};
use ward_media::registry::Registry;
use ward_media::session::{Session, SessionContext};
use ward_media::settings::{HandshakeMode, MediaSettings};
use ward_policy::audit::Role;
use ward_policy::count::Count;
use ward_twilio::handshake::HandshakeSet;

const ACCOUNT: &str = "AC00000000000000000000000000000000";
const SIGNATURE: &str = "hT6TllFCjXqRGzPszuGWRqAQ2lY=";
const CONNECTED: &str = r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#;
const START: &str = r#"{"event":"start","start":{"accountSid":"AC00000000000000000000000000000000","streamSid":"MZ00000000000000000000000000000000","callSid":"CA00000000000000000000000000000000","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}},"streamSid":"MZ00000000000000000000000000000000"}"#;

fn context() -> Arc<SessionContext> {
    static CONTEXT: OnceLock<Arc<SessionContext>> = OnceLock::new();
    let context = CONTEXT.get_or_init(|| {
        let sink = std::fs::File::options().write(true).open("/dev/null").expect("a sink");
        Arc::new(SessionContext {
            settings: MediaSettings::parse(&format!("TWILIO_ACCOUNT_SID={ACCOUNT}"))
                .expect("settings"),
            agents: Box::new(Embedded::new(AgentKind::Greeter, true).unwrap()),
            registry: Arc::new(Registry::default()),
            admission: Arc::new(Admission::new(
                HandshakeMode::Signature,
                HandshakeSet::parse(SIGNATURE).expect("a set"),
                0,
            )),
            pseudonyms: Pseudonyms::new().expect("randomness"),
            log: Log::new(Role::Media, Clock::start(), sink.into()),
        })
    });
    Arc::clone(context)
}

fuzz_target!(|text: &str| {
    let mut now = Duration::ZERO;
    let shown = context().admission.judge([SIGNATURE.as_bytes()], None, 0).expect("the signature");
    let opened = Opened { shown, date_ms: 0, waiting: None };
    let mut session = Session::new(context(), opened, now);
    session.on_text(now, CONNECTED, Waker::noop()).expect("connected");
    session.on_text(now, START, Waker::noop()).expect("start");
    for line in text.lines().take(64) {
        match line.parse::<u16>() {
            Ok(ms) => now += Duration::from_millis(u64::from(ms)),
            Err(_) => {
                if session.on_text(now, line, Waker::noop()).is_err() {
                    return;
                }
            }
        }
        if session.on_time(now).is_err() {
            return;
        }
        for _ in 0..200 {
            match session.poll(now) {
                Ok(Some(sent)) => {
                    assert!(sent.starts_with("{\"event\":\"") && sent.len() < 2_000);
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
        assert!(session.wake_at() <= now + Duration::from_secs(3_700));
        let counts = session.live_counts();
        if cfg!(feature = "planted-bug") {
            assert_eq!(counts.of(Count::BadDtmf), 0, "the planted bug");
        }
    }
});
