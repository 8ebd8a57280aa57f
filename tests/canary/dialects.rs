//! Ways in from a vendor that speaks its dialect: every message of a recogniser and every frame of its socket, every event
//! of a model in both dialects, speech, and tokens. What is said well is passed on, and only that.

use crate::class::{Canaries, Class, Encoding, Sent};
use crate::edge::{each_batch, joined};
use crate::scripted::{
    Answer, MESSAGE_STOP, TURN_END, block, events, frame, good, piece, results, said, stop, text,
    token,
};
use crate::stream::{members, names};

/// Ways on which a caller's words come in: they go on to the model and, if it repeats them, to the voice.
pub(crate) const WORDS: &str = "words";
/// Ways on which a model's words come in: they go on to the voice.
pub(crate) const REPLIES: &str = "replies";
/// Ways on which speech comes in: it goes on to the caller.
pub(crate) const SPEECH: &str = "speech";
/// A good token, which is shown to the vendor that gave it.
pub(crate) const TOKEN: &str = "tokens: the token";
/// A recogniser's pings, which are answered with what is in them (RFC 6455, section 5.5.3).
pub(crate) const RECOGNISER_PINGS: &str = "recogniser: pings";

/// More than a recogniser's text, a model's event or a token may have, in bytes, and less than a message may.
const LONG: usize = 20_000;
/// More than one message may have.
const LONGEST: usize = 70_000;
/// The reason of a Close frame, in bytes (RFC 6455, section 5.5).
const REASON_BYTES_MAX: usize = 123;

const PARTIAL: &str = r#""is_final":false,"speech_final":false"#;
const LAST: &str = r#""is_final":true,"speech_final":true"#;

/// Answers whose batches `make` writes.
struct Ways<'c> {
    canaries: &'c mut Canaries,
    all: Vec<Answer>,
}

impl Ways<'_> {
    fn add(&mut self, path: &str, make: impl Fn(&[Sent]) -> Answer) {
        each_batch(self.canaries, path, |_, batch| self.all.push(make(batch)));
    }

    /// Frames of a recogniser.
    fn frames(&mut self, path: &str, make: impl Fn(&[Sent]) -> Vec<u8>) {
        self.add(path, |batch| Answer::upgrade("", make(batch)));
    }

    /// Events of a model.
    fn events(&mut self, path: &str, make: impl Fn(&[Sent]) -> Vec<String>) {
        self.add(path, |batch| Answer::kept(events(&make(batch))));
    }
}

/// A recogniser's words, messages and frames.
pub(crate) fn recogniser(canaries: &mut Canaries) -> Vec<Answer> {
    let mut ways = Ways { canaries, all: Vec::new() };
    words(&mut ways);
    messages(&mut ways);
    frames(&mut ways);
    ways.all
}

fn words(ways: &mut Ways<'_>) {
    ways.frames(&format!("{WORDS}: final"), |batch| said(&joined(batch, " ")));
    ways.frames(&format!("{WORDS}: finals, one by one"), |batch| {
        let finals = batch.iter().flat_map(|(_, sent)| text(&results(sent, LAST)));
        finals.chain(text(TURN_END)).collect()
    });
    ways.frames(&format!("{WORDS}: partial"), |batch| {
        [text(&results(&joined(batch, " "), PARTIAL)), text(TURN_END)].concat()
    });
    ways.frames(&format!("{WORDS}: partials that are taken back"), |batch| {
        let partials = batch.iter().flat_map(|(_, sent)| text(&results(sent, PARTIAL)));
        partials.chain(text(&results("", LAST))).collect()
    });
}

fn messages(ways: &mut Ways<'_>) {
    let result = |more: &str| said_with(&results("tomorrow", &format!("{LAST},{more}")));
    ways.frames("recogniser: another alternative", |batch| {
        let other =
            format!(r#"{{"transcript":"tomorrow"}},{{"transcript":"{}"}}"#, joined(batch, " "));
        let whole = results("", LAST);
        said_with(&whole.replace(r#"{"transcript":"","confidence":0.98,"words":[]}"#, &other))
    });
    ways.frames("recogniser: words with their times", |batch| {
        let words: Vec<String> = batch
            .iter()
            .map(|(_, sent)| format!(r#"{{"word":"{sent}","punctuated_word":"{sent}","start":1}}"#))
            .collect();
        let words = format!("\"words\":[{}]", words.join(","));
        said_with(&results("tomorrow", LAST).replace("\"words\":[]", &words))
    });
    ways.frames("recogniser: names of request and model", |batch| {
        let metadata = format!(
            r#""metadata":{{"request_id":"{}","model_uuid":"{}","model_info":{{{}}}}}"#,
            batch[0].1,
            batch[1].1,
            members(batch)
        );
        let own = r#""metadata":{"request_id":"00000000-0000-4000-8000-000000000000"}"#;
        said_with(&results("tomorrow", LAST).replace(own, &metadata))
    });
    ways.frames("recogniser: fields that nobody knows", |batch| result(&members(batch)));
    ways.frames("recogniser: names of fields that nobody knows", |batch| result(&names(batch)));
    let kinds = [
        ("metadata", "Metadata"),
        ("an error", "Error"),
        ("a warning", "Warning"),
        ("the beginning of speech", "SpeechStarted"),
        ("the end of an utterance", "UtteranceEnd"),
    ];
    for (what, kind) in kinds {
        ways.frames(&format!("recogniser: fields of {what}"), |batch| {
            let (id, rest) = (&batch[0].1, members(batch));
            text(&format!(
                r#"{{"type":"{kind}","request_id":"{id}","description":"{id}","message":"{id}",{rest}}}"#
            ))
        });
    }
    ways.frames("recogniser: types that nobody knows", |batch| {
        let of = |(_, sent): &Sent| text(&format!(r#"{{"type":"{sent}","x":"{sent}"}}"#));
        batch.iter().flat_map(of).collect()
    });
    broken_messages(ways);
}

/// Messages that are none.
fn broken_messages(ways: &mut Ways<'_>) {
    ways.frames("recogniser: partial that is malformed", |batch| {
        let whole = results(&joined(batch, " "), PARTIAL);
        text(&whole[..whole.len() - 9])
    });
    ways.frames("recogniser: final that is malformed", |batch| {
        text(&results(&joined(batch, " "), &format!("{LAST},,")))
    });
    ways.frames("recogniser: final of another type", |batch| {
        let of = |value: String| {
            text(
                &results("", LAST)
                    .replace(r#""transcript":"""#, &format!("\"transcript\":{value}")),
            )
        };
        let list = format!("[\"{}\"]", joined(batch, "\",\""));
        [of(list), of(format!("{{{}}}", members(batch)))].concat()
    });
    ways.frames("recogniser: no JSON", |batch| text(&joined(batch, " ")));
    ways.frames("recogniser: final too long", |batch| {
        text(&results(&format!("{} {}", joined(batch, " "), "x".repeat(LONG)), LAST))
    });
    ways.frames("recogniser: message too long", |batch| {
        let (whole, rest) = (results(&joined(batch, " "), LAST), "x".repeat(LONGEST));
        text(&whole.replace("\"confidence\"", &format!("\"x\":\"{rest}\",\"confidence\"")))
    });
}

/// A result, and the end of what the caller says.
fn said_with(result: &str) -> Vec<u8> {
    [text(result), text(TURN_END)].concat()
}

fn frames(ways: &mut Ways<'_>) {
    ways.frames("recogniser: binary messages", |batch| {
        frame(0x82, results(&joined(batch, " "), LAST).as_bytes())
    });
    ways.frames("recogniser: text that is no UTF-8", |batch| {
        frame(0x81, &[joined(batch, " ").as_bytes(), b"\xff"].concat())
    });
    ways.frames("recogniser: fragments without an end", |batch| {
        let whole = results(&joined(batch, " "), LAST);
        let (one, two) = whole.as_bytes().split_at(whole.len() / 2);
        [frame(0x01, one), frame(0x00, two)].concat()
    });
    ways.frames("recogniser: reserved bits", |batch| frame(0xF1, joined(batch, " ").as_bytes()));
    ways.frames("recogniser: unknown opcodes", |batch| frame(0x83, joined(batch, " ").as_bytes()));
    for (path, first) in [(RECOGNISER_PINGS, 0x89), ("recogniser: pongs", 0x8A)] {
        ways.frames(path, |batch| {
            let pieces = batch.iter().flat_map(|(_, sent)| sent.as_bytes().chunks(120));
            pieces.flat_map(|piece| frame(first, piece)).collect()
        });
    }
    ways.add("recogniser: headers of a good upgrade", |batch| {
        let of = |(class, sent): &Sent| format!("X-{class:?}: {sent}\r\ndg-request-id: {sent}\r\n");
        Answer::upgrade(&batch.iter().map(of).collect::<String>(), said("tomorrow"))
    });
    for name in ["sec-websocket-protocol", "sec-websocket-extensions"] {
        ways.add(&format!("recogniser: {name} of an upgrade"), |batch| {
            Answer::upgrade(&format!("{name}: {}\r\n", joined(batch, ", ")), said("tomorrow"))
        });
    }
    for code in [1000_u16, 1011, 4321] {
        let path = format!("recogniser: reason of a close, {code}");
        for encoding in Encoding::ALL {
            let fits = |_: Class, sent: &str| sent.len() <= REASON_BYTES_MAX;
            let mut reasons: Vec<String> = vec![];
            for (_, sent) in ways.canaries.batch_of(&path, encoding, fits) {
                match reasons.last_mut() {
                    Some(last) if last.len() + 1 + sent.len() <= REASON_BYTES_MAX => {
                        last.push_str(&format!(" {sent}"));
                    }
                    _ => reasons.push(sent),
                }
            }
            let close = |reason: &String| {
                let body = [&code.to_be_bytes()[..], reason.as_bytes()].concat();
                Answer::upgrade("", frame(0x88, &body))
            };
            ways.all.extend(reasons.iter().map(close));
        }
    }
}

/// A model's replies and events, as chat completions.
pub(crate) fn chat_completions(canaries: &mut Canaries) -> Vec<Answer> {
    let mut ways = Ways { canaries, all: Vec::new() };
    let ended = |all: Vec<String>| [all, stop().to_vec()].concat();
    let lines = |batch: &[Sent]| joined(batch, ". ");
    ways.events(&format!("{REPLIES}: text"), |batch| ended(vec![piece(&lines(batch))]));
    ways.events(&format!("{REPLIES}: text, piece by piece"), |batch| {
        ended(batch.iter().map(|(_, sent)| piece(&format!("{sent}. "))).collect())
    });
    ways.events(&format!("{REPLIES}: text and the end of the call"), |batch| {
        ended(vec![piece(&format!("{} [hang up]", lines(batch)))])
    });
    ways.events(&format!("{REPLIES}: text without an end"), |batch| vec![piece(&lines(batch))]);
    ways.events(&format!("{REPLIES}: text, and then an error"), |batch| {
        vec![piece(&format!("{}. ", lines(batch))), r#"{"error":{"message":"x"}}"#.to_owned()]
    });
    ways.events(&format!("{REPLIES}: text too long"), |batch| {
        ended(vec![piece(&format!("{} {}", lines(batch), "la ".repeat(3_000)))])
    });
    ways.events("model: names of answer, model and version", |batch| {
        let id = &batch[0].1;
        ended(vec![format!(
            r#"{{"id":"{id}","object":"{id}","model":"{id}","created":0,"system_fingerprint":"{id}",{},"choices":[]}}"#,
            members(batch)
        )])
    });
    ways.events("model: reason of the end", |batch| {
        let of = |(_, sent): &Sent| {
            format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"{sent}"}}]}}"#)
        };
        ended(batch.iter().map(of).collect())
    });
    deltas(&mut ways);
    ways.events("model: another choice", |batch| {
        let other = format!(
            r#"{{"choices":[{{"index":0,"delta":{{"content":"Yes."}}}},{{"index":1,"delta":{{"content":"{}"}}}}]}}"#,
            lines(batch)
        );
        ended(vec![other])
    });
    ways.events("model: likelihoods and usage", |batch| {
        let all = members(batch);
        ended(vec![format!(
            r#"{{"choices":[{{"delta":{{}},"logprobs":{{"content":[{{"token":"{}","bytes":[1],{all}}}]}}}}],"usage":{{{all}}}}}"#,
            batch[0].1
        )])
    });
    ways.events("model: names of fields that nobody knows", |batch| {
        ended(vec![format!(r#"{{"choices":[],{}}}"#, names(batch))])
    });
    ways.events("model: error among the events", |batch| {
        let one = &batch[0].1;
        vec![format!(
            r#"{{"error":{{"message":"{one}","type":"{one}","param":"{one}","code":"{one}",{}}}}}"#,
            members(batch)
        )]
    });
    broken_events(&mut ways);
    ways.all
}

/// What a piece of a reply has beside text: what it is called, and its members for one canary and for all.
type Delta = (&'static str, fn(&str, &str) -> String);

fn deltas(ways: &mut Ways<'_>) {
    let kinds: [Delta; 5] = [
        ("role", |one, _| format!(r#""role":"{one}""#)),
        ("calls of tools", |one, all| {
            format!(
                r#""tool_calls":[{{"index":0,"id":"{one}","type":"function","function":{{"name":"{one}","arguments":"{{\"x\":\"{one}\"}}"}},{all}}}]"#
            )
        }),
        ("call of a function", |one, all| {
            format!(r#""function_call":{{"name":"{one}","arguments":"{one}",{all}}}"#)
        }),
        ("refusal and reasoning", |one, all| {
            format!(r#""refusal":"{one}","reasoning_content":"{one}",{all}"#)
        }),
        ("fields of a delta that nobody knows", |_, all| all.to_owned()),
    ];
    for (what, delta) in kinds {
        ways.events(&format!("model: {what}"), |batch| {
            let of = |one: &Sent| {
                let delta = delta(&one.1, &members(std::slice::from_ref(one)));
                format!(r#"{{"choices":[{{"index":0,"delta":{{{delta}}},"finish_reason":null}}]}}"#)
            };
            [batch.iter().map(of).collect(), stop().to_vec()].concat()
        });
    }
}

/// Events that are none.
fn broken_events(ways: &mut Ways<'_>) {
    ways.events("model: text of another type", |batch| {
        vec![format!(r#"{{"choices":[{{"delta":{{"content":{{{}}}}}}}]}}"#, members(batch))]
    });
    ways.events("model: malformed event", |batch| vec![format!("{},", piece(&joined(batch, " ")))]);
    ways.events("model: event that is no JSON", |batch| vec![joined(batch, " ")]);
    ways.events("model: event too long", |batch| {
        vec![piece(&format!("{}{}", joined(batch, " "), "x".repeat(LONG)))]
    });
    ways.events("model: events after the last", |batch| {
        [vec![piece("Yes.")], stop().to_vec(), vec![piece(&joined(batch, " "))]].concat()
    });
    ways.add("model: comments, names and numbers of events", |batch| {
        let of =
            |(_, sent): &Sent| format!(": {sent}\nevent: {sent}\nid: {sent}\nretry: {sent}\n\n");
        let lines: String = batch.iter().map(of).collect();
        Answer::kept(good("text/event-stream", &[lines.as_bytes(), b"data: [DONE]\n\n"]))
    });
    ways.add("model: text that is no UTF-8", |batch| {
        let event = [b"data: ", piece(&joined(batch, " ")).as_bytes(), b"\xff\n\n"].concat();
        Answer::kept(good("text/event-stream", &[&event]))
    });
    ways.add("model: chunk that ends too soon", |batch| {
        let event = piece(&joined(batch, " "));
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        Answer::last(format!("{head}ffff\r\ndata: {event}"))
    });
}

/// The same in the other dialect, as far as it differs.
pub(crate) fn message_events(canaries: &mut Canaries) -> Vec<Answer> {
    let mut ways = Ways { canaries, all: Vec::new() };
    let ended = |all: Vec<String>| [all, vec![MESSAGE_STOP.to_owned()]].concat();
    ways.events(&format!("{REPLIES}: text of a message"), |batch| {
        ended(batch.iter().map(|(_, sent)| block(&format!("{sent}. "))).collect())
    });
    ways.events("model: thoughts, signatures and input of tools", |batch| {
        let of = |(_, sent): &Sent| {
            ["thinking_delta\",\"thinking", "signature_delta\",\"signature", "input_json_delta\",\"partial_json"]
                .map(|kind| {
                    format!(
                        r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"{kind}":"{sent}"}}}}"#
                    )
                })
        };
        ended(batch.iter().flat_map(of).collect())
    });
    let kinds = [
        ("beginning of a message", "message_start", "message"),
        ("beginning of a block", "content_block_start", "content_block"),
        ("end of a block", "content_block_stop", "x"),
        ("reason why a message ends", "message_delta", "delta"),
        ("ping", "ping", "x"),
        ("kind of event that nobody knows", "fresh", "x"),
    ];
    for (what, kind, inside) in kinds {
        ways.events(&format!("model: {what}"), |batch| {
            let (one, all) = (&batch[0].1, members(batch));
            ended(vec![format!(
                r#"{{"type":"{kind}","{inside}":{{"id":"{one}","model":"{one}","role":"{one}","name":"{one}","stop_reason":"{one}","stop_sequence":"{one}",{all}}}}}"#
            )])
        });
    }
    ways.events("model: types of events that nobody knows", |batch| {
        let of = |(_, sent): &Sent| format!(r#"{{"type":"{sent}"}}"#);
        ended(batch.iter().map(of).collect())
    });
    ways.events("model: error among the events of a message", |batch| {
        let (one, all) = (&batch[0].1, members(batch));
        vec![format!(
            r#"{{"type":"error","error":{{"type":"{one}","message":"{one}",{all}}},"request_id":"{one}"}}"#
        )]
    });
    ways.events("model: malformed event of a message", |batch| {
        vec![format!("{},", block(&joined(batch, " ")))]
    });
    ways.all
}

/// What a voice says.
pub(crate) fn voice(canaries: &mut Canaries) -> Vec<Answer> {
    let mut ways = Ways { canaries, all: Vec::new() };
    // As a caller's audio is: only what base64 leaves recognisable.
    ways.add(&format!("{SPEECH}: a sentence"), |batch| {
        Answer::kept(good("audio/mulaw", &[loud(batch).as_bytes()]))
    });
    ways.add(&format!("{SPEECH}: a sentence that ends too soon"), |batch| {
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: audio/mulaw\r\ntransfer-encoding: chunked\r\n\r\n";
        Answer::last(format!("{head}ffff\r\n{}", loud(batch)))
    });
    ways.add("voice: a file instead of speech", |batch| {
        Answer::last(good("audio/wav", &[format!("RIFF{}", joined(batch, " ")).as_bytes()]))
    });
    ways.all
}

/// A batch as audio, which is loud from its first byte: what is silent before speech is not played.
fn loud(batch: &[Sent]) -> String {
    format!("{}{}", "*".repeat(160), joined(batch, "*"))
}

/// What is granted, or nearly.
pub(crate) fn tokens(canaries: &mut Canaries) -> Vec<Answer> {
    let mut ways = Ways { canaries, all: Vec::new() };
    ways.add("tokens: other members of a good answer", |batch| {
        Answer::kept(token("a-token-of-nobodys-0123456789", &format!(",{}", members(batch))))
    });
    ways.add("tokens: lives that are none", |batch| {
        let life = format!(r#","expires_in":"{}""#, joined(batch, " "));
        Answer::last(token("x", &life))
    });
    ways.add("tokens: tokens that are none", |batch| {
        let whole = String::from_utf8(token("", "")).unwrap();
        let value = format!("{{{}}}", members(batch));
        let body = whole.split("\r\n\r\n").nth(1).unwrap().replace("\"\"", &value);
        Answer::last(crate::scripted::json_answer("200 OK", &body))
    });
    ways.add("tokens: tokens too long", |batch| {
        Answer::last(token(&format!("{}{}", joined(batch, "-"), "x".repeat(2_000)), ""))
    });
    ways.add("tokens: malformed JSON", |batch| {
        Answer::last(token("x", &format!(",,{}", members(batch))))
    });
    for encoding in Encoding::ALL {
        let is_plain = |_: Class, sent: &str| sent.bytes().all(|byte| byte.is_ascii_graphic());
        for (_, sent) in ways.canaries.batch_of(TOKEN, encoding, is_plain) {
            ways.all.push(Answer::kept(token(&sent, "")));
        }
    }
    ways.all
}
