"""The speech vendor's stand-in: flite behind Deepgram's speak v1. 8 kHz µ-law, chunked, faster than it plays.

What it has spoken stays in memory by its text until the process ends, and nowhere else.
"""
import asyncio
import audioop
import tempfile
import wave
from pathlib import Path

from deepgram_shape import DeepgramService

TEXT_CHARS_MAX = 2_000
VOICES = ["slt", "rms", "awb", "kal"]
# A half-band filter for 16 to 8 kHz: (distance, weight). Without it what lies above 4 kHz folds back.
HALF_BAND = [(0, 0.5), (1, 0.3131), (3, -0.0932), (5, 0.0437), (7, -0.0208), (9, 0.0086), (11, -0.0026)]
REACH = HALF_BAND[-1][0]


def halve(linear):
    """16 kHz to 8 kHz, 16 bits."""
    padding = b"\0\0" * REACH
    padded, length, sum_so_far = padding + linear + padding, len(linear), b"\0" * len(linear)
    for distance, weight in HALF_BAND:
        for shift in {-distance, distance}:
            start = 2 * (REACH + shift)
            part = audioop.mul(padded[start:start + length], 2, weight)
            sum_so_far = audioop.add(sum_so_far, part, 2)
    return b"".join(sum_so_far[at:at + 2] for at in range(0, length, 4))


async def speak(text, voice):
    """`text` as 8 kHz linear by flite."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        flite = await asyncio.create_subprocess_exec(
            "flite", "-voice", voice, "-o", str(path), "-t", text)
        if await flite.wait() != 0:
            raise OSError("flite failed")
        with wave.open(str(path)) as file:
            linear, rate = file.readframes(file.getnframes()), file.getframerate()
    return halve(linear) if rate == 16_000 else linear


class Tts(DeepgramService):
    """`POST /v1/speak`."""

    name = "tts"

    def __init__(self, settings, parent):
        super().__init__(settings, parent)
        self.voice = settings.get("voice", "slt")
        if self.voice not in VOICES:
            raise ValueError(f"no such voice: {self.voice}")
        self.spoken = {}

    async def audio(self, text):
        if text not in self.spoken:
            self.spoken[text] = await speak(text, self.voice)
        return audioop.lin2ulaw(self.spoken[text], 2)

    async def handle(self, connection, request):
        if request.path == "/v1/auth/grant" and request.method == "POST":
            await self.grant(connection, request)
        elif request.path == "/v1/speak" and request.method == "POST":
            await self.synthesize(connection, request)
        else:
            await self.refuse(connection, 404, "no such path")

    def refusal(self, request):
        """(status, why) of what is wrong with a request, or None."""
        wrong = self.wrong_with(request, {"encoding": "mulaw", "sample_rate": "8000", "container": "none"})
        if wrong:
            return wrong
        body = request.json()
        text = body.get("text") if body else None
        if not request.headers.get("content-type", "").startswith("application/json") or not body:
            return 400, "the body is no JSON object"
        if set(body) != {"text"} or not isinstance(text, str) or not text.strip():
            return 400, "text is missing, empty or not alone"
        if len(text) > TEXT_CHARS_MAX:
            return 413, f"the text is longer than {TEXT_CHARS_MAX} characters"
        return None

    async def synthesize(self, connection, request):
        fault = await self.begin_fault(connection, "data")
        if fault and fault.status:
            return
        refusal = self.refusal(request)
        if refusal:
            await self.refuse(connection, *refusal)
            return
        text = request.json()["text"]
        self.parent.tell("synthesis", service=self.name, connection=connection.number, text=text)
        wait = asyncio.create_task(asyncio.sleep(self.between("first_byte_ms", (0, 0))))
        audio = await self.audio(text)
        await wait
        kind, what = "audio/mulaw", fault.what if fault else ""
        if fault and fault.kind == "lying":
            if what == "content_type":
                kind, audio = "text/html", b"<html><body>Service notice</body></html>"
            else:
                # Twice the samples: what is said would be heard at half its speed.
                linear = audioop.ulaw2lin(audio, 2)
                audio = audioop.lin2ulaw(audioop.ratecv(linear, 2, 1, 8_000, 16_000, None)[0], 2)
        elif fault and fault.kind == "huge":
            # Ten minutes and more, whatever was asked for.
            audio *= 1 + 600 * 8_000 // max(len(audio), 1)
        headers = {"content-type": kind, "transfer-encoding": "chunked", "dg-char-count": str(len(text)),
                   "dg-model-name": dict(request.flags)["model"], **self.request_id()}
        await connection.begin(200, headers)
        if fault and fault.kind == "garbage":
            await connection.write(b"zz\r\nnot a chunk\r\n")
            connection.break_now("half_close")
            return
        await self.send_audio(connection, audio)
        self.parent.tell("spoken", service=self.name, connection=connection.number, bytes=len(audio))

    async def send_audio(self, connection, audio):
        size = self.settings.get("chunk_bytes", 1_600)
        speed = self.settings.get("speed", 0)
        for at in range(0, len(audio), size):
            await connection.send(audio[at:at + size])
            if speed:
                await asyncio.sleep(size / 8_000 / speed)
        await connection.end()
