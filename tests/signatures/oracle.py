"""Twilio's SDK for Python as an oracle: one JSON case a line in, one verdict a line out."""
import json
import sys

from twilio.request_validator import RequestValidator


class Fields(dict):
    """Fields as a web framework gives them: a mapping whose names may repeat."""

    def __init__(self, fields):
        super().__init__(fields)
        self.fields = fields

    def getlist(self, name):
        return [value for key, value in self.fields if key == name]


for line in sys.stdin.buffer:
    case = json.loads(line)
    validator = RequestValidator(case["token"])
    params = Fields([tuple(field) for field in case["fields"]])
    if case["body"] is None:
        accepts = validator.validate(case["presented"], params, case["ours"])
    else:
        accepts = validator.validate(case["presented"], case["body"], case["ours"])
    signature = validator.compute_signature(case["signed"], params)
    print(json.dumps({"accepts": bool(accepts), "signature": signature}))
