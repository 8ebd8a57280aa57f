//! Limits of the way to the log sink: the spool, one request and its answer, and the pauses between.

use std::time::Duration;

/// What waits for the log sink, in bytes of memory. A call writes about 10 KiB, so this is 1,600 calls: nine minutes of
/// three new calls a second.
pub const LOG_SPOOL_BYTES: usize = 16 * 1024 * 1024;
/// The smallest spool that an entry may ask for: the start of a server, and a few calls.
pub const LOG_SPOOL_BYTES_MIN: usize = 32 * 1024;
/// The largest: the process that writes the log must stay small beside the calls.
pub const LOG_SPOOL_BYTES_MAX: usize = 256 * 1024 * 1024;
/// What a record takes beside its text, in bytes: its number, its place in the queue, and what the allocator adds.
pub const LOG_SPOOL_RECORD_BYTES: usize = 64;
/// A spool that was full takes records again once it is this much emptier, in quarters of its size: a gap is named by one
/// record, not by one for each record that gets through.
pub const LOG_SPOOL_ROOM_QUARTERS: usize = 1;
/// One request to the log sink, in bytes of records. Web servers in front of collectors take 1 MiB by default.
pub const SINK_BATCH_BYTES_MAX: usize = 256 * 1024;
/// After one that was too much for the sink requests are half as long; so many must be taken before twice that is tried again.
/// Each try that fails costs a pause.
pub const SINK_BATCH_TRIES: u32 = 64;
/// Between requests that are not full.
pub const SINK_BATCH_PAUSE: Duration = Duration::from_millis(250);
/// One request, from its first byte to the last of the answer.
pub const SINK_ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// The head of an answer, in bytes.
pub const SINK_ANSWER_BYTES_MAX: usize = 8 * 1024;
/// Header fields of an answer.
pub const SINK_ANSWER_FIELDS_MAX: usize = 64;
/// The body of an answer, in bytes: it is read past and not looked at.
pub const SINK_ANSWER_BODY_BYTES_MAX: u64 = 64 * 1024;
/// What is read of a connection before the next pipe has its turn, in bytes: `log` has one thread.
pub const SINK_PUMP_BYTES_MAX: usize = 64 * 1024;
/// What a sink may send without saying anything, in bytes from one piece of an answer to the next: its certificates, which TLS libraries
/// limit to 64 KiB, and tickets, of which servers send two to four.
pub const SINK_MUTE_BYTES_MAX: usize = 128 * 1024;
/// The pause after a failure, which doubles from one to the next.
pub const SINK_PAUSE_MIN: Duration = Duration::from_millis(500);
/// The longest pause, also when the sink asks for a longer one.
pub const SINK_PAUSE_MAX: Duration = Duration::from_secs(15);
/// A connection is given back so long before its time is over.
pub const SINK_LIFE_SLACK: Duration = Duration::from_secs(15);
/// Connections to the sink at one time: `log` has one, and those before it end at once.
pub const SINK_CONNECTIONS_MAX: usize = 4;
/// What is still waiting when everyone else has ended may take this long to arrive.
pub const SINK_FLUSH_DEADLINE: Duration = Duration::from_secs(3);
/// What the broker and the launcher say about the log sink, in bytes of JSON.
pub const SINK_PLAN_BYTES_MAX: usize = 4 * 1024;
