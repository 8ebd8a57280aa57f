"""Speech in, words out: 8 kHz µ-law through pocketsphinx, with the clinic's grammar or the wheel's trigram model.

With the grammar a decoder always finds *something* that the grammar allows. Three rules keep other speech
from coming out as a sentence of the clinic: the words must be a whole sentence, they must fill the time in
which there is speech, and a second decoder that may choose any phones must not explain the sound much better.
"""
import audioop
import math
import re
from pathlib import Path

from pocketsphinx import Decoder, get_model_path

GRAMMAR = Path(__file__).with_name("clinic.gram")
# The cepstral mean that each utterance begins with: flite's voices at 8 kHz. The same for every utterance,
# so that what is recognised does not depend on what was said before.
CMN = "44.3,4.1,0.2,5.3,0.7,-0.2,0,0,-3.8,3.2,-1.3,3.1,-0.4"
# How much better free phones may explain an utterance: in the unit of pocketsphinx' scores, log base 1.0001
# shifted by ten bits. Chosen on flite's voices between clinic sentences and other ones.
DEFICIT_MAX = 3_000
# Frames of 10 ms that a sentence may end before its utterance.
TAIL_FRAMES = 10
# Per cent of the frames of free phones that the words must last: what is left out was said too.
COVER_MIN = 75


def whole_sentence(grammar):
    """A regular expression for the grammar's sentences, each word followed by a space."""
    rules = dict(re.findall(r"<(\w+)> =(.*?);", re.sub(r"/\*.*?\*/", "", grammar, flags=re.S), re.S))
    signs = {"[": "(?:", "(": "(?:", "]": ")?", ")": ")", "|": "|"}

    def expand(body):
        out = []
        for token in re.findall(r"<\w+>|[\[\]()|]|[^\s\[\]()|<>]+", body):
            if token.startswith("<"):
                out.append(f"(?:{expand(rules[token[1:-1]])})")
            else:
                out.append(signs.get(token) or re.escape(token) + " ")
        return "".join(out)

    return re.compile(expand(rules["utterance"]))


def words_of(decoder):
    """(word, first, last) in frames of 10 ms, without silences, noises and the numbers of pronunciations."""
    plain = [each for each in decoder.seg() if not each.word.startswith(("<", "[", "+", "SIL"))]
    return [(re.sub(r"\(\d+\)$", "", each.word), each.start_frame, each.end_frame) for each in plain]


def frames(words):
    return sum(last - first + 1 for _, first, last in words)


class Upsampler:
    """8 kHz µ-law to 16 kHz linear, piece by piece."""

    def __init__(self):
        self.state = None

    def __call__(self, ulaw):
        linear = audioop.ulaw2lin(ulaw, 2)
        wide, self.state = audioop.ratecv(linear, 2, 1, 8_000, 16_000, self.state)
        return wide


class GrammarRecogniser:
    """The clinic's sentences, and nothing for anything else."""

    def __init__(self):
        grammar = GRAMMAR.read_text()
        self.sentences = whole_sentence(grammar)
        self.words = Decoder(lm=None, loglevel="FATAL")
        self.words.add_jsgf_string("clinic", grammar)
        self.words.activate_search("clinic")
        phones = get_model_path("en-us/en-us-phone.lm.bin")
        self.phones = Decoder(lm=None, allphone=phones, lw=2.0, beam=1e-20, pbeam=1e-20, loglevel="FATAL")

    def begin(self):
        self.upsample = Upsampler()
        for decoder in (self.words, self.phones):
            decoder.set_cmn(CMN)
            decoder.start_utt()

    def feed(self, ulaw):
        linear = self.upsample(ulaw)
        self.words.process_raw(linear)
        self.phones.process_raw(linear)

    def partial(self):
        hypothesis = self.words.hyp()
        return hypothesis.hypstr if hypothesis else ""

    def end(self):
        """(words, confidence, [(word, first, last)] in frames of 10 ms)."""
        self.words.end_utt()
        self.phones.end_utt()
        found, free = self.words.hyp(), self.phones.hyp()
        if not found or not free or not self.sentences.fullmatch(found.hypstr + " "):
            return "", 0.0, []
        words, phones = words_of(self.words), words_of(self.phones)
        reached = max((each.end_frame for each in self.words.seg()), default=0)
        deficit = (math.log(free.score) - math.log(found.score)) / math.log(1.0001)
        is_cut = reached < self.words.n_frames() - TAIL_FRAMES
        if is_cut or 100 * frames(words) < COVER_MIN * frames(phones) or deficit > DEFICIT_MAX:
            return "", 0.0, []
        confidence = round(1 - max(deficit, 0) / DEFICIT_MAX / 2, 3)
        return found.hypstr, confidence, words


class OpenRecogniser:
    """Any words of the wheel's dictionary, by its trigram model: more like a vendor, and less sure."""

    def __init__(self):
        self.decoder = Decoder(loglevel="FATAL")

    def begin(self):
        self.upsample = Upsampler()
        self.decoder.set_cmn(CMN)
        self.decoder.start_utt()

    def feed(self, ulaw):
        self.decoder.process_raw(self.upsample(ulaw))

    def partial(self):
        hypothesis = self.decoder.hyp()
        return hypothesis.hypstr if hypothesis else ""

    def end(self):
        """As the other's."""
        self.decoder.end_utt()
        found = self.decoder.hyp()
        if not found:
            return "", 0.0, []
        return found.hypstr, 0.8, words_of(self.decoder)


MODELS = {"grammar": GrammarRecogniser, "open": OpenRecogniser}
