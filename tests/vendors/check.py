"""Checks the stand-ins from outside, and says of each check whether it held: one JSON line each.

    python3 check.py services|faults|sdks < identities.json

The input is `{"ca": PEM, "asr": {"host", "chain", "key"}, …}`. Exit status 1 when a check fails.
"""
import importlib
import json
import sys
import traceback

from client import StandIns


def main():
    identities = json.load(sys.stdin)
    # Only this part's: the vendors' own clients are not there for the others.
    checks = importlib.import_module(f"check_{sys.argv[1]}").CHECKS
    # An odd size of chunk: nothing on the way may count on whole frames.
    stand = StandIns(identities, tts={"chunk_bytes": 997, "voice": "rms"})
    failed = 0
    for check in checks:
        try:
            check(stand)
            why = ""
        except Exception:  # A check may fail in any way, and the next ones still count.
            why = traceback.format_exc()
            failed += 1
        name = check.__name__.removeprefix("check_")
        print(json.dumps({"check": name, "ok": not why, "why": why}), flush=True)
    ended = stand.stop()
    print(json.dumps({"check": "ends_with_its_input", "ok": ended == 0, "why": str(ended)}), flush=True)
    return 1 if failed or ended else 0


if __name__ == "__main__":
    sys.exit(main())
