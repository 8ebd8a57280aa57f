//! Every maximum and every deadline, with its unit and its reason.
//!
//! Nothing else in a server holds a limit, and library defaults are never relied on, so a reviewer who
//! has read this file knows how much memory, time and patience one peer can cost. It never decides what
//! happens at a limit.

mod conversation;
mod image;

use std::time::Duration;

pub use conversation::*;
pub use image::*;

// --- Before a request is believed ---

/// TLS handshake, from accept to finished. Slower peers are closed; the accept loop never waits.
pub const TLS_HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
/// Request head, from the end of the handshake to the blank line.
pub const HEAD_DEADLINE: Duration = Duration::from_secs(5);
/// Request head in bytes. Twilio's heads are under 2 KiB; RFC 9112 §3 suggests at least 8,000 octets
/// for the request line alone.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Header fields in one head.
pub const HEAD_FIELDS_MAX: usize = 100;
/// Webhook body, from the end of the head to its last byte.
pub const BODY_DEADLINE: Duration = Duration::from_secs(5);
/// Webhook body in bytes. A voice webhook is about 1 KiB; Twilio adds fields without notice.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// How much of a body past its maximum is read before the answer, in bytes, so that the peer is
/// listening when the answer comes.
pub const BODY_DISCARDED_BYTES_MAX: usize = 2 * 1024 * 1024;
/// How much is read, in bytes, after a head was refused: closing with unread bytes would reset the
/// connection and could destroy the answer on its way.
pub const HEAD_DISCARDED_BYTES_MAX: usize = 64 * 1024;
/// Writing one HTTP response. The longest is under 2 KiB, so a peer that cannot take it is gone.
pub const RESPONSE_DEADLINE: Duration = Duration::from_secs(5);
/// Connections of one worker that have not become calls: each costs a TLS session and a task.
/// Past it the oldest of them is closed: a flood pushes out neither live calls nor newcomers.
pub const PENDING_CONNECTIONS_MAX: usize = 512;
/// Descriptors that a process needs beside its connections: listeners, log, runtimes.
pub const DESCRIPTORS_OF_A_PROCESS: usize = 1_024;
/// After a failed accept (descriptors or memory exhausted), the pause before the next.
pub const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

// --- Handshakes that are signed by another process ---

/// One signature, from asking to having it. Signing takes a tenth of a millisecond, but a crowded machine
/// may not run the signing process for longer than 20 ms; a worker waits, and audio is 240 ms ahead.
pub const SIGN_DEADLINE: Duration = Duration::from_millis(100);
/// The signing process's first word, once, at start.
pub const SIGN_START_DEADLINE: Duration = Duration::from_secs(5);
/// One request or answer, in bytes. The text of a handshake is under 200, a signature of the longest RSA
/// key 512.
pub const SIGN_MESSAGE_BYTES_MAX: usize = 1024;
/// Late answers in a row after which nobody is asked for a while: each costs a worker its deadline.
pub const SIGN_LATE_IN_A_ROW_MAX: u32 = 3;
/// For how long nobody is asked then.
pub const SIGN_REST: Duration = Duration::from_secs(1);
/// Handshakes a second, for each worker. One costs a third of a millisecond, so a flood of them leaves a
/// worker a third of its time for live calls.
pub const HANDSHAKES_PER_SECOND_MAX: u32 = 2_000;
/// Handshakes that may begin at once, for each worker: a fleet of calls that is moved here arrives so.
pub const HANDSHAKES_BURST_MAX: u32 = 2_000;

// --- Vendors' connections ---

/// One question of media's, from asking to the answer: resolving, connecting and a token.
pub const DIAL_ANSWER_DEADLINE: Duration = Duration::from_secs(6);
/// Resolving a name and connecting to one of its addresses.
pub const DIAL_DEADLINE: Duration = Duration::from_secs(4);
/// Connecting to one address, before the next is tried.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(2);
/// One try at one name server.
pub const NAME_SERVER_DEADLINE: Duration = Duration::from_millis(800);
/// Addresses of one name that are tried.
pub const ADDRESSES_TRIED_MAX: usize = 4;
/// TLS with a vendor, from the first byte to the last of the handshake.
pub const VENDOR_TLS_DEADLINE: Duration = Duration::from_secs(3);
/// One question to the broker, in bytes: its number, a class of data, a vendor's id.
pub const QUESTION_BYTES_MAX: usize = 64;
/// Questions that one worker of media may ask at once.
pub const QUESTIONS_BURST_MAX: u64 = 2_000;
/// Questions a second after that: a call asks for three vendors, and once more when one fails.
pub const QUESTIONS_PER_SECOND_MAX: u64 = 500;
/// The pause before the next question of one that has asked too often.
pub const QUESTION_PAUSE: Duration = Duration::from_millis(50);
/// Questions of one worker that are being answered at the same time; the next ones wait.
pub const DIALS_AT_ONCE_MAX: usize = 64;
/// Connections that media may have at once: three for each of a few thousand calls.
pub const VENDOR_CONNECTIONS_MAX: usize = 8_192;
/// A connection that ends this shortly before its session does has ended with it.
pub const SESSION_END_SLACK: Duration = Duration::from_millis(250);
/// One short-lived token, in bytes. A JSON Web Token with a few claims is under 500.
pub const TOKEN_BYTES_MAX: usize = 1_024;
/// Tokens that media holds at once, in memory of their own: 2 MiB. Where less may be locked (`RLIMIT_MEMLOCK`), as
/// many as go in.
pub const TOKENS_MAX: usize = 2_048;
/// With fewer places than these it does not start: 32 KiB, half of what old kernels let anyone lock.
pub const TOKENS_MIN: usize = 32;
/// The pause before media looks for a free place again when all are taken.
pub const TOKEN_PLACE_PAUSE: Duration = Duration::from_millis(50);
/// The keys of all vendors together, in bytes.
pub const VENDOR_KEYS_BYTES_MAX: usize = 16 * 1024;
/// Certificates that one vendor's must lead to, in bytes of PEM.
pub const ROOTS_BYTES_MAX: usize = 32 * 1024;
/// The path of a vendor's service or of its tokens, in characters, with its query.
pub const VENDOR_PATH_CHARS_MAX: usize = 256;
/// A vendor's name of a model, in characters; the longest known are under 80.
pub const MODEL_CHARS_MAX: usize = 128;
/// How a vendor is spoken to and what every request must carry, as media is told it, in bytes of JSON.
pub const MANNER_BYTES_MAX: usize = 4 * 1024;
/// A token of the vendor's own, from dialling whoever mints it to the end of the answer: the vendor itself is dialled
/// meanwhile, and the question must be answered in time.
pub const MINT_DEADLINE: Duration = Duration::from_secs(5);
/// The answer with a token in it, in bytes: head and body each. `OpenAI`'s repeats the session's settings, a few KiB.
pub const MINT_ANSWER_BYTES_MAX: usize = 16 * 1024;
/// Header fields of that answer.
pub const MINT_ANSWER_FIELDS_MAX: usize = 64;
/// What is sent for a token, in bytes of JSON.
pub const MINT_BODY_BYTES_MAX: usize = 1024;
/// Header fields with a fixed value that are sent for a token.
pub const MINT_HEADERS_MAX: usize = 8;
/// Name or value of one of those, the words before the key, or the place of a member in the answer, in characters.
pub const MINT_WORD_CHARS_MAX: usize = 128;
/// Vendors whose connections a call has.
pub const VENDORS_PER_CALL_MAX: usize = 6;
/// Name servers that are asked.
pub const NAME_SERVERS_MAX: usize = 4;

// --- Starting roles again ---

/// The pause before a role that ended is started again.
pub const RESTART_DELAY_MIN: Duration = Duration::from_millis(10);
/// The longest pause: it doubles from start to start. With the time that a start takes, a caller waits less
/// than a second.
pub const RESTART_DELAY_MAX: Duration = Duration::from_millis(250);
/// A role that has lived this long begins anew with the shortest pause.
pub const RESTART_SETTLED_AFTER: Duration = Duration::from_secs(10);
/// A role that has lived this long had started; what it dies of later is no reason to end everything.
pub const ROLE_STARTED_AFTER: Duration = Duration::from_millis(200);
/// Starts in a row that fail before everything ends.
pub const FAILED_STARTS_MAX: u32 = 5;

// --- What the launcher reads and waits for ---

/// One line of a role's log, in bytes; the longest that is written is under 2 KiB.
pub const LOG_LINE_BYTES_MAX: usize = 4 * 1024;
/// Lines that the log takes from one role, a second; a server at its limit of calls writes a tenth of that.
pub const LOG_LINES_PER_SECOND_MAX: u64 = 2_000;
/// Lines that it takes at once.
pub const LOG_LINES_BURST_MAX: u64 = 10_000;
/// What the log's one writer puts in front of a line, in bytes: which boot, which number, and the digest
/// of the line before.
pub const LOG_CHAIN_BYTES_MAX: usize = 128;
/// Lines that wait for whoever reads them; past it a role's pipe fills, and the role drops and counts.
pub const LOG_LINES_WAITING_MAX: usize = 1_024;
/// A replacement of the handshake signatures that the media server does not take.
pub const HANDSHAKE_SEND_DEADLINE: Duration = Duration::from_secs(2);
/// From the end of the drain to the end of the process, whatever a worker still does.
pub const WORKERS_END_DEADLINE: Duration = Duration::from_secs(3);

// --- The webhook's form ---

/// Longest host name in a setting, in characters (RFC 1035 §2.3.4).
pub const HOST_CHARS_MAX: usize = 253;
/// Longest `MEDIA_PATH`, in characters.
pub const PATH_CHARS_MAX: usize = 128;
/// Longest auth token, in characters; Twilio's have 32.
pub const AUTH_TOKEN_CHARS_MAX: usize = 256;
/// Fields of one webhook form. Twilio sends about 30.
pub const FORM_FIELDS_MAX: usize = 256;
/// `X-Twilio-Signature` in base64: HMAC-SHA1 is 20 bytes, 28 characters. Longer is refused unread.
pub const SIGNATURE_CHARS: usize = 28;

// --- The media stream's WebSocket ---

/// One WebSocket message, and one WebSocket frame, in bytes. Twilio's largest observed message is
/// under 1 KiB; a `start` with 32 parameters of 500 characters is under 20 KiB. Judged from the
/// frame header, before anything is allocated.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// tungstenite's read buffer per connection, in bytes. Its default of 128 KiB would leave that much
/// of a caller's audio lying in memory, and costs 7 % more CPU per frame.
pub const READ_BUFFER_BYTES: usize = 1024;
/// tungstenite's write buffer, in bytes: short messages made in one turn leave in one system call. What it has grown to it
/// keeps for the length of the call; one message of a reply is 950 bytes.
pub const WRITE_BUFFER_BYTES: usize = 1024;
/// Bytes that may wait for a peer that has stopped reading. Eight seconds of audio in JSON is 86 KB;
/// past this the call ends.
pub const WRITE_BUFFER_BYTES_MAX: usize = 128 * 1024;
/// The kernel's send buffer per stream connection, in bytes (Linux doubles it).
pub const SOCKET_SEND_BUFFER_BYTES: usize = 32 * 1024;
/// Output that has been waiting for the peer for this long ends the call.
pub const SEND_DEADLINE: Duration = Duration::from_secs(2);
/// From the 101 to a valid `start`.
pub const START_DEADLINE: Duration = Duration::from_secs(5);
/// Nothing received for this long: we ping. Audio comes every 20 ms, so silence is the signal.
pub const SILENT_PING_AFTER: Duration = Duration::from_secs(6);
/// Nothing received for this long: the connection is dead.
pub const SILENT_DROP_AFTER: Duration = Duration::from_secs(12);
/// A live stream that has been silent for this long gives way to a newcomer with the same `CallSid`.
pub const SILENT_REPLACEABLE_AFTER: Duration = Duration::from_secs(5);
/// After our Close frame, the wait for the peer's.
pub const CLOSE_DEADLINE: Duration = Duration::from_secs(1);
/// One call, from `start`. Guards against zombies; the caller hears the goodbye first.
pub const CALL_DURATION_MAX: Duration = Duration::from_secs(60 * 60);
/// Pings answered per second, sustained, and the burst before that counts. Twilio sends none.
pub const PINGS_PER_SECOND_MAX: u64 = 5;
/// See [`PINGS_PER_SECOND_MAX`].
pub const PINGS_BURST_MAX: u64 = 50;
/// Bad messages in a row that a call survives: one is forgiven every [`STRIKE_FORGIVEN_AFTER`].
pub const STRIKES_MAX: u32 = 5;
/// See [`STRIKES_MAX`].
pub const STRIKE_FORGIVEN_AFTER: Duration = Duration::from_secs(10);
/// Live streams per worker before an upgrade is answered 503.
pub const CALLS_PER_WORKER_MAX: usize = 2_000;
/// A worker of the media server collects events this long before it sleeps again. A frame is 20 ms of
/// audio, so half a millisecond is not heard, and at 500 calls it saves a quarter of the CPU.
pub const WAKE_PAUSE: Duration = Duration::from_micros(500);
/// The runtime's timers tick in milliseconds; a shorter wait would fire at once.
pub const TIMER_STEP: Duration = Duration::from_millis(1);
/// A worker that has been busy this long since it woke does not pause: the load is near its limit.
pub const WAKE_PAUSE_BUSY_MAX: Duration = Duration::from_millis(2);
/// How soon a session notices that the process is stopping, if nothing else wakes it.
pub const STOP_NOTICED_AFTER: Duration = Duration::from_millis(500);
/// Messages handled before a session lets the next one run.
pub const MESSAGES_PER_TURN_MAX: usize = 32;

// --- The envelope ---

/// `<Parameter>` entries in one `start`.
pub const PARAMETERS_MAX: usize = 32;
/// Name and value of one `<Parameter>` together, in bytes (Twilio: "under 500 characters").
pub const PARAMETER_BYTES_MAX: usize = 500;
/// Length of a mark's name that we read, in bytes. Ours are under 32.
pub const MARK_NAME_BYTES_MAX: usize = 256;

// --- Audio: µ-law, 8,000 Hz, one channel, one byte a sample ---

/// Samples, and so bytes, in one second.
pub const SAMPLE_RATE_HZ: usize = 8_000;
/// Bytes in one millisecond.
pub const BYTES_PER_MS: usize = SAMPLE_RATE_HZ / 1_000;
/// Bytes in `ms` milliseconds.
#[must_use]
pub const fn bytes_in_ms(ms: u64) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "minutes of audio, far inside 32 bits")]
    let ms = ms as usize;
    ms * BYTES_PER_MS
}
/// Bytes in one 20 ms frame, the alignment of everything we send.
pub const FRAME_BYTES: usize = 160;
/// Milliseconds in one frame.
pub const FRAME_MS: u64 = 20;
/// Audio in one `media` message, in bytes: one second.
pub const PAYLOAD_BYTES_MAX: usize = 8_000;
/// Longest hole that is filled with silence, in milliseconds. A longer one is a discontinuity: the
/// recogniser gains nothing from more.
pub const GAP_FILL_MS_MAX: u64 = 500;
/// A timestamp further ahead than this is no hole but a broken clock: reset, fill nothing.
pub const GAP_MS_MAX: u64 = 10_000;
/// A sequence number further ahead than this is counted and not believed: 20 s of messages.
pub const SEQUENCE_JUMP_MAX: u64 = 1_000;
/// Messages of any kind per second that one stream may send, sustained. A call needs about 55.
pub const MESSAGES_PER_SECOND_MAX: u64 = 200;
/// The burst before that counts: Twilio catches up after a stall.
pub const MESSAGES_BURST_MAX: u64 = 2_000;
/// The longest utterance, in milliseconds: past it what is heard is the line, not a caller.
pub const UTTERANCE_MS_MAX: u64 = 30_000;
/// Audio kept for a recogniser that is slow, in milliseconds. Beyond it the oldest is dropped:
/// late words are worse than lost ones.
pub const BACKLOG_MS_MAX: u64 = 400;
/// Audio accepted in a burst above real time, in milliseconds (Twilio catches up after a stall).
pub const AUDIO_BURST_MS_MAX: u64 = 6_000;
/// Sustained rate of accepted audio, in per cent of real time.
pub const AUDIO_RATE_PERCENT_MAX: u64 = 110;
/// Audio dropped for its rate before the stream is no call, in milliseconds.
pub const AUDIO_FLOOD_MS_MAX: u64 = 20_000;
/// How far ahead of play-out we send, in milliseconds: enough for one late tick, little to flush.
pub const PLAYOUT_LEAD_MS: u64 = 240;
/// Audio in one outbound message, in milliseconds. The `send` call is the dearest thing per message.
pub const PLAYOUT_MESSAGE_MS: u64 = 80;
/// A message that more may join leaves this long before the caller would hear a gap, in milliseconds.
pub const PLAYOUT_URGENT_MS: u64 = 60;
/// Sentences of which it is known how far they were spoken.
pub const SENTENCES_KEPT_MAX: usize = 32;
/// Audio waiting to be played, in milliseconds.
pub const PLAYOUT_QUEUE_MS_MAX: u64 = 60_000;
/// Marks on their way at once.
pub const MARKS_OUTSTANDING_MAX: usize = 32;
/// Past the computed end of its audio, a mark counts as lost after this long.
pub const MARK_SLACK: Duration = Duration::from_secs(3);
/// At most one `clear` in this time when nothing is known to be playing.
pub const CLEAR_INTERVAL: Duration = Duration::from_millis(500);
/// After the goodbye of a call that is too long, it ends whatever the agent does.
pub const GOODBYE_MAX: Duration = Duration::from_secs(15);
/// Speech before it counts as the caller's turn, in milliseconds.
pub const SPEECH_ONSET_MS: u64 = 60;
/// Silence after which the caller may have finished, in milliseconds: a hint, to begin what can be thrown away.
pub const SPEECH_PAUSE_MS: u64 = 120;
/// Silence before the caller's turn counts as over, in milliseconds.
pub const SPEECH_END_MS: u64 = 600;

// --- What is left of a call ---

/// Stack that is overwritten when a call or a connection has ended, in bytes. The whole stack of a worker was
/// never seen larger than 96 KiB, after TLS handshakes, calls and panics; wiping this much takes microseconds,
/// once per connection and never per frame.
pub const DEAD_STACK_BYTES: usize = 128 * 1024;

// --- Logging ---

/// Events per second that strangers can cause one process to write; the rest are counted.
pub const PEER_EVENTS_PER_SECOND_MAX: u32 = 50;
/// See [`PEER_EVENTS_PER_SECOND_MAX`].
pub const PEER_EVENTS_BURST_MAX: u32 = 200;
/// A vendor's name in the registry and in log lines, in characters: a word, never a sentence.
pub const VENDOR_ID_CHARS_MAX: usize = 32;
/// How often a process writes its metrics. Prometheus asks every 15 s to 60 s; a line a minute and process
/// is 1,440 a day, little beside the calls.
pub const METRICS_INTERVAL: Duration = Duration::from_secs(60);
/// One line of metrics, in bytes, line feed included. Below what a pipe takes whole (4,096) by what the
/// log's writer puts in front; metrics that need more are written as several lines.
pub const METRICS_LINE_BYTES_MAX: usize = 3_840;

// --- What must not be in a log line ---

/// Digits of a telephone number with its country code, at least: the shortest national ones have seven.
pub const E164_DIGITS_MIN: usize = 8;
/// See [`E164_DIGITS_MIN`]: ITU-T E.164 allows 15.
pub const E164_DIGITS_MAX: usize = 15;
/// Digits in a row that may be a telephone number without its area, or a medical record number.
pub const DIGIT_RUN_MIN: usize = 7;
/// Digits of a JSON number that is a counter or a time: 13 are milliseconds since 1970.
pub const JSON_NUMBER_DIGITS_MAX: usize = 15;
/// Characters of base64 that are a digest or a signature. 65 are 6 ms of audio.
pub const BASE64_RUN_MAX: usize = 64;
/// Digits in words, one after the other: a postal code has five.
pub const SPOKEN_DIGITS_MIN: usize = 6;

// --- What is said to and by the language model ---

/// What a caller said in one turn, or one sentence of a reply, in bytes: what is behind it is neither judged nor
/// sent on. An utterance of 30 s is about 90 words, 600 bytes.
pub const GATE_TEXT_BYTES_MAX: usize = 4 * 1024;
/// Values of one call that stand behind placeholders. A call has a name, a birth date, a few numbers; a value past
/// them is still kept from the model, and does not come back.
pub const GATE_SLOTS_MAX: usize = 32;
/// Digits, said one after the other, that are no time, price or count: from here on they are kept from the model.
pub const GATE_DIGITS_MIN: usize = 5;
/// The same right after a word such as `insurance number`.
pub const GATE_CUED_DIGITS_MIN: usize = 3;
/// Digits of a telephone number without its area.
pub const GATE_PHONE_DIGITS_MIN: usize = 7;
/// Words of one number, so that looking for one takes the same time wherever it begins: a card's has 16. A longer one is
/// taken for two.
pub const GATE_NUMBER_WORDS_MAX: usize = 40;
/// Words between a cue such as `date of birth` and what it announces.
pub const GATE_CUE_WORDS_MAX: usize = 6;
/// Words of one name.
pub const GATE_NAME_WORDS_MAX: usize = 4;
/// Words of one street's name, and of one place's.
pub const GATE_PLACE_WORDS_MAX: usize = 4;
/// Words in front of the `at` of an e-mail address that is said.
pub const GATE_EMAIL_WORDS_MAX: usize = 12;
/// Letters said one after the other that are a word being spelled.
pub const GATE_LETTERS_MIN: usize = 3;
/// Turns of a caller in which a bare answer to a question of ours is taken for its answer: a "sorry?" may come first.
pub const GATE_ASKED_TURNS_MAX: u8 = 2;
/// Steps of one pattern of the rules, each word between counted: they are the bits of one word of memory.
pub const GATE_PATTERN_STEPS_MAX: usize = 60;
/// One file of the rules, in bytes.
pub const GATE_FILE_BYTES_MAX: usize = 64 * 1024;
/// What a sentence and a reply may be limited to by the rules, at most, in characters: a minute of speech.
pub const GATE_REPLY_CHARS_MAX: usize = 1_000;

// --- Ending ---

/// From the stop signal to the end of the last call. A close of ours hangs up on a patient.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(15 * 60);

/// Past the deadline, for sessions to notice it and for their Close frames to be answered.
pub const LAST_WORDS: Duration = Duration::from_secs(3);
/// After its drain, or a second signal, a server has this long to end by itself: its last words, its workers' ends,
/// the Close frames of its calls, and something for a busy machine.
pub const END_DEADLINE: Duration = Duration::from_secs(10);
/// How often the number of live calls is looked at while draining.
pub const IDLE_POLL: Duration = Duration::from_millis(20);

// --- The launcher's documents ---

/// A configuration, certificate chain or key read from a descriptor, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 64 * 1024;
/// Expected handshake signatures in one set: four URL spellings for each of two tokens, twice over.
pub const HANDSHAKE_VALUES_MAX: usize = 16;

// --- The stand-ins for vendors, of the tool and tests only ---

/// From the start of the stand-ins to their listening. Two recognisers are loaded, 0.7 s each where nothing
/// else runs.
pub const LOCAL_VENDORS_START_DEADLINE: Duration = Duration::from_secs(30);
/// From the end of their input to their own end, before they are ended.
pub const LOCAL_VENDORS_STOP_DEADLINE: Duration = Duration::from_secs(5);
/// One line of theirs, in bytes: a request to a language model holds the whole conversation.
pub const LOCAL_VENDORS_LINE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Events of theirs that wait to be looked at; a call causes some hundreds.
pub const LOCAL_VENDORS_EVENTS_MAX: usize = 10_000;

// The figures agree with each other, or nothing compiles.
const _: () = {
    assert!(FRAME_BYTES as u64 == FRAME_MS * BYTES_PER_MS as u64);
    assert!(PLAYOUT_MESSAGE_MS.is_multiple_of(FRAME_MS));
    assert!(PLAYOUT_LEAD_MS > PLAYOUT_MESSAGE_MS);
    assert!(WRITE_BUFFER_BYTES < WRITE_BUFFER_BYTES_MAX);
    assert!(PAYLOAD_BYTES_MAX * 4 / 3 < MESSAGE_BYTES_MAX);
    assert!(METRICS_LINE_BYTES_MAX + LOG_CHAIN_BYTES_MAX < LOG_LINE_BYTES_MAX);
    assert!(RECOGNISER_PIECE_MS >= 2 * FRAME_MS && RECOGNISER_PIECE_MS <= BACKLOG_MS_MAX);
    assert!(VENDOR_READ_BUFFER_BYTES >= 8 * 1024);
    assert!(MINT_DEADLINE.as_millis() < DIAL_ANSWER_DEADLINE.as_millis());
    assert!(SILENT_REPLACEABLE_AFTER.as_millis() < SILENT_PING_AFTER.as_millis());
    assert!(SILENT_PING_AFTER.as_millis() < SILENT_DROP_AFTER.as_millis());
};
