"""Serves the stand-ins until standard input ends: settings as one JSON line in, events out, faults in.

    python3 serve.py <<< '{"address": "127.0.0.1", "asr": {…}, "llm": {…}, "tts": {…}}'

The settings of each service are in README.md. Later lines are `{"fault": {"asr": {"kind": "stall"}}}`, or
null for none. The first line out is `{"listening": {"asr": port, …}}`. Nothing is written but to standard
output and, for what ends the program, to standard error.
"""
import asyncio
import json
import sys

from asr import Asr
from llm import Llm
from standin import Parent
from tts import Tts

SERVICES = {"asr": Asr, "llm": Llm, "tts": Tts}
LINE_BYTES_MAX = 1024 * 1024


async def standard_input():
    reader = asyncio.StreamReader(limit=LINE_BYTES_MAX)
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    return reader


def change(services, parent, line):
    """Changes what goes wrong from now on; a line that says nothing of the kind is told as such."""
    try:
        faults = json.loads(line)["fault"]
        for name, fault in faults.items():
            services[name].set_fault(fault)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        parent.tell("bad_line", why=str(error))
        return
    parent.tell("fault_set", services=sorted(faults))


async def main():
    reader, parent = await standard_input(), Parent()
    settings = json.loads(await reader.readline())
    address = settings.get("address", "127.0.0.1")
    services = {name: SERVICES[name](settings[name], parent) for name in SERVICES if name in settings}
    ports = {name: await service.listen(address) for name, service in services.items()}
    parent.line({"listening": ports})
    while line := await reader.readline():
        change(services, parent, line)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"the stand-ins cannot serve: {type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
