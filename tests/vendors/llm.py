"""The language model's stand-in: the appointment dialogue, streamed a word at a time in two dialects.

`POST /v1/chat/completions` as OpenAI's and `POST /v1/messages` as Anthropic's, server-sent events both.
"""
import asyncio
import json
import re
import uuid

from dialogue import answer
from connection import Over
from standin import Service

# What a model may say that it should not.
LIES = {
    "advice": "You should stop your heart medicine today and take twice the aspirin instead.",
    "identifier": "Thank you [NAME_9], I will call you back at [PHONE_9], Mr. Aaronson.",
}
ENDLESS_WORDS = 100_000
HUGE_BYTES = 8 * 1024 * 1024
# Each dialect's words for a status.
CHAT_ERRORS = {400: ("invalid_request_error", None), 401: ("invalid_request_error", "invalid_api_key"),
               402: ("insufficient_quota", "insufficient_quota"), 404: ("invalid_request_error", None),
               429: ("requests", "rate_limit_exceeded"), 500: ("server_error", None)}
MESSAGES_ERRORS = {400: "invalid_request_error", 401: "authentication_error", 402: "billing_error",
                   404: "not_found_error", 429: "rate_limit_error", 500: "api_error"}


def texts(messages):
    """Messages with their content as one text, or None when one of them has no such shape."""
    plain = []
    for message in messages if isinstance(messages, list) and messages else [None]:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            return None
        content = message.get("content")
        if isinstance(content, list):
            parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
            content = "".join(parts) if len(parts) == len(content) and all(isinstance(part, str) for part in parts) else None
        if not isinstance(content, str):
            return None
        plain.append({"role": message["role"], "content": content})
    return plain


class ChatDialect:
    """What `POST /v1/chat/completions` asks for and gives."""

    path, roles = "/v1/chat/completions", {"system", "developer", "user", "assistant"}

    @staticmethod
    def wrong(_request, _body):
        return None

    @staticmethod
    def error(status, why):
        kind, code = CHAT_ERRORS[status]
        return {"error": {"message": why, "type": kind, "param": None, "code": code}}

    @staticmethod
    def most(body):
        return body.get("max_completion_tokens", body.get("max_tokens"))

    def __init__(self, model):
        self.frame = {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": "chat.completion.chunk", "created": 0,
                      "model": model}

    def event(self, delta, finish=None):
        choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
        return f"data: {json.dumps({**self.frame, 'choices': choices})}\n\n"

    def first(self):
        return self.event({"role": "assistant", "content": ""})

    def word(self, word):
        return self.event({"content": word})

    def last(self, _count, is_cut):
        return self.event({}, "length" if is_cut else "stop") + "data: [DONE]\n\n"


class MessagesDialect:
    """What `POST /v1/messages` asks for and gives."""

    path, roles = "/v1/messages", {"user", "assistant"}

    @staticmethod
    def wrong(request, body):
        # Any day: which one a client was made for says nothing about what is here.
        if not re.fullmatch(r"20\d\d-\d\d-\d\d", request.headers.get("anthropic-version", "")):
            return "anthropic-version: header is required"
        if not isinstance(body.get("max_tokens"), int) or body["max_tokens"] < 1:
            return "max_tokens: Field required"
        return None

    @staticmethod
    def error(status, why):
        return {"type": "error", "error": {"type": MESSAGES_ERRORS[status], "message": why}}

    @staticmethod
    def most(body):
        return body["max_tokens"]

    def __init__(self, model):
        self.message = {"id": f"msg_{uuid.uuid4().hex}", "type": "message", "role": "assistant", "model": model,
                        "content": [], "stop_reason": None, "stop_sequence": None,
                        "usage": {"input_tokens": 1, "output_tokens": 1}}

    @staticmethod
    def event(kind, **fields):
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n"

    def first(self):
        return (self.event("message_start", message=self.message)
                + self.event("content_block_start", index=0, content_block={"type": "text", "text": ""})
                + self.event("ping"))

    def word(self, word):
        return self.event("content_block_delta", index=0, delta={"type": "text_delta", "text": word})

    def last(self, count, is_cut):
        delta = {"stop_reason": "max_tokens" if is_cut else "end_turn", "stop_sequence": None}
        return (self.event("content_block_stop", index=0)
                + self.event("message_delta", delta=delta, usage={"output_tokens": count})
                + self.event("message_stop"))


DIALECTS = {dialect.path: dialect for dialect in (ChatDialect, MessagesDialect)}


class Llm(Service):
    """Both dialects on one port."""

    name = "llm"

    def error(self, connection, status, why):
        return connection.dialect.error(status, why)

    async def handle(self, connection, request):
        dialect = DIALECTS.get(request.path) if request.method == "POST" else None
        connection.dialect = dialect or ChatDialect
        if dialect is None:
            await self.refuse(connection, 404, "no such path")
        else:
            await self.complete(connection, request)

    def refusal(self, request, dialect):
        """(status, why) of what is wrong with a request, or None."""
        token = self.tokens.check(request.headers)
        if token != "good":
            return 401, token
        body = request.json()
        if body is None or not request.headers.get("content-type", "").startswith("application/json"):
            return 400, "the body is no JSON object"
        why = dialect.wrong(request, body)
        messages = texts(body.get("messages"))
        if why:
            return 400, why
        if not body.get("model") or body.get("stream") is not True:
            return 400, "model is missing, or stream is not true: this stand-in streams only"
        if messages is None or any(message["role"] not in dialect.roles for message in messages):
            return 400, "messages: each has a role and a text"
        for name, value in self.must.items():
            if body.get(name) != value:
                return 400, f"{name} must be {json.dumps(value)}"
        return None

    async def complete(self, connection, request):
        fault = await self.begin_fault(connection, "data")
        if fault and fault.status:
            return
        refusal = self.refusal(request, connection.dialect)
        if refusal:
            await self.refuse(connection, *refusal)
            return
        body = request.json()
        messages = texts(body["messages"])
        connection.tell("chat", path=request.path, system=body.get("system"), messages=messages,
                        members={name: value for name, value in body.items() if name != "messages"})
        reply, done = answer(messages)
        words = (" " + reply.replace(" ", "\n ")).split("\n")
        words[0] = words[0][1:]
        if fault and fault.kind == "lying":
            done = None
            lie = LIES.get(fault.what or "advice", "and").replace(" ", "\n ").split("\n")
            words = [" and"] * ENDLESS_WORDS if fault.what == "endless" else lie
        most = connection.dialect.most(body)
        is_cut = isinstance(most, int) and most < len(words) and not fault
        await self.stream(connection, body, words[:most] if is_cut else words, (is_cut, fault))
        connection.tell("reply", text="".join(words[:200]), words=len(words))
        if done and not is_cut:
            connection.tell(done[0], **done[1])

    async def stream(self, connection, body, words, how):
        is_cut, fault = how
        speech = connection.dialect(body["model"])
        await asyncio.sleep(self.between("first_token_ms", (0, 0)))
        await connection.begin(200, {"content-type": "text/event-stream; charset=utf-8",
                                     "cache-control": "no-cache", "transfer-encoding": "chunked"})
        await connection.send(speech.first().encode())
        if fault and fault.kind in ("garbage", "huge"):
            await self.spoil(connection, fault, speech)
        pause = self.between("token_ms", (0, 0))
        for count, word in enumerate(words):
            if pause and count:
                await asyncio.sleep(pause)
            if connection.reader.at_eof():
                connection.tell("reply_cut", words=count)
                raise Over
            await connection.send(speech.word(word).encode())
        await connection.send(speech.last(len(words), is_cut).encode())
        await connection.end()

    @staticmethod
    async def spoil(connection, fault, speech):
        """What no vendor should send: JSON that is none, bytes that are no text, chunks that are none."""
        if fault.kind == "huge":
            await connection.send(speech.word("word " * (HUGE_BYTES // 5)).encode())
        elif fault.what == "framing":
            await connection.write(b"zz\r\nnot a chunk\r\n")
        elif fault.what == "binary":
            await connection.send(b"data: \xff\xfe\x00\xf0\n\n")
        else:
            await connection.send(b"data: {not json\n\n")
