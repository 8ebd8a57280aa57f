//! What two recordings of one call say: what the mouth said and what the ear heard, sample by sample on one clock.
//!
//! It knows nothing of how the call went beside them.

use std::ops::Range;
use ward_twilio::mulaw;

/// Samples of a millisecond.
pub(crate) const PER_MS: usize = 8;
/// A sample is loud from this magnitude on, of 32,767: about -38 dBFS.
const LOUD: u16 = 400;
/// Loud samples that are further apart than this belong to two utterances.
const GAP: usize = 1_000 * PER_MS;

/// One line of the caller and what came after it, in samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Turn {
    /// From the first loud sample at the mouth to behind the last.
    pub(crate) said: Range<usize>,
    /// The first loud sample at the ear after it and before the next line; a filler counts.
    pub(crate) sound: Option<usize>,
    /// The same, fillers left out.
    pub(crate) reply: Option<usize>,
    /// Something began at the ear while the line was not over.
    pub(crate) is_cut_off: bool,
}

/// Whether a sample is loud.
pub(crate) fn is_loud(byte: u8) -> bool {
    mulaw::decode(byte).unsigned_abs() >= LOUD
}

/// Stretches of loud samples that are at most `gap` apart.
fn stretches(audio: &[u8], gap: usize) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, _) in audio.iter().enumerate().filter(|(_, byte)| is_loud(**byte)) {
        match found.last_mut() {
            Some(last) if at < last.end + gap => last.end = at + 1,
            _ => found.push(at..at + 1),
        }
    }
    found
}

/// What was said.
pub(crate) fn utterances(mouth: &[u8]) -> Vec<Range<usize>> {
    stretches(mouth, GAP)
}

/// Every line and its answer. `filler` is the recording of the one filler there is.
pub(crate) fn turns(mouth: &[u8], ear: &[u8], filler: &[u8]) -> Vec<Turn> {
    let said = utterances(mouth);
    let next = said.iter().skip(1).map(|next| next.start).chain([ear.len()]);
    let pairs: Vec<_> = said.iter().cloned().zip(next).collect();
    let turn = |(said, next): (Range<usize>, usize)| {
        let sound = first_loud(ear, said.end..next);
        let reply = sound.and_then(|at| {
            let behind = behind_filler(ear, at, filler);
            if behind == at { Some(at) } else { first_loud(ear, behind..next) }
        });
        // Loud now and not at the beginning: what was there before is what the caller interrupts.
        let begins = first_loud(ear, said.start..said.end);
        let is_cut_off = begins.is_some_and(|at| at > said.start + GAP / 2);
        Turn { said, sound, reply, is_cut_off }
    };
    pairs.into_iter().map(turn).collect()
}

fn first_loud(audio: &[u8], within: Range<usize>) -> Option<usize> {
    let part = audio.get(within.start..within.end.min(audio.len()))?;
    part.iter().position(|byte| is_loud(*byte)).map(|at| within.start + at)
}

/// Behind the filler, if what begins to be loud at `at` is one: its samples arrive as they are.
fn behind_filler(ear: &[u8], at: usize, filler: &[u8]) -> usize {
    let Some(head) = filler.iter().position(|byte| is_loud(*byte)) else { return at };
    let loud = &filler[head..];
    let compared = loud.len().min(100 * PER_MS);
    let is_filler = ear.get(at..at + compared) == Some(&loud[..compared]);
    if is_filler { at + loud.len() } else { at }
}

/// How much of `clip` was heard of it in `ear`, in samples from its beginning; 0 when it is not there. Its head may
/// have been left out.
pub(crate) fn heard_of(clip: &[u8], ear: &[u8]) -> usize {
    let Some(first) = clip.iter().position(|byte| is_loud(*byte)) else { return 0 };
    let key = first..(first + 60 * PER_MS).min(clip.len());
    let Some(at) = ear.windows(key.len()).position(|part| part == &clip[key.clone()]) else {
        return 0;
    };
    let rest = ear[at..].iter().zip(&clip[first..]);
    let same = rest.take_while(|(heard, said)| heard == said).count();
    // What is quiet in the clip cannot be told from silence.
    let end = first + same;
    end - clip[..end].iter().rev().take_while(|byte| !is_loud(**byte)).count()
}

/// The first loud sample behind `from`.
pub(crate) fn loud_after(audio: &[u8], from: usize, within: usize) -> Option<usize> {
    first_loud(audio, from..from + within)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: u8 = 0xFF;

    /// `ms` of a sound that is `seed`'s own.
    fn sound(seed: usize, ms: usize) -> Vec<u8> {
        let byte = |at: usize| u8::try_from((at * at * seed + at / 7) % 64).unwrap();
        (0..ms * PER_MS).map(byte).collect()
    }

    fn at(parts: &[(usize, &[u8])], ms: usize) -> Vec<u8> {
        let mut audio = vec![QUIET; ms * PER_MS];
        for (from, part) in parts {
            audio[from * PER_MS..from * PER_MS + part.len()].copy_from_slice(part);
        }
        audio
    }

    #[test]
    fn an_answer_is_found_behind_its_line_and_a_filler_is_none() {
        let (line, reply, filler) = (sound(3, 500), sound(5, 700), sound(7, 400));
        let mouth = at(&[(1_000, &line), (5_000, &line)], 9_000);
        let ear = at(&[(2_000, &reply), (6_000, &filler), (6_900, &reply)], 9_000);
        let found = turns(&mouth, &ear, &filler);
        let ms = |samples: usize| samples / PER_MS;
        let all: Vec<_> = found
            .iter()
            .map(|turn| (ms(turn.said.end), turn.sound.map(ms), turn.reply.map(ms)))
            .collect();
        assert_eq!(all, [(1_500, Some(2_000), Some(2_000)), (5_500, Some(6_000), Some(6_900))]);
        // Without knowing the filler, it is taken for the answer; without the reply, there is none.
        assert_eq!(turns(&mouth, &ear, &[])[1].reply.map(ms), Some(6_000));
        let unanswered = at(&[(6_000, &filler)], 9_000);
        let found = turns(&mouth, &unanswered, &filler);
        assert_eq!((found[0].sound, found[1].reply), (None, None));
    }

    #[test]
    fn an_answer_before_the_end_of_a_line_cuts_it_off() {
        let line = sound(3, 2_000);
        let mouth = at(&[(1_000, &line)], 6_000);
        let early = at(&[(2_200, &sound(5, 300))], 6_000);
        assert!(turns(&mouth, &early, &[])[0].is_cut_off);
        let interrupted = at(&[(0, &sound(5, 1_300))], 6_000);
        assert!(!turns(&mouth, &interrupted, &[])[0].is_cut_off);
    }

    #[test]
    fn what_was_heard_of_a_clip_ends_where_it_was_silenced() {
        let clip = [vec![QUIET; 800], sound(3, 1_000)].concat();
        let ear = at(&[(300, &clip[800..800 + 4_000])], 3_000);
        assert!(heard_of(&clip, &ear).abs_diff(4_800) < 8, "{}", heard_of(&clip, &ear));
        assert_eq!(heard_of(&clip, &at(&[(300, &sound(5, 500))], 3_000)), 0);
    }
}
