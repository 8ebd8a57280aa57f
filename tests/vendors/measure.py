"""What the recogniser makes of flite's voices over 8 kHz µ-law: one JSON object a line, the same each time.

Each has the set, voice, model, what was said, what was heard, and whether that would have booked: as the
first sentence of a dialogue, and in answer to the summary, where a false yes would do harm. The path is the
server's own, endpointing included, without the network. No clock is asked.
"""
import asyncio
import audioop
import json
import multiprocessing
from pathlib import Path

from asr import Listener
from dialogue import answer
from speech import MODELS
from tts import VOICES, speak

SENTENCES = json.loads(Path(__file__).with_name("sentences.json").read_text())
FLAGS = {"endpointing": "300"}
LEAD, TRAIL = b"\xff" * 1_600, b"\xff" * 8_000
ASKED = ["I would like to book an appointment", "Tuesday", "at ten", "[NAME_1]", "[BIRTH_DATE_1]"]


def books(heard):
    """Whether these words book an appointment, first or in answer to the summary."""
    before = [{"role": "user", "content": text} for text in ASKED]
    summary, _ = answer(before)
    before.append({"role": "assistant", "content": summary})
    said = [{"role": "user", "content": heard}]
    return any(done is not None for _, done in (answer(said), answer(before + said)) if heard)


def hear(recogniser, audio):
    """The final words of an utterance, or of its parts."""
    finals = []

    def say(kind, message):
        if kind == "Results" and message["is_final"]:
            finals.append(message["channel"]["alternatives"][0]["transcript"])

    listener = Listener(None, FLAGS, say)
    listener.recogniser = recogniser
    listener.hear(audio)
    listener.finish()
    return " ".join(text for text in finals if text)


def measure(task):
    model, voice = task
    recogniser, rows = MODELS[model](), []
    for name, sentences in SENTENCES.items():
        # The open model is slow, and nothing was chosen with it.
        if model == "open" and not name.endswith("new"):
            continue
        for said in sentences:
            linear = asyncio.run(speak(said, voice))
            heard = hear(recogniser, LEAD + audioop.lin2ulaw(linear, 2) + TRAIL)
            rows.append({"set": name, "voice": voice, "model": model, "said": said.lower(), "heard": heard,
                         "books": books(heard)})
    return rows


if __name__ == "__main__":
    tasks = [(model, voice) for model in MODELS for voice in VOICES]
    with multiprocessing.Pool() as pool:
        for rows in pool.imap(measure, tasks, chunksize=1):
            for row in rows:
                print(json.dumps(row))
