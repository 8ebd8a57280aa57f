//! Endpointing and µ-law over any audio in any pieces: the same turns however it is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ward_call::endpointing::Endpointing;
use ward_twilio::mulaw;

fuzz_target!(|bytes: &[u8]| {
    let Some((cut, audio)) = bytes.split_first() else { return };
    let (mut whole, mut pieces) = (Vec::new(), Vec::new());
    let mut one = Endpointing::default();
    let mut two = Endpointing::default();
    // Long enough for turns: the input again and again.
    for _ in 0..40 {
        one.hear(audio, |turn| whole.push(turn));
        for piece in audio.chunks(usize::from(*cut).max(1)) {
            two.hear(piece, |turn| pieces.push(turn));
        }
    }
    assert_eq!(whole, pieces);
    for byte in audio {
        let again = mulaw::encode(mulaw::decode(*byte));
        assert!(again == *byte || *byte == 0x7F);
    }
    if cfg!(feature = "planted-bug") {
        assert_ne!(audio.first(), Some(&0x42), "the planted bug");
    }
});
