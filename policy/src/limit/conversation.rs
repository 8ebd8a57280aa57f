//! The limits of a conversation and of what is said to vendors, each with its unit and its reason.

use std::time::Duration;

// --- A conversation ---

/// What the caller says in one turn, in bytes: minutes of speech.
pub const UTTERANCE_CHARS_MAX: usize = 4_000;
/// A sentence of ours, in bytes: about fifteen seconds. A longer one is cut at a space.
pub const SENTENCE_CHARS_MAX: usize = 240;
/// A reply of the model, in bytes: about a minute.
pub const REPLY_CHARS_MAX: usize = 1_000;
/// Audio of one sentence that is accounted for, in frames: 30 s.
pub const SENTENCE_FRAMES_MAX: usize = 1_500;
/// Speech takes about this long per letter, in milliseconds: 160 words a minute.
pub const SPEECH_MS_PER_CHAR: usize = 75;
/// Speech of a sentence may take so many times as long as [`SPEECH_MS_PER_CHAR`] has it.
pub const SPEECH_SLOWNESS_MAX: usize = 4;
/// And this much longer, in milliseconds: silence around it, and sentences of one letter.
pub const SPEECH_MORE_MS_MAX: usize = 3_000;
/// Lines of a conversation that a model is told.
pub const HISTORY_LINES_MAX: usize = 60;
/// The same, in bytes.
pub const HISTORY_CHARS_MAX: usize = 8_000;
/// Speech of the caller that interrupts us, in milliseconds.
pub const BARGE_IN_MS: u64 = 300;
/// Silence after an interruption without a word, before we go on, in milliseconds.
pub const FALSE_INTERRUPTION_MS: u64 = 1_000;
/// So many interruptions without a word in one turn; after them only a word interrupts. A television is heard as a voice.
pub const FALSE_INTERRUPTIONS_MAX: u32 = 2;
/// How often one turn of the caller's is asked again because they seemed to go on and did not; then they are asked.
pub const ASKED_AGAIN_MAX: u32 = 2;
/// A listening noise this shortly before our end is an answer, in milliseconds.
pub const TURN_EDGE_MS: u64 = 1_000;
/// Silence after which a turn is over whose words the recogniser has settled in a pause, in milliseconds. Callers pause
/// for 300 within a sentence; docs/latency.md has what this costs and saves.
pub const TURN_SETTLED_MS: u64 = 400;
/// Silence after which the recogniser is asked to settle what it has, in milliseconds: its own ear for the end is slower.
pub const FINALISE_AFTER_MS: u64 = 160;
/// How long a turn waits for the recogniser to settle words it was asked to, since they changed last. One that answers
/// a second late is waited for: without that, replies begin that the rest of the words cut off.
pub const SETTLE_PATIENCE: Duration = Duration::from_millis(1_300);
/// Silence after which a reply may be begun before the turn is known to be over, in milliseconds. Shorter, the stops
/// within words begin replies; each that is thrown away costs a request and a connection.
pub const GUESS_PAUSE_MS: u64 = 60;
/// The same while the caller speaks on: since the words changed last.
pub const GUESS_STABLE: Duration = Duration::from_millis(300);
/// Replies that are begun in one turn before it is known to be over.
pub const GUESSES_MAX: u32 = 4;
/// Silence after the caller's turn before a filler, in milliseconds.
pub const FILLER_AFTER_MS: u64 = 600;
/// The same when the voice has been asked for the reply: a filler would be heard instead of it, for longer than it takes.
pub const FILLER_NEAR_MS: u64 = 1_000;
/// The caller's turn is over and nothing was said: the call is in trouble, and says so.
pub const REPLY_LATE: Duration = Duration::from_secs(5);
/// The same: the call ends.
pub const REPLY_DEADLINE: Duration = Duration::from_secs(10);
/// The caller has spoken, or interrupted, and no word of it has come.
pub const WORDS_DEADLINE: Duration = Duration::from_millis(2_500);
/// Voice in an utterance without words that is worth asking about, in milliseconds.
pub const MUMBLE_MS_MIN: u64 = 400;
/// Utterances in a row that were not understood before the call ends.
pub const MISSES_MAX: u32 = 3;
/// Turns of one call that a service failed in before it ends.
pub const FAILURES_MAX: u32 = 2;
/// Silence on both sides before we ask whether somebody is there.
pub const STILL_THERE_AFTER: Duration = Duration::from_secs(10);
/// How often we ask before we hang up.
pub const STILL_THERE_MAX: u32 = 2;
/// The last key of several, when no other follows.
pub const KEYS_END: Duration = Duration::from_millis(1_500);
/// A turn that the recogniser has ended ends this long after its last word, whatever the line sounds like.
pub const NOISE_PATIENCE: Duration = Duration::from_secs(1);
/// How often a conversation looks at the time when nothing happens.
pub const TURN_STEP: Duration = Duration::from_millis(50);
/// Turns of one call.
pub const TURNS_MAX: u32 = 200;
/// Speech of a voice that waits to be sent, in milliseconds: past it no more is read from the vendor.
pub const SPEECH_WAITING_MS_MAX: u64 = 1_000;
/// What each stage of a turn should take, in milliseconds.
pub const BUDGET_ASR_MS: u64 = 150;
/// The same for the model and the gate.
pub const BUDGET_LLM_MS: u64 = 150;
/// The same for the voice.
pub const BUDGET_TTS_MS: u64 = 150;

// --- What is said to vendors ---

/// Audio in one message to a recogniser, in milliseconds. Each message is one `send`, the dearest thing about it; vendors
/// advise 20 to 100 ms.
pub const RECOGNISER_PIECE_MS: u64 = 80;
/// Silence after which a recogniser settles its words by itself, in milliseconds. It is a pause and no end of a turn: that
/// is the call's to say, by [`TURN_SETTLED_MS`].
pub const RECOGNISER_ENDPOINTING_MS: u64 = 300;
/// Silence between words after which a recogniser says that an utterance is over, in milliseconds: the least that
/// Deepgram takes.
pub const RECOGNISER_UTTERANCE_END_MS: u64 = 1_000;
/// Without audio for this long, a recogniser is told that we are still there. Deepgram hangs up after 10 s and advises 3
/// to 5 s.
pub const RECOGNISER_KEEP_ALIVE: Duration = Duration::from_secs(4);
/// A recogniser that is asked for its last words and says nothing at all for this long is late. In silence it may say
/// nothing, so audio alone asks for no answer.
pub const RECOGNISER_STALL: Duration = Duration::from_secs(3);
/// One message of a recogniser's, in bytes. Deepgram's, with a time for every word of half a minute, are under 16 KiB.
pub const RECOGNISER_MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// What may wait to be written to a recogniser, in bytes: one message of audio, and answers to its pings.
pub const RECOGNISER_WRITE_BUFFER_BYTES_MAX: usize = 4 * 1024;
/// The text in it, in bytes: half a minute of fast speech is under 1 KiB.
pub const RECOGNISER_TEXT_BYTES_MAX: usize = 4 * 1024;
/// Messages of one connection that make no sense before it is given up.
pub const RECOGNISER_BAD_MESSAGES_MAX: u32 = 8;
/// A connection that has lived this long may be replaced by one to the same vendor when it drops.
pub const RECONNECT_SETTLED_AFTER: Duration = Duration::from_secs(30);
/// The end of a call, for a recogniser: one message, and nobody waits for the answer.
pub const RECOGNISER_GOODBYE_DEADLINE: Duration = Duration::from_millis(250);
/// The head of a vendor's answer to an upgrade, from the request to its last byte.
pub const VENDOR_UPGRADE_DEADLINE: Duration = Duration::from_secs(3);
/// The head of a vendor's answer, in bytes, and the most of a body that is read at once: hyper's least.
pub const VENDOR_READ_BUFFER_BYTES: usize = 8 * 1024;
/// Header fields in the head of a vendor's answer.
pub const VENDOR_HEAD_FIELDS_MAX: usize = 100;
/// What is left of a body after its last word is read for so long, so that its connection can be used again.
pub const VENDOR_BODY_END_DEADLINE: Duration = Duration::from_millis(500);
/// A connection or token that is over within this is replaced when a turn begins.
pub const VENDOR_RENEWED_BEFORE: Duration = Duration::from_secs(15);
/// A model's answer, from the request to the first piece of text. Published medians are 0.2 to 0.4 s; a caller does not
/// wait longer.
pub const MODEL_FIRST_PIECE_DEADLINE: Duration = Duration::from_secs(5);
/// From one piece of it to the next.
pub const MODEL_NEXT_PIECE_DEADLINE: Duration = Duration::from_secs(3);
/// All of it, as far as we wait for the vendor.
pub const MODEL_WHOLE_DEADLINE: Duration = Duration::from_secs(30);
/// All of its text, in bytes: four minutes of speech.
pub const MODEL_TEXT_BYTES_MAX: usize = 4 * 1024;
/// How much a model is allowed to say, in tokens: a minute of speech is 200.
pub const MODEL_TOKENS_MAX: u32 = 512;
/// One event of a model's, in bytes. One token with what goes with it is under 1 KiB.
pub const MODEL_EVENT_BYTES_MAX: usize = 16 * 1024;
/// All events of an answer together, in bytes.
pub const MODEL_ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// A sentence's speech, from the request to the first audio. Published first bytes are 0.1 to 0.3 s.
pub const VOICE_FIRST_PIECE_DEADLINE: Duration = Duration::from_secs(3);
/// From one piece of it to the next: it comes faster than it is spoken.
pub const VOICE_NEXT_PIECE_DEADLINE: Duration = Duration::from_secs(2);
/// All of it, as far as we wait for the vendor.
pub const VOICE_WHOLE_DEADLINE: Duration = Duration::from_secs(20);
/// The speech of one sentence, in milliseconds.
pub const VOICE_SENTENCE_MS_MAX: u64 = 60_000;
/// Audio in one report of a voice's, in bytes: 200 ms.
pub const VOICE_PIECE_BYTES_MAX: usize = 1_600;
/// Reports of speech that wait for the call; past it nothing is read from the vendor.
pub const VOICE_REPORTS_WAITING_MAX: usize = 4;
/// Other reports that wait for the call; past it nothing is read from the vendors.
pub const REPORTS_WAITING_MAX: usize = 16;
/// What one service has been asked and has not begun.
pub const REQUESTS_WAITING_MAX: usize = 16;
