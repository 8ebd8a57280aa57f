"""What the checks stand on: the stand-ins as a child process, and clients that share no code with them.

HTTP is the standard library's; WebSockets are the client of websockets.
"""
import http.client
import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlencode

from websockets.sync.client import connect

PATIENCE_S = 20
# A recogniser that nobody has made ready loads its model first: seconds, and more on a machine that has other work.
EAR_S = 60
KEYS = {"asr": "asr key 0123456789 0123456789 0123456789", "llm": "llm key 0123456789 0123456789 0123456789",
        "tts": "tts key 0123456789 0123456789 0123456789"}
LISTEN = {"model": "nova-3", "encoding": "mulaw", "sample_rate": "8000", "channels": "1",
          "interim_results": "true", "endpointing": "300", "mip_opt_out": "true"}
SPEAK = {"model": "aura-2", "encoding": "mulaw", "sample_rate": "8000", "container": "none", "mip_opt_out": "true"}
QUIET = b"\xff"


class StandIns:
    """serve.py, its events and its faults. It is ended by the end of its input."""

    def __init__(self, identities, **changes):
        self.certificate = identities["ca"]
        self.ca = ssl.create_default_context(cadata=identities["ca"])
        must = {"asr": {"mip_opt_out": "true"}, "llm": {"store": False}, "tts": {"mip_opt_out": "true"}}
        settings = {"address": "127.0.0.1", **{
            name: {**identities[name], "api_key": KEYS[name], "must": must[name],
                   "credential": "signed-token" if name == "llm" else "token", **changes.get(name, {})}
            for name in KEYS}}
        self.hosts = {name: identities[name]["host"] for name in KEYS}
        serve = Path(__file__).with_name("serve.py")
        self.process = subprocess.Popen([sys.executable, "-W", "ignore", str(serve)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.say(settings)
        self.ports = json.loads(self.process.stdout.readline())["listening"]
        self.events, self.changed = [], threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()

    def say(self, value):
        self.process.stdin.write(json.dumps(value) + "\n")
        self.process.stdin.flush()

    def read(self):
        for line in self.process.stdout:
            with self.changed:
                self.events.append(json.loads(line))
                self.changed.notify_all()

    def mark(self):
        """A place in the events."""
        with self.changed:
            return len(self.events)

    def seen(self, event, since=0, **fields):
        return [each for each in self.events[since:] if each["event"] == event
                and all(each.get(name) == value for name, value in fields.items())]

    def wait(self, event, since=0, **fields):
        """The first such event after a place."""
        with self.changed:
            there = self.changed.wait_for(lambda: self.seen(event, since, **fields), PATIENCE_S)
            assert there, f"no {event} with {fields} in {self.events[since:]}"
            return self.seen(event, since, **fields)[0]

    def fault(self, service, kind=None, **fields):
        since = self.mark()
        self.say({"fault": {service: {"kind": kind, **fields} if kind else None}})
        self.wait("fault_set", since)

    def stop(self):
        self.process.stdin.close()
        return self.process.wait(PATIENCE_S)

    # --- Clients ---

    def raw(self, service):
        return socket.create_connection(("127.0.0.1", self.ports[service]), PATIENCE_S)

    def tls(self, service, name=None, *, trusts_nobody=False):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if trusts_nobody else self.ca
        return context.wrap_socket(self.raw(service), server_hostname=name or self.hosts[service])

    def https(self, service):
        connection = http.client.HTTPConnection(self.hosts[service])
        connection.sock = self.tls(service)
        return connection

    def post(self, service, path, body, headers=(), connection=None):
        """(status, headers, body)"""
        one = connection or self.https(service)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        one.request("POST", path, data, {"content-type": "application/json", **dict(headers)})
        answer = one.getresponse()
        content = answer.read()
        if connection is None:
            one.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content

    def token(self, service, ttl_s=30):
        status, _, body = self.post(service, "/v1/auth/grant", {"ttl_seconds": ttl_s},
                                    {"authorization": f"Token {KEYS[service]}"})
        assert status == 200, body
        return json.loads(body)["access_token"]

    def bearer(self, service):
        return {"authorization": f"Bearer {self.token(service)}"}

    def listen(self, headers=None, flags=None):
        query = urlencode(LISTEN if flags is None else flags)
        return connect(f"wss://{self.hosts['asr']}/v1/listen?{query}", sock=self.raw("asr"), ssl=self.ca,
                       server_hostname=self.hosts["asr"], compression=None, max_size=64 * 1024 * 1024, open_timeout=EAR_S,
                       additional_headers=self.bearer("asr") if headers is None else headers)

    def speech(self, text):
        """`text` as the stand-in for speech says it, with quiet around."""
        status, _, audio = self.post("tts", "/v1/speak?" + urlencode(SPEAK), {"text": text}, self.bearer("tts"))
        assert status == 200, audio
        return QUIET * 1_600 + audio + QUIET * 4_800


def transcript(message):
    return message["channel"]["alternatives"][0]["transcript"]


def say(stream, audio, pace=0.0):
    """Sends audio in pieces of 40 ms, `pace` seconds apart."""
    for at in range(0, len(audio), 320):
        stream.send(audio[at:at + 320])
        if pace:
            time.sleep(pace)


def until(stream, is_it, patience_s=PATIENCE_S):
    """Every message up to the first for which `is_it`."""
    messages, end = [], time.monotonic() + patience_s
    while True:
        messages.append(json.loads(stream.recv(timeout=max(0.01, end - time.monotonic()))))
        if is_it(messages[-1]):
            return messages


def is_final(message):
    return message["type"] == "Results" and message["is_final"]
