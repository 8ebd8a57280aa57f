"""The vendors' own clients against the stand-ins: what they read is what was meant, and they know its errors.

Their packages are those of oracles/requirements.txt. They are told of `localhost`, the only name that leads
here without a name server.
"""
import os
import tempfile

import anthropic
import httpx
import httpx2
import openai
from deepgram import DeepgramClient
from deepgram.core.api_error import ApiError
from deepgram.environment import DeepgramClientEnvironment
from deepgram.listen.v1.types.listen_v1metadata import ListenV1Metadata
from deepgram.listen.v1.types.listen_v1results import ListenV1Results
from deepgram.listen.v1.types.listen_v1speech_started import ListenV1SpeechStarted
from deepgram.listen.v1.types.listen_v1utterance_end import ListenV1UtteranceEnd

from check_services import BOOK, signed
from client import KEYS, LISTEN, QUIET, SPEAK

ASKED = [{"role": "user", "content": BOOK}]
REPLY = "Certainly. Which day would suit you?"
SHAPES = {"Results": ListenV1Results, "SpeechStarted": ListenV1SpeechStarted,
          "UtteranceEnd": ListenV1UtteranceEnd, "Metadata": ListenV1Metadata}


def chat(stand, token):
    """The reply by OpenAI's client."""
    sdk = openai.OpenAI(base_url=f"https://localhost:{stand.ports['llm']}/v1", api_key=token, max_retries=0,
                        http_client=httpx2.Client(verify=stand.ca))
    chunks = list(sdk.chat.completions.create(model="gpt", messages=ASKED, stream=True, store=False))
    assert chunks[-1].choices[0].finish_reason == "stop", chunks[-1]
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def messages(stand, token):
    """The reply by Anthropic's client."""
    sdk = anthropic.Anthropic(base_url=f"https://localhost:{stand.ports['llm']}", auth_token=token, max_retries=0,
                              http_client=httpx2.Client(verify=stand.ca))
    with sdk.messages.stream(model="claude", max_tokens=100, messages=ASKED, extra_body={"store": False}) as stream:
        words = list(stream.text_stream)
        final = stream.get_final_message()
    assert final.stop_reason == "end_turn" and len(words) == 6, final
    assert final.content[0].text == "".join(words), final
    return "".join(words)


def raises(kind, call):
    """What the call raises, which must be exactly of that kind."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def check_openai(stand):
    token = signed(stand.hosts["llm"])
    assert chat(stand, token) == REPLY
    raises(openai.AuthenticationError, lambda: chat(stand, "x"))
    stand.fault("llm", "http_429")
    raises(openai.RateLimitError, lambda: chat(stand, token))
    stand.fault("llm", "http_500")
    raises(openai.InternalServerError, lambda: chat(stand, token))


def check_anthropic(stand):
    token = signed(stand.hosts["llm"])
    assert messages(stand, token) == REPLY
    raises(anthropic.AuthenticationError, lambda: messages(stand, "x"))
    stand.fault("llm", "http_429")
    raises(anthropic.RateLimitError, lambda: messages(stand, token))
    stand.fault("llm", "http_500")
    raises(anthropic.InternalServerError, lambda: messages(stand, token))


def deepgram(stand, service, **credential):
    """Deepgram's client for one service."""
    at = f"localhost:{stand.ports[service]}"
    places = DeepgramClientEnvironment(base=f"https://{at}", production=f"wss://{at}", agent=f"wss://{at}",
                                       agent_rest=f"https://{at}")
    return DeepgramClient(environment=places, httpx_client=httpx.Client(verify=stand.ca), max_retries=0, **credential)


def check_deepgram(stand):
    granted = deepgram(stand, "asr", api_key=KEYS["asr"]).auth.v1.tokens.grant(ttl_seconds=30)
    assert granted.expires_in == 30, granted
    sdk = deepgram(stand, "asr", access_token=granted.access_token)
    audio = stand.speech(BOOK) + QUIET * 10_000
    heard = []
    # Its WebSocket asks the environment whom to trust.
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(stand.certificate)
        file.flush()
        os.environ["SSL_CERT_FILE"] = file.name
        with sdk.listen.v1.connect(**LISTEN, vad_events="true", utterance_end_ms="1000") as stream:
            for at in range(0, len(audio), 320):
                stream.send_media(audio[at:at + 320])
            stream.send_close_stream()
            for message in stream:
                # It reads anything; its own models say whether it is what they know.
                heard.append(SHAPES[message.type].model_validate(message.model_dump()))
        del os.environ["SSL_CERT_FILE"]
    assert {message.type for message in heard} == set(SHAPES), heard
    assert BOOK.lower() in [message.channel.alternatives[0].transcript for message in heard
                            if message.type == "Results" and message.is_final]
    raises(ApiError, lambda: deepgram(stand, "asr", api_key="x").auth.v1.tokens.grant())

    speak = {**SPEAK, "sample_rate": 8_000}
    spoken = b"".join(deepgram(stand, "tts", api_key=KEYS["tts"]).speak.v1.audio.generate(text=BOOK, **speak))
    assert 8_000 < len(spoken) < 32_000, len(spoken)
    refused = raises(ApiError, lambda: b"".join(
        deepgram(stand, "tts", api_key=KEYS["tts"]).speak.v1.audio.generate(text="a" * 2_001, **speak)))
    assert refused.status_code == 413, refused


CHECKS = [check_openai, check_anthropic, check_deepgram]
