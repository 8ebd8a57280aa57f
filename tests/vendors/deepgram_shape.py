"""What listen v1 and speak v1 have in common: refusals in the vendor's shape, flags, the way to a token."""
import uuid

from standin import Service

CODES = {400: "INVALID_QUERY_PARAMETER", 401: "INVALID_AUTH", 402: "ASR_PAYMENT_REQUIRED", 404: "NOT_FOUND",
         413: "PAYLOAD_TOO_LARGE", 429: "TOO_MANY_REQUESTS", 500: "INTERNAL_SERVER_ERROR"}


class DeepgramService(Service):
    """One service of that vendor."""

    @staticmethod
    def request_id():
        return {"dg-request-id": str(uuid.uuid4())}

    def error(self, _connection, status, why):
        """A refusal's body."""
        message = "Invalid credentials." if status == 401 else why
        return {"err_code": CODES[status], "err_msg": message, "request_id": str(uuid.uuid4())}

    def wrong_with(self, request, wanted):
        """(status, why) of a token or a flag that is wrong, or None: as strict as the vendor, and as the
        settings' `must` in what the vendor leaves to its customers."""
        token = self.tokens.check(request.headers)
        if token != "good":
            return 401, token
        names = [name for name, _ in request.flags]
        if len(names) != len(set(names)):
            return 400, "a flag is there twice"
        flags = dict(request.flags)
        if not flags.get("model"):
            return 400, "model is missing"
        for name, value in {**wanted, **self.must}.items():
            if flags.get(name) != value:
                return 400, f"{name} must be {value}"
        return None
