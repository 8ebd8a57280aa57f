//! Ways in from a vendor that is asked over HTTP: heads and bodies of refusals, redirects, answers of another kind, and
//! what is no answer. All four are asked so: for tokens, for an upgrade, for a reply, for speech.

use crate::class::{Canaries, Sent};
use crate::edge::{each_batch, joined};
use crate::scripted::{Answer, Asked, json_answer};
use crate::stream::members;

/// More than a head, an event or a message may have.
const TOO_MUCH: usize = 70_000;

/// What one kind of answer is called, and how it is made.
type Kind = (&'static str, fn(Asked, &[Sent]) -> Vec<u8>);

/// The type of a good answer.
const fn good_type(asked: Asked) -> &'static str {
    match asked {
        Asked::Tokens | Asked::Recogniser => "application/json",
        Asked::Model => "text/event-stream",
        Asked::Voice => "audio/mulaw",
    }
}

fn fields(batch: &[Sent]) -> String {
    batch.iter().map(|(class, sent)| format!("X-{class:?}: {sent}\r\n")).collect()
}

fn chunked(asked: Asked, body: &str) -> Vec<u8> {
    let kind = good_type(asked);
    format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n{body}")
        .into_bytes()
}

const KINDS: [Kind; 19] = [
    ("reason of a status", |_, batch| {
        let reason = joined(batch, " ");
        format!("HTTP/1.1 401 {reason}\r\ncontent-length: 0\r\n\r\n").into_bytes()
    }),
    ("reason of a good status", |asked, batch| {
        let (reason, kind) = (joined(batch, " "), good_type(asked));
        format!("HTTP/1.1 200 {reason}\r\ncontent-type: {kind}\r\ncontent-length: 0\r\n\r\n")
            .into_bytes()
    }),
    ("header values of an error", |_, batch| {
        let fields = fields(batch);
        format!("HTTP/1.1 429 Too Many Requests\r\n{fields}content-length: 0\r\n\r\n").into_bytes()
    }),
    ("header names of an error", |_, batch| {
        let fields: String = batch.iter().map(|(_, sent)| format!("{sent}: x\r\n")).collect();
        format!("HTTP/1.1 400 Bad Request\r\n{fields}content-length: 0\r\n\r\n").into_bytes()
    }),
    ("challenge, cookie and time to wait", |_, batch| {
        let all = joined(batch, ",");
        format!(
            "HTTP/1.1 403 Forbidden\r\nwww-authenticate: Bearer realm=\"{all}\"\r\nset-cookie: a={}\r\n\
             retry-after: {}\r\ncontent-length: 0\r\n\r\n",
            batch[0].1, batch[0].1
        )
        .into_bytes()
    }),
    ("error in JSON", |_, batch| {
        json_answer("400 Bad Request", &format!(r#"{{"error":{{{}}}}}"#, members(batch)))
    }),
    ("error in JSON, of the server", |_, batch| {
        json_answer("503 Service Unavailable", &format!(r#"{{{}}}"#, members(batch)))
    }),
    ("error in JSON with a good status", |_, batch| {
        json_answer("200 OK", &format!(r#"{{"error":{{{}}}}}"#, members(batch)))
    }),
    ("error in plain words", |_, batch| {
        let body = joined(batch, "\r\n");
        format!("HTTP/1.1 500 Oops\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }),
    ("where it has moved to", |_, batch| {
        let place = joined(batch, "/");
        format!("HTTP/1.1 302 Found\r\nlocation: https://x.example/{place}\r\n\r\n").into_bytes()
    }),
    ("type of a good answer", |_, batch| {
        let kind = joined(batch, ";");
        format!("HTTP/1.1 200 OK\r\ncontent-type: x/{kind}\r\ncontent-length: 0\r\n\r\n")
            .into_bytes()
    }),
    ("body that ends too soon", |_, batch| {
        let body = joined(batch, " ");
        format!("HTTP/1.1 400 No\r\ncontent-length: {TOO_MUCH}\r\n\r\n{body}").into_bytes()
    }),
    ("sizes of chunks that are none", |asked, batch| {
        chunked(asked, &format!("{}\r\n", joined(batch, "\r\n")))
    }),
    ("extensions of chunks", |asked, batch| {
        chunked(asked, &format!("1;{}\r\n\n\r\n0\r\n\r\n", joined(batch, ";")))
    }),
    ("trailers", |asked, batch| chunked(asked, &format!("1\r\n\n\r\n0\r\n{}\r\n", fields(batch)))),
    ("no HTTP at all", |_, batch| joined(batch, "\r\n").into_bytes()),
    ("head that does not end", |_, batch| {
        format!("HTTP/1.1 200 OK\r\nx: {}\r\n", joined(batch, ",")).into_bytes()
    }),
    ("head too long", |_, batch| {
        let rest = "x".repeat(TOO_MUCH);
        format!("HTTP/1.1 200 OK\r\nx: {}\r\ny: {rest}\r\n\r\n", joined(batch, ",")).into_bytes()
    }),
    ("word in advance", |_, batch| {
        let all = joined(batch, ",");
        format!(
            "HTTP/1.1 103 Early Hints\r\nlink: {all}\r\n\r\nHTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n"
        )
        .into_bytes()
    }),
];

/// Every such answer to whoever asks for `asked`.
pub(crate) fn answers(asked: Asked, canaries: &mut Canaries) -> Vec<Answer> {
    let mut all = Vec::new();
    for (what, make) in KINDS {
        each_batch(canaries, &format!("{}: {what}", asked.name()), |_, batch| {
            all.push(Answer::last(make(asked, batch)));
        });
    }
    all
}
