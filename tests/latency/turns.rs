//! Mouth to ear: from the last loud sample of what the caller says to the first loud sample of the answer.

use std::collections::VecDeque;

use serde_json::Value;
use ward::caller::lines::Line;
use ward::rehearsal::Rehearsed;

use crate::figures::Figures;
use crate::hear::{self, PER_MS, Turn};
use crate::rig::{self, CALLER, Latencies, Speech, Spoken};

/// What a caller says first, and what they say then over and over: the dialogue goes round.
const WISH: &str = "i would like to book an appointment please";
const ROUND: [&str; 5] = [
    "on tuesday",
    "at ten",
    "my name is john smith",
    "march the fifth nineteen eighty",
    "no that is wrong",
];

/// One row.
#[derive(Debug)]
pub(crate) struct Row {
    /// Every line and its answer.
    pub(crate) turns: Vec<Turn>,
    /// The media server's own account of each.
    pub(crate) accounts: Vec<Value>,
    /// Replies that were begun early, and those of them that were thrown away.
    pub(crate) guesses: (u64, u64),
    /// Lines said, and turns that the server took.
    pub(crate) lines: usize,
    pub(crate) taken: u64,
}

/// Holds `calls` calls of `lines` lines each.
pub(crate) fn measure(
    speech: &mut Speech,
    latencies: Latencies,
    is_guessing: bool,
    (calls, lines): (usize, usize),
) -> Row {
    let mut say = |text: &str| speech.say(text, CALLER);
    let wish = say(WISH);
    let round = ROUND.map(&mut say);
    let script = |_: usize| -> VecDeque<Line> {
        let all = std::iter::once(&wish).chain(round.iter().cycle());
        all.take(lines).map(rig::after_an_answer).collect()
    };
    let rehearsed = rig::hold((0..calls).map(script).collect(), latencies, is_guessing);
    row(rehearsed, calls * lines)
}

/// The same with a pause of `ms` in the middle of each line.
pub(crate) fn with_a_pause(speech: &mut Speech, ms: usize, (calls, lines): (usize, usize)) -> Row {
    let first = speech.say("on tuesday", CALLER);
    let second = speech.say("at ten please", CALLER);
    let wish = speech.say(WISH, CALLER);
    let core = |spoken: &Spoken| {
        let loud = hear::utterances(&spoken.audio);
        spoken.audio[loud[0].clone()].to_vec()
    };
    let audio = [core(&first), vec![0xFF; ms * PER_MS], core(&second), vec![0xFF; 1_600]].concat();
    let paused = Spoken { audio, words: Vec::new() };
    let script = |_: usize| -> VecDeque<Line> {
        let all = std::iter::once(&wish).chain(std::iter::repeat(&paused));
        all.take(lines).map(rig::after_an_answer).collect()
    };
    let all = (0..calls).map(script).collect();
    row(rig::hold(all, Latencies::PUBLISHED, true), calls * lines)
}

fn row(rehearsed: Rehearsed, lines: usize) -> Row {
    let filler = rig::filler();
    let turns = rehearsed.calls.iter();
    let turns = turns.flat_map(|call| hear::turns(&call.mouth, &call.recording, &filler));
    Row {
        turns: turns.collect(),
        guesses: (rig::counted(&rehearsed, "guess"), rig::counted(&rehearsed, "guess_dropped")),
        lines,
        taken: rig::counted(&rehearsed, "turn"),
        accounts: rehearsed.turns,
    }
}

impl Row {
    /// From the end of the line to the answer, or to the first sound of any kind.
    pub(crate) fn mouth_to_ear(&self, of: impl Fn(&Turn) -> Option<usize>) -> Figures {
        let answered = self.turns.iter().filter(|turn| !turn.is_cut_off);
        let ms = answered.filter_map(|turn| Some((of(turn)? - turn.said.end) as f64));
        Figures::new(ms.map(|samples| samples / PER_MS as f64))
    }

    /// What the server says of one stage.
    pub(crate) fn stage(&self, name: &str) -> Figures {
        Figures::new(self.accounts.iter().filter_map(|account| account[name].as_f64()))
    }

    fn accounts_with(&self, is: impl Fn(&Value) -> bool) -> usize {
        self.accounts.iter().filter(|account| is(account)).count()
    }

    /// The heads of the two tables.
    pub(crate) const HEAD: &str = "| vendors | speculative start | turns | mouth to ear, ms | first sound, ms | \
        over 700 ms | fillers | guesses thrown away |\n\
        | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |";
    pub(crate) const STAGES_HEAD: &str = "| vendors | speculative start | endpoint | asr | llm | tts | total | \
        turns over a stage's budget | begun early |\n\
        | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |";

    /// Mouth to ear, as a line of a table.
    pub(crate) fn written(&self, vendors: &str, start: &str) -> String {
        let replies = self.mouth_to_ear(|turn| turn.reply);
        let over = self.mouth_to_ear(|turn| turn.reply.filter(|at| at - turn.said.end > 5_600));
        let (made, dropped) = self.guesses;
        let share = (100 * dropped).checked_div(made);
        format!(
            "| {vendors} | {start} | {} | {} | {} | {} | {} | {} |",
            replies.count(),
            replies.written(),
            self.mouth_to_ear(|turn| turn.sound).written(),
            over.count(),
            self.accounts_with(|account| account["filler"] == 1),
            share.map_or("–".to_owned(), |share| format!("{dropped} of {made}, {share} %")),
        )
    }

    /// The server's stages, as a line of a table.
    pub(crate) fn stages(&self, vendors: &str, start: &str) -> String {
        let names = ["endpoint_ms", "asr_ms", "llm_ms", "tts_ms", "total_ms"];
        let stages: Vec<String> = names.iter().map(|name| self.stage(name).written()).collect();
        format!(
            "| {vendors} | {start} | {} | {} of {} | {} |",
            stages.join(" | "),
            self.accounts_with(|account| account["over_budget"] != 0),
            self.accounts.len(),
            self.accounts_with(|account| account["guessed"] == 1),
        )
    }
}
