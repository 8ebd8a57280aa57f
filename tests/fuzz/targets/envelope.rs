//! Twilio's messages: whatever parses keeps the promises that the rest of the code relies on.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ward_policy::limit;
use ward_twilio::envelope::{self, Message};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match envelope::parse(text) {
        Ok(Message::Media(media)) => {
            let mut audio = vec![1, 2, 3];
            match media.decode_into(&mut audio) {
                Ok(()) => {
                    assert!(audio.len() <= limit::PAYLOAD_BYTES_MAX);
                    // Canonical: what is written is what was read.
                    let mut out = String::new();
                    envelope::write_media("MZ", &audio, &mut out);
                    assert!(out.contains(&*media.payload));
                }
                Err(_) => assert!(audio.is_empty()),
            }
            if cfg!(feature = "planted-bug") {
                assert_ne!(media.timestamp_ms, Some(7), "the planted bug");
            }
        }
        Ok(Message::Start(start)) => {
            assert!(start.parameters.longest_bytes <= text.len());
            assert!(start.parameters.count <= text.len());
        }
        _ => {}
    }
});
