"""What the three stand-ins share: certificates, tokens (by PyJWT), faults, and the events for the parent.

A stand-in never dials anybody and never keeps anything: it tells its parent what came, line by line, and
forgets it. Everything that it is told is invented by a test or the demo; nobody's call may be sent here.
"""
import asyncio
import json
import random
import secrets
import ssl
import tempfile
import time
import uuid
from dataclasses import dataclass

import jwt

from connection import Connection

FAULTS = ["slow", "stall", "drop", "half_close", "refuse", "garbage", "http_429", "http_402", "http_500",
          "unauthorized", "huge", "lying"]
STATUS_OF = {"http_429": 429, "http_402": 402, "http_500": 500, "unauthorized": 401}


class Parent:
    """The line protocol to whoever started this: one JSON object a line, out on standard output."""

    def __init__(self):
        self.began = time.monotonic()

    def tell(self, event, **fields):
        at_ms = round(1_000 * (time.monotonic() - self.began))
        self.line({"event": event, "at_ms": at_ms, **fields})

    def line(self, value):
        print(json.dumps(value, separators=(",", ":")), flush=True)


@dataclass
class Fault:
    """What goes wrong, when and how often; `times` 0 is until it is changed."""

    kind: str
    after_ms: int = 0
    times: int = 1
    ms: int = 1_000
    what: str = ""
    on: str = "data"

    def __post_init__(self):
        if self.kind not in FAULTS or self.on not in ("data", "grant"):
            raise ValueError(f"no such fault: {self.kind} on {self.on}")

    @property
    def status(self):
        """The status that the whole exchange is answered with, or None."""
        return STATUS_OF.get(self.kind)


class Tokens:
    """Who may speak to a service. A `Bearer` is a JWT (HS256): one that `grant` made, or, for the credential
    class `signed-token`, one that the client made with the shared key for this host."""

    def __init__(self, settings):
        self.host, self.key = settings["host"], settings["api_key"]
        self.is_signed = settings.get("credential", "token") == "signed-token"
        self.takes_keys = settings.get("takes_keys", True)
        self.ttl_s_max = settings.get("ttl_s_max", 3_600)
        self.secret = self.key if self.is_signed else secrets.token_hex(32)

    def grant(self, ttl_s):
        now = time.time()
        claims = {"aud": self.host, "iat": int(now), "exp": now + ttl_s, "jti": uuid.uuid4().hex}
        return jwt.encode(claims, self.secret, algorithm="HS256")

    def is_key(self, headers):
        """Whether the long-lived key is there, in either way of showing it."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        shown = headers.get("x-api-key") or (token if scheme.lower() == "token" else "")
        return secrets.compare_digest(shown.encode(), self.key.encode())

    def check(self, headers):
        """`good`, or what is wrong."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        # A scheme has no case, RFC 9110 section 11.1; one of the vendors' own clients writes it small.
        if scheme.lower() == "bearer":
            try:
                wanted = {"require": ["aud", "exp"]}
                jwt.decode(token, self.secret, algorithms=["HS256"], audience=self.host, options=wanted)
            except jwt.ExpiredSignatureError:
                return "expired"
            except jwt.InvalidTokenError as error:
                return f"no token of ours: {error}"
            return "good"
        if not token and "x-api-key" not in headers:
            return "missing"
        if not self.takes_keys:
            return "a long-lived key where a token belongs"
        return "good" if self.is_key(headers) else "unknown key"


class Service:
    """One stand-in: its listener, certificate, tokens, latencies and present fault."""

    name = ""

    def __init__(self, settings, parent):
        self.settings, self.parent = settings, parent
        self.tokens = Tokens(settings)
        self.random = random.Random(f"{settings.get('seed', 1)} {self.name}")
        self.must = settings.get("must", {})
        self.fault = None
        self.set_fault(settings.get("fault"))
        self.connections = 0
        self.names = [settings["host"], *settings.get("also", [])]
        self.context = self.tls()

    def tls(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # The module takes files only; these are gone as soon as it has read them.
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as chain, \
                tempfile.NamedTemporaryFile("w", suffix=".pem") as key:
            chain.write(self.settings["chain"])
            key.write(self.settings["key"])
            chain.flush()
            key.flush()
            context.load_cert_chain(chain.name, key.name)

        def named(connection, name, _context):
            connection.server_name_sent = name
            if name not in self.names:
                return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
            return None

        context.sni_callback = named
        return context

    async def listen(self, address):
        """Serves until cancelled; the port."""
        self.server = await asyncio.start_server(self.accept, address, self.settings.get("port", 0))
        return self.server.sockets[0].getsockname()[1]

    async def accept(self, reader, writer):
        self.connections += 1
        try:
            await Connection(self, self.connections, reader, writer).run()
        except asyncio.CancelledError:
            # The end of the program; asyncio would print it as a mistake.
            pass

    # --- Faults ---

    def set_fault(self, fault):
        self.fault = Fault(**fault) if fault else None

    def take(self, on, *, before_tls=False):
        """The fault to play now, if it is its time."""
        fault = self.fault
        if fault is None or fault.on != on or (fault.kind == "refuse") != before_tls:
            return None
        if fault.times:
            fault.times -= 1
            if fault.times == 0:
                self.fault = None
        self.parent.tell("fault", service=self.name, kind=fault.kind)
        return fault

    async def begin_fault(self, connection, on):
        """The fault of this exchange, already under way; the request is over when it has a status."""
        fault = self.take(on)
        if fault is None:
            return None
        if fault.kind == "slow":
            await asyncio.sleep(fault.ms / 1_000)
        elif fault.kind in ("stall", "drop", "half_close"):
            connection.break_after(fault.kind, fault.after_ms)
        elif fault.status:
            await self.refuse(connection, fault.status, "played")
        return fault

    # --- What each service says in its own way ---

    def error(self, connection, status, why):
        """The body of a refusal, in the vendor's shape."""
        raise NotImplementedError

    async def handle(self, connection, request):
        raise NotImplementedError

    async def refuse(self, connection, status, why):
        self.parent.tell("refused", service=self.name, status=status, why=why)
        more = {"retry-after": "1"} if status == 429 else {}
        await connection.answer_json(status, self.error(connection, status, why), more)

    def between(self, name, default):
        """A latency in seconds, drawn evenly between the setting's two milliseconds."""
        low, high = self.settings.get(name, default)
        return self.random.uniform(low, high) / 1_000

    async def grant(self, connection, request):
        """`POST /v1/auth/grant`: a token for the key that is shown."""
        fault = await self.begin_fault(connection, "grant")
        if fault and fault.status:
            return
        if fault and fault.kind == "garbage":
            await connection.answer(200, {"content-type": "application/json"}, b"<html>no</html>")
            return
        asked = request.json() if request.body else {}
        ttl_s = (asked or {}).get("ttl_seconds", 30)
        if not self.tokens.is_key(request.headers):
            await self.refuse(connection, 401, "only the key is granted a token")
        elif asked is None or not isinstance(ttl_s, (int, float)) or not 0 < ttl_s <= self.tokens.ttl_s_max:
            await self.refuse(connection, 400, "ttl_seconds is out of its range")
        else:
            self.parent.tell("granted", service=self.name, ttl_s=ttl_s)
            body = {"access_token": self.tokens.grant(ttl_s), "expires_in": ttl_s}
            await connection.answer_json(200, body)
