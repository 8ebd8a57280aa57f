"""Checks that each fault does what it says, at the service that it is set at and as often as it is set."""
import errno
import http.client
import json
import select
import socket
import ssl
import time
from urllib.parse import urlencode

from websockets.exceptions import ConnectionClosed, InvalidStatus

from check_services import BOOK, CHAT, MESSAGES, chat, chat_body, signed
from client import KEYS, PATIENCE_S, SPEAK, is_final, say, transcript, until

TEXT = {"text": "Which day would suit you?"}
SPEAK_PATH = "/v1/speak?" + urlencode(SPEAK)
GONE = (OSError, http.client.HTTPException)


def ask(stand, service, patience_s=30):
    """(status, headers, body, seconds) of an ordinary request, or the name of what went wrong."""
    began = time.monotonic()
    try:
        if service == "tts":
            path, body, headers = SPEAK_PATH, TEXT, {"authorization": f"Token {KEYS['tts']}"}
        else:
            path, body = CHAT, chat_body(BOOK)
            headers = {"authorization": f"Bearer {signed(stand.hosts['llm'])}"}
        connection = stand.https(service)
        connection.sock.settimeout(patience_s)
        return (*stand.post(service, path, body, headers, connection), time.monotonic() - began)
    except GONE as error:
        return type(error).__name__


def hear(stand, audio, patience_s=20):
    """The final words of a stream, or the name of what went wrong."""
    try:
        with stand.listen() as stream:
            say(stream, audio)
            return transcript(until(stream, is_final, patience_s)[-1])
    except InvalidStatus as refused:
        return refused.response.status_code
    except (ConnectionClosed, OSError, ValueError, KeyError, TypeError, http.client.HTTPException) as error:
        return type(error).__name__


def how_it_ends(stand, kind):
    """The error of a connection's socket once the fault has been played: 0 for an ordinary end."""
    stand.fault("llm", kind)
    with stand.tls("llm") as raw:
        body = json.dumps(chat_body(BOOK)).encode()
        raw.sendall(b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % (CHAT.encode(), len(body)) + body)
        ended = select.poll()
        ended.register(raw, select.POLLRDHUP)
        assert ended.poll(1_000 * PATIENCE_S), "it did not end"
        return raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def is_well(stand):
    """Whether all three serve as they should: each fault is over after its times."""
    assert ask(stand, "llm")[0] == ask(stand, "tts")[0] == 200
    assert hear(stand, stand.book) == BOOK.lower()


def check_before(stand):
    stand.book = stand.speech(BOOK)
    is_well(stand)


def check_statuses(stand):
    for kind, status in [("http_429", 429), ("http_402", 402), ("http_500", 500), ("unauthorized", 401)]:
        for service in ("llm", "tts"):
            since = stand.mark()
            stand.fault(service, kind)
            found = ask(stand, service)
            assert found[0] == status and json.loads(found[2]), (kind, service, found)
            assert (found[1].get("retry-after") == "1") == (status == 429)
            assert stand.wait("fault", since, service=service)["kind"] == kind
        stand.fault("asr", kind)
        assert hear(stand, stand.book) == status, kind
    headers = {"authorization": f"Bearer {signed(stand.hosts['llm'])}", "anthropic-version": "2023-06-01"}
    stand.fault("llm", "http_429")
    status, _, body = stand.post("llm", MESSAGES, {}, headers)
    assert status == 429 and json.loads(body)["error"]["type"] == "rate_limit_error", body
    is_well(stand)


def check_times(stand):
    """Twice and no more; 0 until it is changed; a line that is none is said to be none."""
    stand.fault("llm", "http_500", times=2)
    assert [ask(stand, "llm")[0] for _ in range(3)] == [500, 500, 200]
    stand.fault("llm", "http_500", times=0)
    assert [ask(stand, "llm")[0] for _ in range(4)] == [500] * 4
    stand.fault("llm")
    assert ask(stand, "llm")[0] == 200
    for line in [{"fault": {"llm": {"kind": "fire"}}}, {"fault": {"gp": None}}, {"weather": 1}, [1]]:
        since = stand.mark()
        stand.say(line)
        stand.wait("bad_line", since)
    assert ask(stand, "llm")[0] == 200


def check_refuse(stand):
    for service in KEYS:
        stand.fault(service, "refuse")
        try:
            stand.tls(service)
        except (ssl.SSLError, OSError):
            pass
        else:
            raise AssertionError(f"{service} was there")
    is_well(stand)


def check_slow(stand):
    for service in ("llm", "tts"):
        quick = ask(stand, service)[3]
        stand.fault(service, "slow", ms=800)
        slow = ask(stand, service)[3]
        assert slow > 0.8 > quick, (service, quick, slow)
    began = time.monotonic()
    assert hear(stand, stand.book) == BOOK.lower()
    quick = time.monotonic() - began
    stand.fault("asr", "slow", ms=1_000)
    began = time.monotonic()
    assert hear(stand, stand.book) == BOOK.lower()
    slow = time.monotonic() - began
    # Its connection is late too, by as much. How quick it is otherwise is the machine's.
    assert slow > 2 and slow - quick > 1, (quick, slow)


def check_stall(stand):
    """The connection stays and nothing comes."""
    for service in ("llm", "tts"):
        stand.fault(service, "stall")
        assert ask(stand, service, 1) == "TimeoutError", service
    stand.fault("asr", "stall", after_ms=300)
    with stand.listen() as stream:
        time.sleep(0.4)
        say(stream, stand.book)
        try:
            heard = stream.recv(timeout=2)
        except TimeoutError:
            heard = None
        assert heard is None, heard
        stream.send(b"\xff" * 160)
    is_well(stand)


def check_drop(stand):
    """A reset, not an end: in place of an answer and in the middle of one."""
    for service in ("llm", "tts"):
        stand.fault(service, "drop")
        assert ask(stand, service) in ("ConnectionResetError", "RemoteDisconnected", "SSLEOFError"), service
    stand.fault("asr", "drop", after_ms=1_000)
    with stand.listen() as stream:
        began = time.monotonic()
        try:
            stream.recv(timeout=20)
        except ConnectionClosed as closed:
            assert closed.rcvd is None and 0.2 < time.monotonic() - began < 4, closed
        else:
            raise AssertionError("the stream went on")
    assert how_it_ends(stand, "drop") == errno.ECONNRESET
    is_well(stand)


def check_half_close(stand):
    """Our side ends without TLS's goodbye, and theirs may go on."""
    assert how_it_ends(stand, "half_close") == 0
    for service in ("llm", "tts"):
        stand.fault(service, "half_close")
        assert ask(stand, service) in ("SSLEOFError", "RemoteDisconnected", "ConnectionResetError"), service
    stand.fault("asr", "half_close", after_ms=200)
    since = stand.mark()
    with stand.listen() as stream:
        try:
            stream.recv(timeout=20)
        except ConnectionClosed as closed:
            assert closed.rcvd is None, closed
        else:
            raise AssertionError("the stream went on")
    stand.wait("stream_ended", since)
    is_well(stand)


def check_garbage(stand):
    stand.fault("tts", "garbage")
    assert ask(stand, "tts") == "IncompleteRead"
    stand.fault("llm", "garbage", what="framing")
    assert ask(stand, "llm") == "IncompleteRead"
    stand.fault("llm", "garbage")
    assert b"data: {not json\n\n" in ask(stand, "llm")[2]
    stand.fault("llm", "garbage", what="binary")
    found = ask(stand, "llm")[2]
    try:
        found.decode()
    except UnicodeDecodeError:
        pass
    else:
        raise AssertionError(found)
    for what, kind in [("text", str), ("binary", bytes)]:
        stand.fault("asr", "garbage", what=what)
        with stand.listen() as stream:
            message = stream.recv(timeout=20)
            assert isinstance(message, kind), message
            assert message == "<html>no</html>" if kind is str else len(message) == 80
    stand.fault("asr", "garbage", on="grant")
    status, _, body = stand.post("asr", "/v1/auth/grant", {}, {"authorization": f"Token {KEYS['asr']}"})
    assert status == 200 and body.startswith(b"<html>")
    is_well(stand)


def check_huge(stand):
    stand.fault("llm", "huge")
    longest = max(len(line) for line in ask(stand, "llm")[2].split(b"\n"))
    assert longest > 8 * 1024 * 1024
    stand.fault("tts", "huge")
    assert len(ask(stand, "tts")[2]) > 600 * 8_000
    stand.fault("asr", "huge")
    with stand.listen() as stream:
        assert len(stream.recv(timeout=30)) > 8 * 1024 * 1024


def check_lies(stand):
    since = stand.mark()
    stand.fault("llm", "lying", what="advice")
    assert "heart medicine" in chat(stand, BOOK)
    stand.fault("llm", "lying", what="identifier")
    assert "[NAME_9]" in chat(stand, BOOK)
    stand.fault("llm", "lying", what="endless")
    assert len(chat(stand, BOOK).split()) == 100_000
    assert not stand.seen("booking", since)
    _, headers, audio, _ = ask(stand, "tts")
    stand.fault("tts", "lying", what="content_type")
    _, wrong, body, _ = ask(stand, "tts")
    assert wrong["content-type"] == "text/html" and body.startswith(b"<html>")
    stand.fault("tts", "lying", what="rate")
    _, same, long, _ = ask(stand, "tts")
    assert same["content-type"] == headers["content-type"] and abs(len(long) - 2 * len(audio)) < 100
    is_well(stand)


CHECKS = [check_before, check_statuses, check_times, check_refuse, check_slow, check_stall, check_drop,
          check_half_close, check_garbage, check_huge, check_lies]
