//! The webhook, asked of both servers that answer it: `ward-twiml`, and `apps/web` under `next start`.
//!
//! One table of requests, row by row. Where the platform around a server decides, the row says so.

mod ask;
mod answers;
mod refusals;
mod headers;
mod random;
mod spoken;
mod page;
