//! Which recorded phrases a caller has heard, found in two ways: by an ear, and byte by byte.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use ward::caller::talker::Said;
use ward_policy::phrase::Phrase;
use ward_tests::binaries::root;

/// A piece of a recording that is looked for first: a quarter of a second from its middle.
const PIECE_BYTES: usize = 2_000;
/// Silence that belongs to the end of a recording.
const TAIL_BYTES: usize = 1_600;

/// A phrase's words, as an ear has them.
pub(crate) fn words(phrase: Phrase) -> String {
    let file = std::fs::read_to_string(root().join("policy/dialogue/phrases.toml")).unwrap();
    let (_, rest) = file.split_once(&format!("name = \"{}\"\ntext = \"", phrase.name())).unwrap();
    let text = rest.split('"').next().unwrap().to_lowercase();
    let text: String = text.chars().filter(|one| !matches!(one, '.' | ',' | '?' | ':')).collect();
    text.replace("911", "nine one one").replace("988", "nine eight eight")
}

/// A phrase's recording.
pub(crate) fn recording(phrase: Phrase) -> Vec<u8> {
    let name = format!("appliance/media/src/agent/phrases/{}.ulaw", phrase.name());
    std::fs::read(root().join(name)).unwrap()
}

/// The phrases that an ear has recognised. The words of one may be in another's: the longest count.
pub(crate) fn recognised(said: &[Said]) -> BTreeSet<Phrase> {
    let mut known = Phrase::ALL.map(|phrase| (words(phrase), phrase));
    known.sort_by_key(|(words, _)| std::cmp::Reverse(words.len()));
    let mut found = BTreeSet::new();
    for line in said.iter().filter(|line| !line.is_caller) {
        let mut text = line.text.clone();
        for (words, phrase) in &known {
            if text.contains(words) {
                text = text.replace(words, "|");
                found.insert(*phrase);
            }
        }
    }
    found
}

/// The phrases whose whole recording is in `heard`.
pub(crate) fn recorded(heard: &[u8]) -> BTreeSet<Phrase> {
    let is_in = |phrase: &Phrase| {
        let clip = recording(*phrase);
        let middle = clip.len() / 2;
        let piece = &clip[middle..middle + PIECE_BYTES];
        let mut places = heard.windows(PIECE_BYTES).enumerate().filter(|(_, one)| *one == piece);
        places.any(|(at, _)| {
            let from = at.checked_sub(middle);
            from.is_some_and(|from| heard.get(from..from + clip.len()) == Some(&clip[..]))
        })
    };
    Phrase::ALL.into_iter().filter(is_in).collect()
}

/// What an ear hears when it is given no more than as much of the end as the apology takes.
pub(crate) fn last_words(mut ear: Command, heard: &[u8]) -> Said {
    let quiet = heard.iter().rev().take_while(|byte| **byte | 0x80 == 0xFF).count();
    let end = heard.len() - quiet + TAIL_BYTES.min(quiet);
    let from = end.saturating_sub(recording(Phrase::SorryGoodbye).len());
    let mut child = ear.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let asked = json!({ "hear": STANDARD.encode(&heard[from..end]) });
    writeln!(child.stdin.take().unwrap(), "{asked}").unwrap();
    let output = child.wait_with_output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    self::heard(answer["text"].as_str().unwrap())
}

fn heard(text: &str) -> Said {
    Said { is_caller: false, text: text.to_owned() }
}

#[test]
fn a_phrase_is_found_by_its_own_words_and_recording_and_by_no_others() {
    for phrase in Phrase::ALL {
        assert_eq!(recognised(&[heard(&words(phrase))]), BTreeSet::from([phrase]));
        let mut audio = vec![0xFF; 1_234];
        audio.extend(recording(phrase));
        audio.extend([0xFF; 700]);
        assert_eq!(recorded(&audio), BTreeSet::from([phrase]));
        // One byte of it was something else.
        audio[1_240 + PIECE_BYTES / 4] ^= 1;
        assert_eq!(recorded(&audio), BTreeSet::new());
    }
    assert!(recognised(&[heard("which day would suit you")]).is_empty());
    let said = Said { is_caller: true, text: words(Phrase::Trouble) };
    assert!(recognised(&[said]).is_empty());
}
