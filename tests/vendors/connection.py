"""One connection to a stand-in: TLS, HTTP/1.1 by h11, a WebSocket by websockets, and the ways to break it.

It knows no vendor. What is read is bounded; what is broken on purpose stays broken until the peer goes.
"""
import asyncio
import json
import socket
import ssl
import struct
import time
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

import h11
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as UpgradeRequest
from websockets.protocol import State
from websockets.server import ServerProtocol

HEAD_BYTES_MAX = 64 * 1024
BODY_BYTES_MAX = 1024 * 1024
MESSAGE_BYTES_MAX = 1024 * 1024
HANDSHAKE_S = 5
# How long a connection may lie idle between requests unless the settings say otherwise.
IDLE_S = 60


class Over(Exception):
    """The connection is of no more use."""


@dataclass
class Request:
    """One HTTP request, read to its end."""

    method: str
    path: str
    flags: list
    headers: dict
    body: bytes
    head: bytes = field(repr=False, default=b"")

    def json(self):
        """The body as an object, or None."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return None
        return value if isinstance(value, dict) else None


class Connection:
    """One TCP connection: TLS, then requests one after the other, or one WebSocket."""

    def __init__(self, service, number, reader, writer):
        self.service, self.number = service, number
        self.reader, self.writer = reader, writer
        self.http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES_MAX)
        self.is_broken = False
        # For the service's own use: what its words are on this connection.
        self.dialect = None

    def tell(self, event, **fields):
        self.service.parent.tell(event, service=self.service.name, connection=self.number, **fields)

    async def run(self):
        if self.service.take("data", before_tls=True):
            self.writer.close()
            return
        try:
            await self.writer.start_tls(self.service.context, ssl_handshake_timeout=HANDSHAKE_S)
        except (OSError, ssl.SSLError) as error:
            self.tell("tls_failed", why=type(error).__name__)
            self.writer.close()
            return
        tls = self.writer.get_extra_info("ssl_object")
        self.tell("connection", tls=tls.version(), sni=getattr(tls, "server_name_sent", None))
        try:
            await self.requests()
        except (Over, OSError, asyncio.TimeoutError, h11.ProtocolError):
            pass
        finally:
            self.writer.close()
            self.tell("closed")

    async def requests(self):
        while True:
            try:
                idle_s = self.service.settings.get("idle_s", IDLE_S)
                request = await asyncio.wait_for(self.request(), idle_s)
            except h11.RemoteProtocolError as error:
                self.tell("bad_request", why=str(error))
                await self.answer(error.error_status_hint, {"connection": "close"}, b"")
                return
            token = self.service.tokens.check(request.headers)
            self.tell("request", method=request.method, path=request.path, flags=request.flags,
                      headers=sorted(request.headers), token=token,
                      shows_key=self.service.tokens.key.encode() in request.head + request.body)
            await self.service.handle(self, request)
            if self.http.our_state is not h11.DONE or self.http.their_state is not h11.DONE:
                return
            self.http.start_next_cycle()

    async def request(self):
        head, body, got = b"", b"", None
        while True:
            event = self.http.next_event()
            if event is h11.NEED_DATA:
                data = await self.reader.read(64 * 1024)
                head = head + data if got is None else head
                self.http.receive_data(data)
            elif isinstance(event, h11.Request):
                got = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > BODY_BYTES_MAX:
                    raise h11.RemoteProtocolError("a body that is too long", 413)
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                raise Over
        target = urlsplit(got.target.decode("ascii"))
        headers = {name.decode(): value.decode("latin-1") for name, value in got.headers}
        flags = parse_qsl(target.query, keep_blank_values=True)
        return Request(got.method.decode(), target.path, flags, headers, body, head)

    # --- Writing ---

    async def write(self, data):
        if self.is_broken:
            # What was broken stays so until the peer goes.
            while await self.reader.read(64 * 1024):
                pass
            raise Over
        self.writer.write(data)
        await self.writer.drain()

    async def begin(self, status, headers):
        headers = {"date": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime()), **headers}
        await self.write(self.http.send(h11.Response(status_code=status, headers=list(headers.items()))))

    async def send(self, data):
        await self.write(self.http.send(h11.Data(data=data)))

    async def end(self):
        await self.write(self.http.send(h11.EndOfMessage()))

    async def answer(self, status, headers, body):
        await self.begin(status, {**headers, "content-length": str(len(body))})
        if body:
            await self.send(body)
        await self.end()

    async def answer_json(self, status, value, more=()):
        body = json.dumps(value).encode()
        await self.answer(status, {"content-type": "application/json", **dict(more)}, body)

    # --- Breaking ---

    def break_after(self, kind, after_ms):
        if after_ms:
            asyncio.get_running_loop().call_later(after_ms / 1_000, self.break_now, kind)
        else:
            self.break_now(kind)

    def break_now(self, kind):
        """stall: no byte more; drop: a TCP reset; half_close: our side ends without TLS's goodbye."""
        self.is_broken = True
        if self.writer.is_closing():
            # The other side was faster.
            return
        raw = self.writer.get_extra_info("socket")
        if kind == "drop":
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
        elif kind == "half_close":
            raw.shutdown(socket.SHUT_WR)

    def upgrade(self, request):
        return WebSocket(self, request)


class WebSocket:
    """A WebSocket over a connection, from the request that asks for it."""

    def __init__(self, connection, request):
        self.connection = connection
        self.protocol = ServerProtocol(max_size=MESSAGE_BYTES_MAX)
        self.protocol.receive_data(request.head)
        [upgrade] = self.protocol.events_received()[:1] or [None]
        self.response = self.protocol.accept(upgrade) if isinstance(upgrade, UpgradeRequest) else None
        self.is_open = self.response is not None and self.response.status_code == 101

    async def open(self, headers):
        for name, value in headers.items():
            self.response.headers[name] = value
        self.protocol.send_response(self.response)
        await self.flush()

    async def flush(self):
        for data in self.protocol.data_to_send():
            # What was broken says nothing, and goes on reading.
            if data and not self.connection.is_broken:
                await self.connection.write(data)

    async def messages(self):
        """Text as str and audio as bytes, until the other side closes or is gone."""
        parts = []
        while True:
            for frame in self.protocol.events_received():
                if isinstance(frame, Frame) and frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                    parts.append(frame)
                    if frame.fin:
                        data = b"".join(part.data for part in parts)
                        is_text = parts[0].opcode is Opcode.TEXT
                        parts = []
                        yield data.decode("utf-8", "replace") if is_text else bytes(data)
            await self.flush()
            if self.protocol.state is not State.OPEN:
                return
            data = await self.connection.reader.read(64 * 1024)
            if not data:
                return
            self.protocol.receive_data(data)

    async def send(self, message):
        if self.protocol.state is State.OPEN:
            if isinstance(message, bytes):
                self.protocol.send_binary(message)
            else:
                self.protocol.send_text(message.encode())
            await self.flush()

    async def close(self, code, reason=""):
        if self.protocol.state is State.OPEN:
            self.protocol.send_close(code, reason)
            await self.flush()
