//! Callers, recognisers, models and voices that do anything in any order: what holds of every conversation.

use std::collections::BTreeSet;

use super::*;
use crate::service::Prompt;

struct Random(u64);

impl Random {
    fn below(&mut self, below: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn is(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A word that nobody has said yet, of letters that make no number, name or emergency.
fn fresh(count: &mut u64) -> String {
    *count += 1;
    let letters = format!("{count:05}");
    let letter = |digit: char| {
        ["zu", "zo", "vu", "vo", "gu", "go", "ku", "ko", "pu", "po"]
            [digit.to_digit(10).unwrap() as usize]
    };
    letters.chars().map(letter).collect()
}

/// Everything beside the call, in one conversation.
struct Others {
    random: Random,
    words: u64,
    /// What the recogniser hears and has not settled.
    segment: Vec<String>,
    /// Steps since it was asked to; 0 when it was not.
    owing: u64,
    asked: Vec<u32>,
    sentences: Vec<u32>,
    said: BTreeSet<String>,
}

impl Others {
    /// Reads what the call asked, and checks every prompt.
    fn read(&mut self, scene: &mut Scene) {
        for request in scene.requests.drain(..).collect::<Vec<_>>() {
            match request {
                Request::Ask { request, prompt } => {
                    self.check(&prompt);
                    self.asked.push(request);
                }
                Request::Say { sentence, text } => {
                    let words = text.expose().split_whitespace();
                    self.said.extend(words.map(|word| word.replace('.', "")));
                    self.sentences.push(sentence);
                }
                Request::Finalise => self.owing = self.owing.max(1),
                Request::Cancel { .. } | Request::Unsay => {}
            }
        }
    }

    fn check(&self, prompt: &Prompt) {
        let lines = &prompt.lines;
        assert!(lines.first().is_some_and(|line| line.speaker == Speaker::Caller));
        assert!(lines.last().is_some_and(|line| line.speaker == Speaker::Caller));
        assert!(lines.windows(2).all(|two| two[0].speaker != two[1].speaker), "they take turns");
        let mut seen = BTreeSet::new();
        for line in lines {
            for word in line.text.expose().split_whitespace().map(|word| word.replace('.', "")) {
                let is_made = word.chars().all(|letter| "zvgkpuo".contains(letter));
                assert!(!is_made || seen.insert(word.clone()), "{word} twice: {}", text_of(lines));
                let is_said =
                    line.speaker == Speaker::Caller || !is_made || self.said.contains(&word);
                assert!(is_said, "{word} was never said");
            }
        }
    }

    fn caller(&mut self, scene: &mut Scene) {
        // A recogniser that is alive answers within three seconds.
        self.owing += u64::from(self.owing > 0);
        let what = if self.owing > 3 { 3 } else { self.random.below(9) };
        match what {
            0..=2 => {
                self.segment.push(fresh(&mut self.words));
                if self.random.is(15) {
                    // Another reading of the word before.
                    let count = self.segment.len();
                    if let Some(word) = count.checked_sub(2).and_then(|at| self.segment.get_mut(at))
                    {
                        *word = fresh(&mut self.words);
                    }
                }
                (0..self.random.below(25)).for_each(|_| scene.frame(LOUD));
                scene.partial(&self.segment.join(" "));
            }
            3 | 4 => {
                if self.random.is(10) {
                    self.segment.clear();
                }
                self.owing = 0;
                scene.report(Report::Final(Phi::new(self.segment.join(" "))));
                self.segment.clear();
                match self.random.below(3) {
                    0 => scene.report(Report::TurnEnd),
                    1 => scene.report(Report::EagerEnd),
                    _ => {}
                }
            }
            5 => (0..self.random.below(40)).for_each(|_| scene.frame(LOUD)),
            6 if self.random.is(20) => {
                scene.report(Report::BegunAnew);
                self.segment.clear();
            }
            _ => scene.silence(self.random.below(900)),
        }
    }

    fn services(&mut self, scene: &mut Scene) {
        if let Some(request) = self.asked.last().copied()
            && self.random.is(40)
        {
            let count = 1 + self.random.below(4);
            let words: Vec<String> = (0..count).map(|_| fresh(&mut self.words)).collect();
            let text = match self.random.below(12) {
                0 => "[hang up]".to_owned(),
                1 => format!("{}. [hang up]", words.join(" ")),
                2 => String::new(),
                _ => format!("{}. ", words.join(". ")),
            };
            scene.report(Report::Piece { request, text: Phi::new(text) });
            match self.random.below(10) {
                0 => self.fail(scene, Service::Model, request),
                1 => {}
                _ => {
                    self.asked.clear();
                    scene.report(Report::ReplyEnd { request });
                }
            }
        }
        if let Some(sentence) = self.sentences.first().copied()
            && self.random.is(60)
        {
            let bytes = usize::try_from(self.random.below(20)).unwrap() * 500;
            let audio = Phi::new(vec![SPEECH; bytes]);
            scene.report(Report::Audio { sentence, audio });
            match self.random.below(10) {
                0 => self.fail(scene, Service::Voice, sentence),
                1 => {}
                _ => {
                    self.sentences.remove(0);
                    scene.report(Report::SentenceEnd { sentence });
                }
            }
        }
    }

    fn fail(&mut self, scene: &mut Scene, service: Service, number: u32) {
        if self.random.is(20) {
            scene.report(Report::Failed { service, number, fault: ServiceFault::Late });
        }
    }
}

fn text_of(lines: &[crate::service::Line]) -> String {
    lines.iter().map(|line| line.text.expose().as_str()).collect::<Vec<_>>().join(" / ")
}

#[test]
fn no_word_is_twice_in_a_prompt_and_no_call_is_stuck() {
    let mut asks = 0;
    for seed in 0..40 {
        let mut others = Others {
            random: Random(seed),
            words: 0,
            segment: vec![],
            owing: 0,
            asked: vec![],
            sentences: vec![],
            said: BTreeSet::new(),
        };
        let mut scene = Scene::new(others.random.is(50));
        for _ in 0..120 {
            others.caller(&mut scene);
            others.read(&mut scene);
            asks += others.asked.len();
            others.services(&mut scene);
            others.read(&mut scene);
            if scene.ended.is_some() {
                break;
            }
        }
        // Nobody says anything more.
        let began = scene.now;
        while scene.ended.is_none() && scene.now < began + 120_000 {
            scene.silence(1_000);
        }
        assert!(scene.ended.is_some(), "{seed}: {:?}", scene.call);
    }
    assert!(asks > 250, "{asks}");
}
