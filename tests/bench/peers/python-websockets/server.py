"""Echoes `media` messages over wss with websockets on asyncio. Arguments: port, chain, key."""
import asyncio
import base64
import json
import ssl
import sys

from websockets.asyncio.server import serve


async def echo(socket):
    async for text in socket:
        message = json.loads(text)
        if message["event"] != "media":
            continue
        audio = base64.b64decode(message["media"]["payload"])
        payload = base64.b64encode(audio).decode()
        reply = {"event": "media", "streamSid": message["streamSid"], "media": {"payload": payload}}
        await socket.send(json.dumps(reply))


async def main():
    port, chain, key = sys.argv[1:4]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    async with serve(echo, "127.0.0.1", int(port), ssl=context, compression=None):
        await asyncio.get_running_loop().create_future()


asyncio.run(main())
