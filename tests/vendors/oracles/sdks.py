"""The vendors' own clients against the stand-ins: what they read is what was meant, and they know its errors.

The input is `{"ports", "ca" (a file), "keys", "llm_token", "speech" (µ-law, base64)}`; one JSON object out.
"""
import asyncio
import base64
import json
import os
import ssl
import sys

import anthropic
import httpx
import httpx2
import openai

BOOK = "I would like to book an appointment"
ASKED = [{"role": "user", "content": BOOK}]


def chat(url, token, client):
    """The reply by OpenAI's client."""
    sdk = openai.OpenAI(base_url=f"{url}/v1", api_key=token, http_client=client, max_retries=0)
    stream = sdk.chat.completions.create(model="gpt", messages=ASKED, stream=True, store=False)
    chunks = list(stream)
    assert chunks[-1].choices[0].finish_reason == "stop", chunks[-1]
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def messages(url, token, client):
    """The reply by Anthropic's client."""
    sdk = anthropic.Anthropic(base_url=url, auth_token=token, api_key=None, http_client=client, max_retries=0)
    with sdk.messages.stream(model="claude", max_tokens=100, messages=ASKED,
                             extra_body={"store": False}) as stream:
        words = list(stream.text_stream)
        final = stream.get_final_message()
    assert final.stop_reason == "end_turn" and len(words) == 6, final
    assert final.content[0].text == "".join(words)
    return "".join(words)


def refused(kind, call):
    """Whether the client raises exactly this error."""
    try:
        call()
    except kind:
        return True
    return False


def main():
    told = json.load(sys.stdin)
    os.environ["SSL_CERT_FILE"] = told["ca"]
    context = ssl.create_default_context(cafile=told["ca"])
    llm = f"https://localhost:{told['ports']['llm']}"
    token = told["llm_token"]
    out = {}
    client = lambda: MODULE.Client(verify=context)
    out["chat"] = chat(llm, token, http_of(openai, context))
    out["messages"] = messages(llm, token, http_of(anthropic, context))
    out["chat_refused"] = refused(openai.AuthenticationError, lambda: chat(llm, "x", http_of(openai, context)))
    out["messages_refused"] = refused(
        anthropic.AuthenticationError, lambda: messages(llm, "x", http_of(anthropic, context)))
    print(json.dumps(out))
main()
