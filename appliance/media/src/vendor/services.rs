//! The services of one call, as its session holds them: audio and requests in, reports out.
//!
//! Nothing here waits: what does not fit is dropped and counted, or reported as failed. Three tasks do the work; they
//! end with this.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use ward_call::service::{Report, Request};
use ward_edge::wiped::wiped;
use ward_policy::count::{Count, Counts};
use ward_policy::fault::ServiceFault;
use ward_policy::limit;
use ward_policy::phi::Phi;
use ward_policy::redact::Pseudonym;
use ward_policy::service::Service;

use super::Vendors;
use super::asr_ws::{Recogniser, ToRecogniser};
use super::inbox::{Inbox, Refused};
use super::llm_sse::{Model, ToModel};
use super::route::Route;
use super::tts_stream::{ToVoice, Voice};
use super::warm::Warm;

const PIECE_BYTES: usize = limit::bytes_in_ms(limit::RECOGNISER_PIECE_MS);
const PIECES_MAX: usize = limit::bytes_in_ms(limit::BACKLOG_MS_MAX) / PIECE_BYTES;

/// The services of one call. Dropping it ends them.
pub struct CallServices {
    recogniser: Arc<Inbox<ToRecogniser>>,
    model: Arc<Inbox<ToModel>>,
    voice: Arc<Inbox<ToVoice>>,
    /// Audio that is not a whole piece yet.
    piece: Phi<Vec<u8>>,
    reports: mpsc::Receiver<Report>,
    speech: mpsc::Receiver<Report>,
    /// What failed before it was asked of anybody.
    refused: VecDeque<Report>,
    waker: Option<Waker>,
    bad_messages: Arc<AtomicU32>,
    counts: Counts,
    tasks: [JoinHandle<()>; 2],
}

impl CallServices {
    pub(super) fn open(vendors: &Arc<Vendors>, call: Pseudonym) -> Self {
        let (reporter, reports) = mpsc::channel(limit::REPORTS_WAITING_MAX);
        let (speaker, speech) = mpsc::channel(limit::VOICE_REPORTS_WAITING_MAX);
        let recogniser = Arc::new(Inbox::new(PIECES_MAX));
        let model = Arc::new(Inbox::new(limit::REQUESTS_WAITING_MAX));
        let voice = Arc::new(Inbox::new(limit::REQUESTS_WAITING_MAX));
        let bad_messages = Arc::new(AtomicU32::new(0));
        let turns = [Arc::new(Notify::new()), Arc::new(Notify::new())];
        let [model_turn, voice_turn] = turns.clone();
        let warm = |service| Warm::new(Arc::clone(vendors), call, service);
        let listening = Recogniser {
            vendors: Arc::clone(vendors),
            call,
            route: Route::new(vendors.order(Service::Recogniser)),
            inbox: Arc::clone(&recogniser),
            reports: reporter.clone(),
            turns,
            bad_messages: Arc::clone(&bad_messages),
        };
        // It says goodbye by itself.
        tokio::spawn(wiped(listening.run()));
        let answering = Model {
            warm: warm(Service::Model),
            inbox: Arc::clone(&model),
            turn: model_turn,
            reports: reporter.clone(),
        };
        let speaking = Voice {
            warm: warm(Service::Voice),
            inbox: Arc::clone(&voice),
            turn: voice_turn,
            speech: speaker,
            reports: reporter,
        };
        let tasks = [tokio::spawn(wiped(answering.run())), tokio::spawn(wiped(speaking.run()))];
        Self {
            recogniser,
            model,
            voice,
            piece: Phi::new(Vec::with_capacity(PIECE_BYTES)),
            reports,
            speech,
            refused: VecDeque::new(),
            waker: None,
            bad_messages,
            counts: Counts::default(),
            tasks,
        }
    }

    /// How many bytes of audio can be given now without any being dropped; none when nobody recognises anything any
    /// more.
    #[must_use]
    pub fn audio_room(&self) -> usize {
        let waiting = self.recogniser.look(pieces);
        let free = waiting.map_or(0, |waiting| PIECES_MAX.saturating_sub(waiting));
        free.saturating_mul(PIECE_BYTES).saturating_sub(self.piece.expose().len())
    }

    /// Gives the recogniser audio, the oldest of which is dropped and counted when too much waits.
    pub fn push_audio(&mut self, audio: &[u8]) {
        let mut rest = audio;
        while !rest.is_empty() {
            let room = PIECE_BYTES.saturating_sub(self.piece.expose().len());
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.piece.expose_mut().extend_from_slice(now);
            rest = later;
            if self.piece.expose().len() >= PIECE_BYTES {
                self.send_piece();
            }
        }
    }

    fn send_piece(&mut self) {
        let piece = std::mem::replace(&mut self.piece, Phi::new(Vec::with_capacity(PIECE_BYTES)));
        let dropped = self.recogniser.change(|queue| {
            let is_audio = |one: &ToRecogniser| matches!(one, ToRecogniser::Audio(_));
            let oldest = queue.iter().position(is_audio);
            let oldest = oldest.filter(|_oldest| pieces(queue) >= PIECES_MAX);
            let dropped = oldest.and_then(|oldest| queue.remove(oldest));
            queue.push_back(ToRecogniser::Audio(piece));
            dropped
        });
        if let Some(Some(ToRecogniser::Audio(dropped))) = dropped {
            let ms = dropped.expose().len() / limit::BYTES_PER_MS;
            let ms = u64::try_from(ms).unwrap_or(u64::MAX);
            self.counts.add_ms(Count::BacklogDroppedMs, ms);
        }
    }

    /// Asks for something. What cannot be taken is reported as failed.
    pub fn send(&mut self, request: Request) {
        match request {
            Request::Finalise => self.finalise(),
            Request::Ask { request, prompt } => {
                let asked = self.model.push(ToModel::Ask { request, prompt });
                self.judge(asked, Service::Model, request);
            }
            Request::Cancel { request } => {
                self.refused.retain(|report| !is_of(report, Service::Model, Some(request)));
                // What waits is taken back, what is being answered is ended; another one's end that waits stays.
                self.model.change(|queue| {
                    let waiting = queue.len();
                    let is_wanted = |one: &ToModel| {
                        !matches!(one, ToModel::Ask { request: other, .. } if *other == request)
                    };
                    queue.retain(is_wanted);
                    if queue.len() == waiting {
                        queue.push_front(ToModel::Cancel { request });
                    }
                });
            }
            Request::Say { sentence, text } => {
                let asked = self.voice.push(ToVoice::Say { sentence, text });
                self.judge(asked, Service::Voice, sentence);
            }
            Request::Unsay => {
                self.refused.retain(|report| !is_of(report, Service::Voice, None));
                self.voice.change(|queue| {
                    queue.clear();
                    queue.push_back(ToVoice::Unsay);
                });
                while self.speech.try_recv().is_ok() {}
            }
        }
    }

    fn finalise(&mut self) {
        if !self.piece.expose().is_empty() {
            self.send_piece();
        }
        self.recogniser.change(|queue| {
            // Twice in a row is once.
            if !matches!(queue.back(), Some(ToRecogniser::Finalise)) {
                queue.push_back(ToRecogniser::Finalise);
            }
        });
    }

    fn judge(&mut self, asked: Result<(), Refused>, service: Service, number: u32) {
        let fault = match asked {
            Ok(()) => return,
            Err(Refused::Full) => ServiceFault::Late,
            Err(Refused::Closed) => ServiceFault::Unreachable,
        };
        if self.refused.len() < limit::REQUESTS_WAITING_MAX {
            self.refused.push_back(Report::Failed { service, number, fault });
        }
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// The next report; speech, and what has its place among it, only when the call `takes_audio`. `None` when there
    /// will be no more.
    ///
    /// After [`Request::Unsay`] or [`Request::Cancel`], a report that was on its way may still come; it has the number
    /// of what is not wanted any more.
    pub fn poll_report(
        &mut self,
        context: &mut Context<'_>,
        takes_audio: bool,
    ) -> Poll<Option<Report>> {
        if let Some(report) = self.refused.pop_front() {
            return Poll::Ready(Some(report));
        }
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            self.waker = Some(context.waker().clone());
        }
        let others = self.reports.poll_recv(context);
        if let Poll::Ready(Some(_)) = others {
            return others;
        }
        if !takes_audio {
            return Poll::Pending;
        }
        match self.speech.poll_recv(context) {
            Poll::Ready(None) if others.is_pending() => Poll::Pending,
            speech => speech,
        }
    }

    /// What has been counted since the last time.
    pub fn take_counts(&mut self) -> Counts {
        let mut counts = std::mem::take(&mut self.counts);
        counts.add(Count::VendorBadMessage, self.bad_messages.swap(0, Ordering::Relaxed));
        counts
    }
}

fn pieces(queue: &VecDeque<ToRecogniser>) -> usize {
    queue.iter().filter(|one| matches!(one, ToRecogniser::Audio(_))).count()
}

/// Whether a report is of a failure of that service, and of that request if one is given.
fn is_of(report: &Report, of: Service, request: Option<u32>) -> bool {
    matches!(report, Report::Failed { service, number, .. }
        if *service == of && request.is_none_or(|request| request == *number))
}

impl Drop for CallServices {
    fn drop(&mut self) {
        self.recogniser.close();
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl fmt::Debug for CallServices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallServices(…)")
    }
}
