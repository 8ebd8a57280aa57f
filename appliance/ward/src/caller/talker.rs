//! A caller who listens: what they hear is recognised, and what they say next depends on it.
//!
//! Recogniser and voice are a program of the test's, `tests/vendors/ear.py`, that knows nothing of Ward. What is said
//! and heard is synthetic, and goes to the operator's terminal only.

use std::collections::VecDeque;
use std::fmt;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::console::Failure;

/// Words of what is heard, and what is done then. The first that are found count.
pub type Answers = Vec<(String, Answer)>;

/// What a caller does when they have heard something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// They say this.
    Say(String),
    /// They say again what they said last.
    SayAgain,
    /// They go on listening.
    Listen,
}

/// Synthesis of all answers, and the loading of a recogniser, take a second or two.
const READY_DEADLINE: Duration = Duration::from_secs(60);
/// One utterance of a few seconds is recognised in well under a second.
const HEAR_DEADLINE: Duration = Duration::from_secs(20);

/// One line of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Whether it was the caller who said it.
    pub is_caller: bool,
    /// The words.
    pub text: String,
}

/// The caller's ear, mouth and mind.
pub struct Talker {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<Value>,
    answers: Answers,
    /// What to say when nothing that was heard asks for something else.
    last: String,
    /// Audio by text, µ-law at 8,000 Hz.
    spoken: Vec<(String, Vec<u8>)>,
    /// Utterances that were handed to the recogniser.
    pending: usize,
    next: VecDeque<String>,
    said: Vec<Said>,
}

impl Talker {
    /// Starts one that says `first` to whatever is heard first, and then answers.
    ///
    /// # Errors
    /// [`Failure::Checked`] when its program does not start or cannot speak.
    pub fn start(
        python: &mut Command,
        program: &Path,
        first: &str,
        answers: Answers,
    ) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::Checked(format!("the caller: {error}"));
        let mut child = python
            .arg(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let gone = || Failure::Checked("the caller: no pipe".to_owned());
        let stdin = child.stdin.take().ok_or_else(gone)?;
        let stdout = child.stdout.take().ok_or_else(gone)?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let value: Value = serde_json::from_str(&line).unwrap_or_default();
                if sender.send(value).is_err() {
                    return;
                }
            }
        });
        let mut talker = Self {
            child,
            stdin,
            lines,
            answers,
            last: first.to_owned(),
            spoken: Vec::new(),
            pending: 0,
            next: VecDeque::new(),
            said: Vec::new(),
        };
        let texts = talker.answers.iter().filter_map(|(_, answer)| match answer {
            Answer::Say(text) => Some(text.clone()),
            Answer::SayAgain | Answer::Listen => None,
        });
        let texts: Vec<String> = [first.to_owned()].into_iter().chain(texts).collect();
        for text in texts {
            talker.learn(text)?;
        }
        Ok(talker)
    }

    /// Has its voice speak `text` once.
    fn learn(&mut self, text: String) -> Result<(), Failure> {
        if self.spoken.iter().any(|(known, _)| *known == text) {
            return Ok(());
        }
        self.send(&json!({ "say": text }))?;
        let answer = self.lines.recv_timeout(READY_DEADLINE).map_err(|_late| self.silent())?;
        let audio = answer["audio"].as_str().and_then(|audio| STANDARD.decode(audio).ok());
        self.spoken.push((text, audio.ok_or_else(|| self.silent())?));
        Ok(())
    }

    fn silent(&self) -> Failure {
        Failure::Checked(format!(
            "the caller's voice and ear, process {}, say nothing",
            self.child.id()
        ))
    }

    fn send(&mut self, value: &Value) -> Result<(), Failure> {
        let written = writeln!(self.stdin, "{value}").and_then(|()| self.stdin.flush());
        written.map_err(|error| Failure::Checked(format!("the caller: {error}")))
    }

    /// Hears an utterance; what it asks for is said next.
    ///
    /// # Errors
    /// [`Failure::Checked`] when its program is gone.
    pub fn hear(&mut self, audio: &[u8]) -> Result<(), Failure> {
        self.send(&json!({ "hear": STANDARD.encode(audio) }))?;
        self.pending = self.pending.saturating_add(1);
        Ok(())
    }

    /// What to say now, if anything: µ-law at 8,000 Hz.
    pub fn next_words(&mut self) -> Option<Vec<u8>> {
        while let Ok(line) = self.lines.try_recv() {
            self.understand(&line);
        }
        let text = self.next.pop_front()?;
        self.last.clone_from(&text);
        let audio =
            self.spoken.iter().find(|(known, _)| *known == text).map(|(_, audio)| audio.clone());
        self.said.push(Said { is_caller: true, text });
        audio
    }

    fn understand(&mut self, line: &Value) {
        let Some(text) = line["text"].as_str() else { return };
        self.pending = self.pending.saturating_sub(1);
        let is_first = self.said.iter().all(|said| !said.is_caller);
        self.said.push(Said { is_caller: false, text: text.to_owned() });
        let answer = self.answers.iter().find(|(word, _)| text.contains(word.as_str()));
        let answer = match answer.map(|(_, answer)| answer) {
            // To the greeting, whatever it is.
            _ if is_first => Some(&self.last),
            Some(Answer::Say(text)) => Some(text),
            Some(Answer::SayAgain) => Some(&self.last),
            Some(Answer::Listen) | None => None,
        };
        self.next.extend(answer.cloned());
    }

    /// The conversation so far; utterances that were heard last are waited for.
    pub fn said(&mut self) -> &[Said] {
        while self.pending > 0 {
            match self.lines.recv_timeout(HEAR_DEADLINE) {
                Ok(line) => self.understand(&line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        &self.said
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        // Its own child: it ends with its input, or is ended.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

impl fmt::Debug for Talker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Talker({} lines)", self.said.len())
    }
}
