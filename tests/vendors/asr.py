"""The recognition vendor's stand-in: pocketsphinx behind Deepgram's listen v1. 8 kHz µ-law in, words out.

Decoding is done on a thread of each connection, so that one caller's speech never delays another's
connection. It keeps no audio beyond the utterance that it is in.
"""
import asyncio
import json
import queue
import threading
import time
import uuid
from collections import deque

from pocketsphinx import Vad

import audioop
from deepgram_shape import DeepgramService
from speech import MODELS

FRAME_BYTES = 160
FRAME_MS = 20
# Speech begins with this many frames of speech among the last five, and the utterance this long before it.
ONSET_FRAMES = 3
LEAD_FRAMES = 15
PARTIAL_MS = 100
UTTERANCE_MS_MAX = 30_000
# The vendor closes after this long without audio or text.
SILENT_S = 10
NO_DATA = ("NET-0001: Deepgram did not receive audio data or a text message within the timeout window. "
           "See https://dpgr.am/net0001")
# Audio may come in a burst of 2 s, and then this much faster than it was spoken.
BURST_MS = 2_000
PACE_MAX = 1.25
# Frames that wait for the recogniser, at most: a minute.
WAITING_MAX = 3_000


class Decoders:
    """Recognisers that are ready: loading one takes longer than a connection should wait."""

    def __init__(self, model, count):
        self.make, self.ready = MODELS[model], queue.SimpleQueue()
        for _ in range(count):
            self.ready.put(self.make())

    def take(self):
        try:
            return self.ready.get_nowait()
        except queue.Empty:
            return self.make()


class Listener(threading.Thread):
    """Hears one stream: finds utterances in it and says what was said."""

    def __init__(self, decoders, flags, say):
        super().__init__(daemon=True)
        self.decoders, self.say = decoders, say
        self.waiting = queue.Queue(WAITING_MAX)
        self.endpointing_ms = 10 if flags.get("endpointing") is None else int(flags["endpointing"])
        self.has_partials = flags.get("interim_results") == "true"
        self.has_speech_started = flags.get("vad_events") == "true"
        self.utterance_end_ms = int(flags.get("utterance_end_ms", 0))
        self.vad = Vad(2, 8_000, 0.02)
        self.rest = b""
        self.at_ms = 0
        self.utterance_at = None
        self.recent = deque(maxlen=LEAD_FRAMES)
        self.flags_of_speech = deque(maxlen=5)
        self.owes_utterance_end = None
        self.asked_at = None

    def run(self):
        recogniser = self.decoders.take()
        self.recogniser = recogniser
        while True:
            item = self.waiting.get()
            if isinstance(item, bytes):
                self.hear(item)
            elif isinstance(item, float):
                # Finalize, and when it came: what recognition takes is part of what a final text waits.
                self.asked_at = item
                self.finish(from_finalize=True)
                self.asked_at = None
            else:
                if item == "close":
                    self.finish()
                    self.say("closed", None)
                elif self.utterance_at is not None:
                    recogniser.end()
                self.decoders.ready.put(recogniser)
                return

    def hear(self, audio):
        self.rest += audio
        while len(self.rest) >= FRAME_BYTES:
            frame, self.rest = self.rest[:FRAME_BYTES], self.rest[FRAME_BYTES:]
            self.frame(frame)
            self.at_ms += FRAME_MS

    def frame(self, frame):
        is_speech = self.vad.is_speech(audioop.ulaw2lin(frame, 2))
        self.flags_of_speech.append(is_speech)
        if self.utterance_at is None:
            self.recent.append(frame)
            if sum(self.flags_of_speech) >= ONSET_FRAMES:
                self.begin()
            elif self.owes_utterance_end is not None:
                if self.at_ms - self.owes_utterance_end >= self.utterance_end_ms:
                    self.say("UtteranceEnd", {"channel": [0, 1], "last_word_end": self.owes_utterance_end / 1_000})
                    self.owes_utterance_end = None
            return
        self.recogniser.feed(frame)
        self.quiet_ms = 0 if is_speech else self.quiet_ms + FRAME_MS
        if self.quiet_ms >= self.endpointing_ms:
            self.finish(speech_final=True)
        elif self.at_ms - self.utterance_at >= UTTERANCE_MS_MAX:
            self.finish()
        elif self.has_partials and self.at_ms % PARTIAL_MS == 0:
            text = self.recogniser.partial()
            if text and text != self.partial:
                self.partial = text
                self.results(text, 0.5, [])

    def begin(self):
        self.utterance_at = self.at_ms + FRAME_MS - FRAME_MS * len(self.recent)
        self.quiet_ms, self.partial, self.owes_utterance_end = 0, "", None
        if self.has_speech_started:
            self.say("SpeechStarted", {"channel": [0, 1], "timestamp": self.utterance_at / 1_000})
        self.recogniser.begin()
        self.recogniser.feed(b"".join(self.recent))
        self.recent.clear()

    def finish(self, *, speech_final=False, from_finalize=False):
        """The last words of the utterance, if one has begun; Finalize is answered in any case."""
        text, confidence, segments = "", 0.0, []
        if self.utterance_at is not None:
            text, confidence, segments = self.recogniser.end()
        elif not from_finalize:
            return
        begun = self.at_ms if self.utterance_at is None else self.utterance_at
        words = [{"word": word, "punctuated_word": word, "confidence": confidence,
                  "start": begun / 1_000 + first / 100, "end": begun / 1_000 + (last + 1) / 100}
                 for word, first, last in segments]
        self.results(text, confidence, words, is_final=True, speech_final=speech_final,
                     from_finalize=from_finalize)
        self.owes_utterance_end = self.at_ms if self.utterance_end_ms and text else None
        self.utterance_at = None
        self.flags_of_speech.clear()

    def results(self, text, confidence, words, *, is_final=False, speech_final=False, from_finalize=False):
        begun = self.at_ms if self.utterance_at is None else self.utterance_at
        self.say("Results", {
            "channel_index": [0, 1], "duration": (self.at_ms - begun) / 1_000, "start": begun / 1_000,
            "is_final": is_final, "speech_final": speech_final, "from_finalize": from_finalize,
            "channel": {"alternatives": [{"transcript": text, "confidence": confidence, "words": words}]}})


class Asr(DeepgramService):
    """`WSS /v1/listen` and `POST /v1/auth/grant`."""

    name = "asr"

    def __init__(self, settings, parent):
        super().__init__(settings, parent)
        self.model = settings.get("model", "grammar")
        self.decoders = Decoders(self.model, settings.get("ready", 1))

    async def handle(self, connection, request):
        if request.path == "/v1/auth/grant" and request.method == "POST":
            await self.grant(connection, request)
        elif request.path == "/v1/listen" and request.method == "GET":
            await self.listen_to(connection, request)
        else:
            await self.refuse(connection, 404, "no such path")

    def refusal(self, request):
        wrong = self.wrong_with(request, {"encoding": "mulaw", "sample_rate": "8000"})
        flags = dict(request.flags)
        numbers = [flags.get(name, "0") for name in ("endpointing", "utterance_end_ms")]
        if wrong:
            return wrong
        if flags.get("channels", "1") != "1" or not all(number.isdecimal() for number in numbers):
            return 400, "channels must be 1, endpointing and utterance_end_ms numbers"
        return None

    async def listen_to(self, connection, request):
        fault = await self.begin_fault(connection, "data")
        if fault and fault.status:
            return
        refusal = self.refusal(request)
        socket = None if refusal else connection.upgrade(request)
        if refusal or not socket.is_open:
            await self.refuse(connection, *(refusal or (400, "no WebSocket is asked for")))
            return
        await socket.open(self.request_id())
        await Stream(self, connection, socket, dict(request.flags), fault).run()


class Stream:
    """One caller's stream at the stand-in."""

    def __init__(self, service, connection, socket, flags, fault):
        self.service, self.connection, self.socket, self.fault = service, connection, socket, fault
        self.model, self.id = flags["model"], str(uuid.uuid4())
        self.bytes, self.began, self.heard_at = 0, time.monotonic(), time.monotonic()
        self.is_too_fast = False
        self.outgoing = asyncio.Queue()
        loop = asyncio.get_running_loop()
        self.listener = Listener(service.decoders, flags, lambda kind, message: loop.call_soon_threadsafe(
            self.outgoing.put_nowait, (kind, message, self.listener.asked_at or time.monotonic())))

    async def run(self):
        self.listener.start()
        tasks = [asyncio.create_task(work) for work in (self.write(), self.watch(), self.misbehave())]
        try:
            async for message in self.socket.messages():
                self.heard_at = time.monotonic()
                if isinstance(message, bytes):
                    self.hear(message)
                elif not self.control(message):
                    await self.socket.close(1008, "DATA-0000: a text message that is no control message")
        finally:
            self.listener.waiting.put("gone")
            for task in tasks:
                task.cancel()
            self.connection.tell("stream_ended", audio_ms=self.bytes // 8)

    def hear(self, audio):
        self.bytes += len(audio)
        allowed = BURST_MS + PACE_MAX * 1_000 * (time.monotonic() - self.began)
        if self.bytes / 8 > allowed and not self.is_too_fast:
            self.is_too_fast = True
            self.connection.tell("audio_too_fast", audio_ms=self.bytes // 8)
        try:
            self.listener.waiting.put_nowait(audio)
        except queue.Full:
            self.connection.tell("audio_dropped")

    def control(self, text):
        """Whether it is a control message."""
        try:
            kind = json.loads(text)["type"]
        except (ValueError, KeyError, TypeError):
            kind = None
        self.connection.tell("control", type=kind)
        if kind in ("Finalize", "CloseStream"):
            self.listener.waiting.put(time.monotonic() if kind == "Finalize" else "close")
        return kind in ("KeepAlive", "Finalize", "CloseStream")

    async def write(self):
        while True:
            kind, message, said_at = await self.outgoing.get()
            if kind == "closed":
                await self.socket.send(self.metadata())
                await self.socket.close(1000)
                continue
            delay = 0
            if kind == "Results" and not message["is_final"]:
                delay = self.service.between("partial_latency_ms", (0, 0))
            if kind == "Results" and message["is_final"]:
                delay = self.service.between("final_latency_ms", (0, 0))
                alternative = message["channel"]["alternatives"][0]
                self.connection.tell("utterance", text=alternative["transcript"],
                                     confidence=alternative["confidence"], model=self.service.model)
            if self.fault and self.fault.kind == "slow":
                delay += self.fault.ms / 1_000
            await asyncio.sleep(max(0, said_at + delay - time.monotonic()))
            if kind == "Results":
                message["metadata"] = {"request_id": self.id, "model_uuid": self.id, "model_info": {
                    "name": self.model, "version": "stand-in", "arch": "pocketsphinx"}}
            await self.socket.send(json.dumps({"type": kind, **message}))

    async def watch(self):
        while time.monotonic() - self.heard_at < SILENT_S:
            await asyncio.sleep(self.heard_at + SILENT_S - time.monotonic())
        self.connection.tell("timed_out")
        await self.socket.close(1011, NO_DATA)

    async def misbehave(self):
        fault = self.fault
        if fault and fault.kind in ("garbage", "huge"):
            await asyncio.sleep(fault.after_ms / 1_000)
            if fault.kind == "huge":
                words = "word " * (2 * 1024 * 1024)
                alternative = {"transcript": words, "confidence": 1.0, "words": []}
                await self.socket.send(json.dumps({
                    "type": "Results", "channel_index": [0, 1], "duration": 1.0, "start": 0.0, "is_final": True,
                    "speech_final": True, "channel": {"alternatives": [alternative]}}))
            else:
                await self.socket.send(b"\x00\xff" * 40 if fault.what == "binary" else "<html>no</html>")

    def metadata(self):
        return json.dumps({"type": "Metadata", "transaction_key": "deprecated", "request_id": self.id,
                           "sha256": "0" * 64, "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                           "duration": self.bytes / 8_000, "channels": 1})
