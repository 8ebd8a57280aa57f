//! The recorded phrases of a conversation, as µ-law at 8,000 Hz.
//!
//! Synthetic speech made by `tests/corpus/make` from `policy/dialogue/phrases.toml`. A phrase is what is left to say
//! when a vendor fails, so none of them comes from one.

use ward_call::agent::Clip;
use ward_policy::phrase::Phrase;

/// The audio of a phrase.
pub(super) fn clip(phrase: Phrase) -> Clip {
    let audio: &[u8] = match phrase {
        Phrase::Greeting => include_bytes!("phrases/greeting.ulaw"),
        Phrase::Filler => include_bytes!("phrases/filler.ulaw"),
        Phrase::NotUnderstood => include_bytes!("phrases/not_understood.ulaw"),
        Phrase::StoppedScope => include_bytes!("phrases/stopped_scope.ulaw"),
        Phrase::StoppedIdentifier => include_bytes!("phrases/stopped_identifier.ulaw"),
        Phrase::StoppedLength => include_bytes!("phrases/stopped_length.ulaw"),
        Phrase::Emergency => include_bytes!("phrases/emergency.ulaw"),
        Phrase::SelfHarm => include_bytes!("phrases/self_harm.ulaw"),
        Phrase::Trouble => include_bytes!("phrases/trouble.ulaw"),
        Phrase::SorryGoodbye => include_bytes!("phrases/sorry_goodbye.ulaw"),
        Phrase::StillThere => include_bytes!("phrases/still_there.ulaw"),
        Phrase::Goodbye => include_bytes!("phrases/goodbye.ulaw"),
        Phrase::TimeUp => include_bytes!("phrases/time_up.ulaw"),
    };
    Clip::from(audio)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ward_policy::limit;

    #[test]
    fn every_phrase_is_sound_for_seconds_the_filler_for_less_and_the_last_one_fits_the_goodbye() {
        for phrase in Phrase::ALL {
            let audio = clip(phrase);
            let ms = audio.len() / limit::BYTES_PER_MS;
            // An answer waits for the filler's end.
            let lasts = if phrase == Phrase::Filler { 300..1_000 } else { 1_000..15_000 };
            assert!(lasts.contains(&ms), "{}: {ms} ms", phrase.name());
            assert!(audio.iter().any(|byte| *byte & 0x70 < 0x40), "{} is silent", phrase.name());
        }
        let last = clip(Phrase::TimeUp).len() / limit::BYTES_PER_MS;
        assert!(last < usize::try_from(limit::GOODBYE_MAX.as_millis()).unwrap());
    }
}
