"""What callers and the clinic say, as sound: flite speaks, and pocketsphinx says where each known word lies in it.

One JSON line in, one out: {"say": text, "voice": name} gives {"audio": base64 of 8 kHz µ-law, "words": [[word, begin, end]]},
in samples. The words are aligned with the text, not guessed. It ends with its input and writes nothing else.
"""
import asyncio
import audioop
import base64
import json
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "vendors"))

from pocketsphinx import Decoder

from speech import CMN, Upsampler
from tts import speak

# Frames of the recogniser are 10 ms.
FRAME_SAMPLES = 80
# Quieter than this, of 32,767, is the pause behind a word and no part of it.
PAUSE_RMS = 150


def words_of(ulaw, text):
    decoder = Decoder(lm=None, loglevel="FATAL", beam=1e-80, wbeam=1e-60, pbeam=1e-80)
    decoder.set_cmn(CMN)
    decoder.set_align_text(re.sub(r"[^a-z' ]", "", text.lower()))
    decoder.start_utt()
    decoder.process_raw(Upsampler()(ulaw), full_utt=True)
    decoder.end_utt()
    named = [each for each in decoder.seg() if not each.word.startswith(("<", "[", "+", "(", "SIL"))]
    found = []
    for each in named:
        begin, end = each.start_frame * FRAME_SAMPLES, (each.end_frame + 1) * FRAME_SAMPLES
        while end > begin + FRAME_SAMPLES and is_pause(ulaw[end - FRAME_SAMPLES:end]):
            end -= FRAME_SAMPLES
        found.append([re.sub(r"\(\d+\)$", "", each.word), begin, end])
    return found


def is_pause(ulaw):
    return audioop.rms(audioop.ulaw2lin(ulaw, 2), 2) < PAUSE_RMS


def main():
    for line in sys.stdin:
        asked = json.loads(line)
        ulaw = audioop.lin2ulaw(asyncio.run(speak(asked["say"], asked["voice"])), 2)
        answer = {"audio": base64.b64encode(ulaw).decode(), "words": words_of(ulaw, asked["say"])}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
