//! The image's configuration file: judged without a crash, no value in any problem, and no line in a document that is not one setting.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ward_init::config::Config;

fuzz_target!(|text: &str| {
    match Config::parse(text) {
        Ok(config) => {
            for document in [config.server_document(), config.broker_document(&[])] {
                assert!(document.lines().all(|line| line.contains('=')), "a line of its own");
            }
            let path = config.setting("MEDIA_PATH");
            assert!(!cfg!(feature = "planted-bug") || path.is_none(), "the planted bug");
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            for problem in problems {
                // A name of ours, a line's number, or nothing that could be a secret.
                assert!(problem.place.len() <= 40, "{}", problem.place.len());
            }
        }
    }
});
