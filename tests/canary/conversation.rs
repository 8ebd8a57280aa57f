//! Ways in while a conversation is held: whatever its vendors say, what its caller says, and what each is told of it.
//!
//! Calls are many at once and take no answers in turn: which call has which does not matter, only that each was given.
//! What a vendor is told is a sink as well, and what it is told by right is counted apart.

use std::path::Path;

use rustix::process::Signal;
use ward_policy::service::Service;
use ward_tests::scripted::MEDIA_SETTINGS;

use crate::answers::answers;
use crate::class::{Canaries, Canary, Class, Encoding};
use crate::dialects::{
    RECOGNISER_PINGS, REPLIES, SPEECH, TOKEN, WORDS, chat_completions, message_events, recogniser,
    tokens, voice,
};
use crate::edge::{each_batch, joined};
use crate::scripted::{Answer, Asked, MESSAGES_PATH, Scripted, said};
use crate::stream::{OWN_SIDS, PINGS, Peer, Talk};
use crate::ward::{Build, Sinks, Ward, folder};
use crate::webhook::Account;

/// Calls at once.
const CALLS: usize = 48;
/// How often as many calls are begun as there are answers left.
const ROUNDS_MAX: usize = 6;
/// Silence of a caller before their first word, in bytes of µ-law: then a turn is over when the recogniser says so.
const SILENCE_BYTES: usize = 1_600;

/// The path of the vendors' keys.
const KEYS: &str = "tokens: the keys of the vendors";
/// The path of the tokens that the broker signs itself.
const SIGNED: &str = "model: a token of the broker's";
/// The path of what the caller says.
const AUDIO: &str = "caller: audio";
/// The path on which a caller says one thing at a time, as people say it, and the model repeats it.
const REPEATED: &str = "words: one thing, repeated by the model";

/// The beginnings of the names of every way here.
const PREFIXES: [&str; 8] =
    [WORDS, REPLIES, SPEECH, "recogniser", "model", "voice", "tokens", "caller"];

/// Whether it came in while a conversation was held.
pub(crate) fn is_of_conversation(canary: &Canary) -> bool {
    PREFIXES.iter().any(|prefix| canary.path.starts_with(prefix))
}

/// What goes on or comes back by right, and by which: the words for it.
pub(crate) fn right(canary: &Canary, sink: &str) -> Option<&'static str> {
    let path = canary.path.as_str();
    let is = |prefix: &str| path.starts_with(prefix);
    Some(match sink {
        "frames" if path == PINGS => "pings to a caller",
        "frames" if path == OWN_SIDS && canary.class == Class::StreamSid => "streams",
        "frames" if is(SPEECH) => "speech to a caller",
        "recogniser" if path == AUDIO => "audio to the recogniser",
        "recogniser" if path == RECOGNISER_PINGS => "pings to the recogniser",
        "recogniser" | "voice" if path == TOKEN => "tokens to who granted them",
        "model" if path == SIGNED => "signed tokens to the model",
        "model" if is(WORDS) => "words to the model",
        "voice" if is(WORDS) => "words to the voice",
        "voice" if is(REPLIES) => "replies to the voice",
        "tokens" if path == KEYS => "keys to who grants tokens",
        _ => return None,
    })
}

/// How often each right must have been used, so that each way was really gone.
pub(crate) const RIGHTS_MIN: [(&str, usize); 11] = [
    ("pings to a caller", 150),
    ("streams", 10),
    ("speech to a caller", 10),
    ("audio to the recogniser", 10),
    ("pings to the recogniser", 10),
    ("tokens to who granted them", 10),
    ("signed tokens to the model", 10),
    ("words to the model", 10),
    ("words to the voice", 10),
    ("replies to the voice", 10),
    ("keys to who grants tokens", 2),
];

/// A server with its vendors.
struct Held {
    ward: Ward,
    vendors: Scripted,
}

/// Starts one, whose model is spoken to at `path` in its dialect.
fn start(
    build: &Build,
    name: &str,
    (settings, dialect, path): (&str, &str, &str),
    canaries: &mut Canaries,
) -> Held {
    let (vendors, known) = Scripted::serve();
    let settings = format!("{settings}{MEDIA_SETTINGS}{}", known.settings);
    let inputs = folder(&format!("{name}-vendors"));
    let [registry, keys] = ["registry", "keys"].map(|part| inputs.join(part));
    std::fs::create_dir(&registry).unwrap();
    for (file, text) in &known.registry {
        let text = text.replace("\"chat-completions\"", &format!("\"{dialect}\""));
        std::fs::write(registry.join(file), text.replace("/v1/chat/completions", path)).unwrap();
    }
    let ids = Service::ALL.map(ward::local_vendors::id);
    let lines = ids.map(|id| format!("{id}={}\n", canaries.one(KEYS, Class::VendorKey)));
    std::fs::write(&keys, lines.concat()).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (registry, keys) = (text(&registry), text(&keys));
    let more = ["--vendors", registry.as_str(), "--vendor-keys", keys.as_str()];
    let ward = Ward::start(build, ("media", "ward-media"), name, &settings, &more);
    Held { ward, vendors }
}

/// Everything; the settings of `account` are without an agent.
pub(crate) fn deliver(
    build: &Build,
    name: &str,
    (account, signature, settings): (&Account, &str, &str),
    canaries: &mut Canaries,
    sinks: &mut Sinks,
) {
    let of = |held: &Held, give: &mut dyn FnMut(&Peer<'_>)| {
        let (account, signature) = (account.sid.clone(), signature.to_owned());
        give(&Peer { ward: &held.ward, account, signature });
    };
    let kind = (settings, "chat-completions", "/v1/chat/completions");
    let held = start(build, &format!("{name}-conversation"), kind, canaries);
    of(&held, &mut |peer| {
        audio(peer, &held.vendors, canaries, sinks);
        let repeated = repeated(canaries);
        hold(peer, &held.vendors, Asked::Recogniser, &repeated, sinks);
        for asked in Asked::ALL {
            let own = match asked {
                Asked::Tokens => tokens(canaries),
                Asked::Recogniser => recogniser(canaries),
                Asked::Model => chat_completions(canaries),
                Asked::Voice => voice(canaries),
            };
            let all = [own, answers(asked, canaries)].concat();
            hold(peer, &held.vendors, asked, &all, sinks);
        }
        abort(peer, &held.vendors, canaries, sinks);
    });
    finish(held, build, canaries, sinks);
    let kind = (settings, "messages", MESSAGES_PATH);
    let held = start(build, &format!("{name}-messages"), kind, canaries);
    of(&held, &mut |peer| {
        let all = message_events(canaries);
        hold(peer, &held.vendors, Asked::Model, &all, sinks);
    });
    finish(held, build, canaries, sinks);
}

/// A call whose caller has been silent for a moment.
fn call(peer: &Peer<'_>) -> Talk {
    let mut talk = peer.call("");
    talk.speak(&[0xFF; SILENCE_BYTES]);
    talk
}

/// Holds conversations until each of `answers` was given by the vendor that is `asked`.
fn hold(peer: &Peer<'_>, vendors: &Scripted, asked: Asked, answers: &[Answer], sinks: &mut Sinks) {
    for some in answers.chunks(CALLS) {
        let calls = give(peer, vendors, asked, some.to_vec());
        calls.into_iter().for_each(|talk| talk.end(sinks));
    }
}

/// Begins conversations until each of `answers` was given.
fn give(peer: &Peer<'_>, vendors: &Scripted, asked: Asked, answers: Vec<Answer>) -> Vec<Talk> {
    let mut left = answers.len();
    vendors.queue(asked, answers);
    let mut calls = Vec::new();
    // On a loaded machine a call may give a vendor up before it has asked for what is next.
    for _ in 0..ROUNDS_MAX {
        calls.extend((0..left).map(|_| call(peer)));
        left = vendors.await_quiet();
        if left == 0 {
            return calls;
        }
    }
    panic!("{left} answers that nobody asked for");
}

/// What the caller says, byte for byte: only what base64 leaves recognisable.
fn audio(peer: &Peer<'_>, vendors: &Scripted, canaries: &mut Canaries, sinks: &mut Sinks) {
    let mut calls = Vec::new();
    for encoding in [Encoding::Plain, Encoding::Lower, Encoding::Upper] {
        let said = joined(&canaries.batch(AUDIO, encoding), " ").into_bytes();
        let mut talk = peer.call("");
        talk.speak(&[said, vec![0xFF; SILENCE_BYTES]].concat());
        calls.push(talk);
    }
    vendors.await_quiet();
    calls.into_iter().for_each(|talk| talk.end(sinks));
}

/// What a caller says of each class, one in a call.
fn repeated(canaries: &mut Canaries) -> Vec<Answer> {
    let mut all = Vec::new();
    for encoding in Encoding::ALL {
        for (class, sent) in canaries.batch(REPEATED, encoding) {
            all.push(Answer::upgrade(
                "",
                said(&match class {
                    Class::Name => format!("my name is {sent}"),
                    Class::From => format!("my number is {sent}"),
                    Class::Date => format!("i was born on {sent}"),
                    Class::Email => format!("my email is {sent}"),
                    Class::City => format!("i live in {sent}"),
                    Class::RecordNumber => format!("my record number is {sent}"),
                    _ => format!("it is {sent}"),
                }),
            ));
        }
    }
    all
}

/// Conversations in the middle of a turn while their server is killed.
fn abort(peer: &Peer<'_>, vendors: &Scripted, canaries: &mut Canaries, sinks: &mut Sinks) {
    let mut answers = Vec::new();
    each_batch(canaries, "words: of a conversation that ends by SIGABRT", |_, batch| {
        answers.push(Answer::upgrade("", said(&joined(batch, " "))));
    });
    let calls = give(peer, vendors, Asked::Recogniser, answers);
    peer.ward.look_at_processes(sinks);
    peer.ward.abort(Signal::ABORT, 1, sinks);
    calls.into_iter().for_each(|talk| talk.end(sinks));
}

/// Ends the server and takes what its vendors were told.
fn finish(held: Held, build: &Build, canaries: &mut Canaries, sinks: &mut Sinks) {
    held.ward.finish(&build.tool, sinks);
    held.vendors.await_quiet();
    for asked in Asked::ALL {
        sinks.add(asked.name(), &held.vendors.heard(asked));
    }
    for shown in held.vendors.shown() {
        // The part of it that is made with the key and a random number.
        let tag = shown.rsplit('.').next().unwrap().to_owned();
        canaries.0.push(Canary {
            path: SIGNED.to_owned(),
            class: Class::Bearer,
            encoding: Encoding::Plain,
            value: tag.clone(),
            sent: tag,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_somewhere_by_right_is_a_leak_anywhere_else() {
        let at = |path: &str, sink| {
            let (path, value) = (path.to_owned(), String::new());
            let (class, encoding, sent) = (Class::Bearer, Encoding::Plain, String::new());
            right(&Canary { path, class, encoding, value, sent }, sink)
        };
        let paths = [
            (REPEATED, &["model", "voice"][..]),
            ("replies: text", &["voice"]),
            ("speech: a sentence", &["frames"]),
            (AUDIO, &["recogniser"]),
            (RECOGNISER_PINGS, &["recogniser"]),
            (TOKEN, &["recogniser", "voice"]),
            (SIGNED, &["model"]),
            (KEYS, &["tokens"]),
            (PINGS, &["frames"]),
            ("recogniser: names of request and model", &[]),
            ("model: calls of tools", &[]),
            ("voice: error in JSON", &[]),
            ("tokens: error in JSON", &[]),
        ];
        for (path, expected) in paths {
            let found: Vec<&str> =
                Sinks::ALL.into_iter().filter(|sink| at(path, sink).is_some()).collect();
            let mut expected = expected.to_vec();
            expected.sort_by_key(|sink| Sinks::ALL.iter().position(|one| one == sink));
            assert_eq!(found, expected, "{path}");
        }
    }
}
