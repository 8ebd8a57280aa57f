"""A caller's mouth and ear: flite says what it is told, pocketsphinx hears what the clinic says.

One JSON line in, one out: {"say": text} gives {"audio": base64 of 8 kHz µ-law}; {"hear": the same} gives
{"text": words}. It knows the sentences of the clinic in clinic_says.gram and nothing of Ward. It ends with its input.
"""
import asyncio
import audioop
import base64
import json
import re
import sys
from pathlib import Path

from pocketsphinx import Decoder

from speech import CMN, Upsampler
from tts import speak

GRAMMAR = Path(__file__).with_name("clinic_says.gram")
# Another one than the clinic's.
VOICE = "rms"


def hear(decoder, ulaw):
    decoder.set_cmn(CMN)
    decoder.start_utt()
    decoder.process_raw(Upsampler()(ulaw), full_utt=True)
    decoder.end_utt()
    found = decoder.hyp()
    return re.sub(r"\(\d+\)", "", found.hypstr) if found else ""


def main():
    # A sentence of the clinic is long: with narrow beams the right way through it is lost.
    decoder = Decoder(lm=None, loglevel="FATAL", beam=1e-80, wbeam=1e-60, pbeam=1e-80)
    decoder.add_jsgf_string("clinic_says", GRAMMAR.read_text())
    decoder.activate_search("clinic_says")
    for line in sys.stdin:
        asked = json.loads(line)
        if "say" in asked:
            linear = asyncio.run(speak(asked["say"], asked.get("voice", VOICE)))
            answer = {"audio": base64.b64encode(audioop.lin2ulaw(linear, 2)).decode()}
        else:
            answer = {"text": hear(decoder, base64.b64decode(asked["hear"]))}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
