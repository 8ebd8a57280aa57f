"""Checks of the stand-ins as they should be: what they refuse, and what they say when nothing is wrong."""
import audioop
import json
import ssl
import time
from urllib.parse import urlencode

import jwt
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from client import KEYS, LISTEN, QUIET, SPEAK, is_final, say, transcript, until

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
BOOK = "I would like to book an appointment"


def signed(host, key=KEYS["llm"], ttl_s=30, **claims):
    now = int(time.time())
    return jwt.encode({"aud": host, "iat": now, "exp": now + ttl_s, "iss": "ward", **claims}, key, "HS256")


def chat_body(*texts, **more):
    roles = ["user", "assistant"]
    messages = [{"role": "system", "content": "Names come as [NAME_1]."}]
    messages += [{"role": roles[at % 2], "content": text} for at, text in enumerate(texts)]
    return {"model": "gpt", "stream": True, "store": False, "messages": messages, **more}


def chat(stand, *texts, connection=None, **more):
    """The reply's words by the chat dialect."""
    headers = {"authorization": f"Bearer {signed(stand.hosts['llm'])}"}
    status, _, body = stand.post("llm", CHAT, chat_body(*texts, **more), headers, connection)
    assert status == 200, body
    lines = [line.removeprefix("data: ") for line in body.decode().split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    return "".join(json.loads(line)["choices"][0]["delta"].get("content", "") for line in lines)


def opens(stand, headers=None, flags=None):
    """The status of a listen request: 101, or the refusal's with its error."""
    try:
        stand.listen(headers, flags).close()
    except InvalidStatus as refused:
        error = json.loads(refused.response.body)
        assert set(error) == {"err_code", "err_msg", "request_id"}, error
        return refused.response.status_code
    return 101


def check_grants(stand):
    good = {"authorization": f"Token {KEYS['asr']}"}
    for headers, body, expected in [
        (good, {"ttl_seconds": 30}, 200), (good, b"", 200), (good, {"ttl_seconds": 0}, 400),
        (good, {"ttl_seconds": 3_601}, 400), (good, {"ttl_seconds": "30"}, 400), (good, b"[]", 400), ({}, {}, 401),
        ({"authorization": f"Token {KEYS['tts']}"}, {}, 401),
        ({"authorization": f"Bearer {stand.token('asr')}"}, {}, 401),
    ]:
        status, _, answer = stand.post("asr", "/v1/auth/grant", body, headers)
        assert status == expected, (headers, body, status, answer)
        if expected == 200:
            assert json.loads(answer)["expires_in"] == 30
    assert stand.post("asr", "/v1/elsewhere", {}, good)[0] == 404


def check_listen_tokens(stand):
    expired = stand.token("asr", 0.05)
    time.sleep(0.1)
    token = stand.token("asr")
    head, claims, signature = token.split(".")
    none = jwt.encode(jwt.decode(token, options={"verify_signature": False}), None, algorithm="none")
    for bad in [expired, stand.token("tts"), signed(stand.hosts["asr"]), f"{head}.{claims}.", none, "x",
                f"{head}.{claims}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}", ""]:
        assert opens(stand, {"authorization": f"Bearer {bad}"}) == 401, bad
    assert opens(stand, {}) == 401
    assert opens(stand, {"authorization": "Token wrong"}) == 401
    assert opens(stand, {"authorization": f"Bearer {token}"}) == 101
    assert opens(stand, {"authorization": f"Token {KEYS['asr']}"}) == 101


def check_listen_flags(stand):
    for name in ["model", "encoding", "sample_rate", "mip_opt_out"]:
        assert opens(stand, flags={key: value for key, value in LISTEN.items() if key != name}) == 400, name
    for change in [("encoding", "linear16"), ("sample_rate", "16000"), ("channels", "2"), ("mip_opt_out", "false"),
                   ("endpointing", "soon")]:
        assert opens(stand, flags={**LISTEN, change[0]: change[1]}) == 400, change
    assert opens(stand, flags=[*LISTEN.items(), ("model", "again")]) == 400
    since = stand.mark()
    assert opens(stand) == 101
    request = stand.wait("request", since, path="/v1/listen")
    assert request["token"] == "good" and ["mip_opt_out", "true"] in request["flags"], request
    assert "authorization" in request["headers"]
    connection = stand.wait("connection", since, service="asr")
    assert connection["tls"] == "TLSv1.3" and connection["sni"] == stand.hosts["asr"], connection


def check_names(stand):
    since = stand.mark()
    try:
        stand.tls("asr", "other.local.example")
    except ssl.SSLError:
        assert stand.wait("tls_failed", since)
    else:
        raise AssertionError("a name that is not its own was served")
    try:
        stand.tls("asr", stand.hosts["asr"], trusts_nobody=True)
    except ssl.SSLError:
        pass
    else:
        raise AssertionError("a certificate that nobody vouches for was taken")
    stand.tls("asr").close()


def check_speech(stand):
    """A sentence in pieces, as a call sends it: partials, one final, in the vendor's words."""
    flags = {**LISTEN, "vad_events": "true", "utterance_end_ms": "1000"}
    audio = stand.speech(BOOK)
    with stand.listen(flags=flags) as stream:
        since = stand.mark()
        say(stream, audio, pace=0.04)
        final = until(stream, is_final)
        say(stream, QUIET * 8_000)
        ended = until(stream, lambda message: message["type"] == "UtteranceEnd")[-1]
        stream.send(json.dumps({"type": "CloseStream"}))
        metadata = until(stream, lambda message: message["type"] == "Metadata")[-1]
    assert final[0]["type"] == "SpeechStarted" and final[0]["timestamp"] < 0.4, final[0]
    partials = [transcript(message) for message in final[1:-1]]
    assert len(partials) >= 3 and all(a != b for a, b in zip(partials, partials[1:])), partials
    last, [found] = final[-1], final[-1]["channel"]["alternatives"]
    assert found["transcript"] == BOOK.lower() and last["speech_final"] and not last["from_finalize"], last
    assert [word["word"] for word in found["words"]] == BOOK.lower().split()
    assert all(0 <= word["start"] < word["end"] for word in found["words"]), found["words"]
    assert 0.5 <= found["confidence"] <= 1 and 1 < last["duration"] < 4, last
    assert ended["last_word_end"] > 1 and metadata["channels"] == 1
    assert abs(metadata["duration"] - (len(audio) / 8_000 + 1)) < 0.05, metadata
    assert not stand.seen("audio_too_fast", since)
    assert stand.wait("utterance", since)["text"] == BOOK.lower()


def check_finalize(stand):
    audio = stand.speech(BOOK)[:-4_800]
    with stand.listen(flags={**LISTEN, "interim_results": "false", "endpointing": "2000"}) as stream:
        say(stream, audio)
        stream.send(json.dumps({"type": "Finalize"}))
        [final] = until(stream, lambda message: True)
        assert final["from_finalize"] and not final["speech_final"], final
        assert transcript(final) == BOOK.lower(), final
        stream.send(json.dumps({"type": "Finalize"}))
        [empty] = until(stream, lambda message: True)
        assert empty["from_finalize"] and transcript(empty) == "", empty
        stream.send("hello")
        try:
            stream.recv(timeout=5)
        except ConnectionClosedError as closed:
            assert closed.rcvd.code == 1008, closed
        else:
            raise AssertionError("text that is no control message was taken")


def check_silence(stand):
    """Ten seconds of nothing end a stream; KeepAlive does not let it be nothing."""
    with stand.listen() as kept, stand.listen() as silent:
        began = time.monotonic()
        for _ in range(4):
            kept.send(json.dumps({"type": "KeepAlive"}))
            time.sleep(3)
        try:
            silent.recv(timeout=5)
        except ConnectionClosedError as closed:
            assert closed.rcvd.code == 1011 and "NET-0001" in closed.rcvd.reason, closed
        else:
            raise AssertionError("silence was borne")
        say(kept, QUIET * 320)
        assert time.monotonic() - began > 11
        kept.send(json.dumps({"type": "CloseStream"}))
        assert until(kept, lambda message: message["type"] == "Metadata")


def check_pace(stand):
    since = stand.mark()
    with stand.listen() as stream:
        say(stream, QUIET * 15_000)
        stream.send(json.dumps({"type": "CloseStream"}))
        until(stream, lambda message: message["type"] == "Metadata")
    stand.wait("stream_ended", since)
    assert not stand.seen("audio_too_fast", since)
    with stand.listen() as stream:
        say(stream, QUIET * 40_000)
        stand.wait("audio_too_fast", since)


def check_chat_refusals(stand):
    host = stand.hosts["llm"]
    good = {"authorization": f"Bearer {signed(host)}"}
    token = {"authorization": f"Bearer {signed('other.example')}"}
    for headers, body, expected in [
        (good, chat_body(BOOK), 200), ({"x-api-key": KEYS["llm"]}, chat_body(BOOK), 200), ({}, chat_body(BOOK), 401),
        (token, chat_body(BOOK), 401), ({"authorization": f"Bearer {signed(host, ttl_s=-1)}"}, chat_body(BOOK), 401),
        ({"authorization": f"Bearer {signed(host, 'x' * 40)}"}, chat_body(BOOK), 401),
        ({"x-api-key": "x"}, chat_body(BOOK), 401), (good, chat_body(BOOK, store=True), 400),
        (good, {**chat_body(BOOK), "stream": False}, 400), (good, {**chat_body(BOOK), "model": ""}, 400),
        (good, {**chat_body(BOOK), "messages": []}, 400), (good, {**chat_body(BOOK), "messages": "x"}, 400),
        (good, {**chat_body(BOOK), "messages": [{"role": "nurse", "content": "x"}]}, 400), (good, b"{", 400),
    ]:
        status, _, answer = stand.post("llm", CHAT, body, headers)
        assert status == expected, (body, status, answer)
        if expected != 200:
            assert set(json.loads(answer)["error"]) == {"message", "type", "param", "code"}, answer
    assert stand.post("llm", "/v1/other", {}, good)[0] == 404


def check_messages(stand):
    good = {"authorization": f"Bearer {signed(stand.hosts['llm'])}", "anthropic-version": "2023-06-01"}
    body = {"model": "claude", "max_tokens": 100, "stream": True, "store": False, "system": "Be short.",
            "messages": [{"role": "user", "content": [{"type": "text", "text": BOOK}]}]}
    for headers, change, expected in [
        (good, {}, 200), ({**good, "anthropic-version": "1"}, {}, 400), (good, {"max_tokens": None}, 400),
        (good, {"messages": [{"role": "system", "content": "x"}]}, 400), ({}, {}, 401), (good, {"store": None}, 400),
    ]:
        status, _, answer = stand.post("llm", MESSAGES, {**body, **change}, headers)
        assert status == expected, (headers, change, status, answer)
        if expected != 200:
            error = json.loads(answer)
            assert error["type"] == "error" and set(error["error"]) == {"type", "message"}, error
            continue
        events = [part.split("\n") for part in answer.decode().split("\n\n") if part]
        kinds = [event.removeprefix("event: ") for event, _ in events]
        assert kinds[:3] == ["message_start", "content_block_start", "ping"], kinds
        assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"], kinds
        data = [json.loads(line.removeprefix("data: ")) for _, line in events]
        words = [each["delta"]["text"] for each in data if each["type"] == "content_block_delta"]
        assert "".join(words) == "Certainly. Which day would suit you?" and len(words) == 6, words


def check_dialogue(stand):
    """On one connection; an answer that was heard in part changes nothing but the summary's."""
    asked = ["Certainly. Which day would suit you?", "At what time?", "May I have your name, please?",
             "And your date of birth?", "So that is Tuesday at ten for [NAME_1]. Is that right?",
             "Your appointment is booked for Tuesday at ten. Goodbye. [hang up]"]
    said = [BOOK, "Tuesday please.", "At ten.", "[NAME_1]", "[BIRTH_DATE_1]", "Yes."]
    since, history = stand.mark(), []
    connection = stand.https("llm")
    for text, expected in zip(said, asked):
        history.append(text)
        reply = chat(stand, *history, connection=connection)
        assert reply == expected, (history, reply)
        history.append(reply)
    booking = stand.wait("booking", since)
    assert (booking["day"], booking["time"], booking["name"]) == ("Tuesday", "ten", "[NAME_1]"), booking
    assert len(stand.seen("connection", since)) == 1
    since = stand.mark()
    cut = [*history[:3], "At", *history[4:9], "So that is", "Yes."]
    assert chat(stand, *cut) == asked[4], "a summary that was not heard was confirmed"
    for other in ["The weather is lovely today.", "No."]:
        assert "booked" not in chat(stand, *history[:10], other)
    assert chat(stand, "My brother plays football.").startswith("Sorry, I can only help with appointments.")
    assert "from eight to five" in chat(stand, "What are your opening hours?")
    assert chat(stand, BOOK, max_tokens=2) == "Certainly. Which"
    assert not stand.seen("booking", since)


def check_speak(stand):
    path, good = "/v1/speak?" + urlencode(SPEAK), stand.bearer("tts")
    for flags, headers, body, expected in [
        (SPEAK, good, {"text": "Hello."}, 200), (SPEAK, good, {"text": "a " * 1_000}, 200),
        (SPEAK, good, {"text": "a" * 2_001}, 413), (SPEAK, good, {"text": " "}, 400), (SPEAK, good, {}, 400),
        (SPEAK, good, b"hello", 400), (SPEAK, {}, {"text": "Hello."}, 401),
        (SPEAK, {"authorization": f"Token {KEYS['tts']}"}, {"text": "Hello."}, 200),
        (SPEAK, stand.bearer("asr"), {"text": "Hello."}, 401),
        ({**SPEAK, "mip_opt_out": "false"}, good, {"text": "x"}, 400),
        ({**SPEAK, "encoding": "linear16"}, good, {"text": "x"}, 400),
        ({**SPEAK, "container": "wav"}, good, {"text": "x"}, 400),
        ({**SPEAK, "sample_rate": "24000"}, good, {"text": "x"}, 400),
    ]:
        status, _, answer = stand.post("tts", "/v1/speak?" + urlencode(flags), body, headers)
        assert status == expected, (flags, body, status, answer)
        if expected != 200:
            assert set(json.loads(answer)) == {"err_code", "err_msg", "request_id"}, answer
    connection = stand.https("tts")
    for _ in range(2):
        began = time.monotonic()
        status, headers, audio = stand.post("tts", path, {"text": "Which day would suit you?"}, good, connection)
        assert status == 200 and headers["content-type"] == "audio/mulaw" and headers["transfer-encoding"] == "chunked"
        seconds = len(audio) / 8_000
        assert 0.8 < seconds < 3 and time.monotonic() - began < seconds, "slower than it plays"
        assert audioop.rms(audioop.ulaw2lin(audio, 2), 2) > 500, "nothing is heard"
    connection.close()


def check_call(stand):
    """The three together: speech to words to an answer to speech, until there is a booking."""
    history, since = [], stand.mark()
    for text, words in [(BOOK, None), ("Tuesday please", None), ("at ten", None), ("my name is Robert Walker", None),
                        ("the third of may nineteen eighty", None), ("there is a spider on the wall", ""),
                        ("yes that is right", None)]:
        with stand.listen() as stream:
            say(stream, stand.speech(text))
            heard = transcript(until(stream, is_final)[-1])
        assert heard == (text.lower() if words is None else words), (text, heard)
        # What is no sentence of the clinic comes out as nothing, and nobody is asked about nothing.
        if heard:
            history.append(heard)
            history.append(chat(stand, *history))
    assert history[-1].startswith("Your appointment is booked for Tuesday at ten."), history
    assert stand.wait("booking", since)["name"] == "Robert Walker"


CHECKS = [check_grants, check_listen_tokens, check_listen_flags, check_names, check_speech, check_finalize,
          check_silence, check_pace, check_chat_refusals, check_messages, check_dialogue, check_speak, check_call]
