//! Settings documents of both servers: judged without a crash, and no value in any problem.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ward_edge::settings::Settings;
use ward_media::settings::MediaSettings;

/// Everything that a problem of an unjudged document can say.
const OUR_WORDS: [&str; 3] =
    ["is set twice", "is not NAME=value", "is not a setting of this server"];

fuzz_target!(|text: &str| {
    let mut settings = Settings::parse(text);
    let value = settings.take("TWILIO_AUTH_TOKEN").map(|value| value.expose().clone());
    let problems = settings.into_problems();
    // Our own words may coincide with a value; a value may also stand elsewhere as a name.
    let is_ours = |value: &str| OUR_WORDS.iter().any(|words| words.contains(value));
    if let Some(value) = value.filter(|value| value.len() > 8 && !is_ours(value)) {
        let shown = problems.iter().any(|problem| problem.what.contains(&value));
        assert!(!shown, "a value in a problem");
    }
    if MediaSettings::parse(text).is_ok() && cfg!(feature = "planted-bug") {
        assert!(!text.contains("MAX_S=7"), "the planted bug");
    }
});
