"""Sources of keys, on this machine: an instance's metadata service and Secrets Manager in front of moto, and a Vault.

Each refuses what the real one refuses. It is told what to do by lines of JSON on standard input, and answers each with one on
standard output; what it was asked by the broker it counts. It ends with its input.
"""

import base64
import datetime
import http.client
import http.server
import json
import logging
import os
import secrets
import socket
import ssl
import sys
import threading
import time

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519
from moto.server import ThreadedMotoServer

REGION = "us-east-1"
SKEW_MAX_S = 300


class Standin:
    """Something that serves HTTP, with faults."""

    def __init__(self, address, port, tls=None):
        self.address, self.port, self.tls = address, port, tls
        self.lock = threading.RLock()
        self.seen = {}
        self.fault = None
        self.open = []
        self.server = None

    def count(self, what):
        with self.lock:
            self.seen[what] = self.seen.get(what, 0) + 1

    def start(self):
        standin = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            server_version, sys_version = "standin", ""

            def log_message(self, *arguments):
                pass

            def date_time_string(self, timestamp=None):
                return super().date_time_string(standin.now())

            def serve(self):
                length = int(self.headers.get("content-length") or 0)
                body = self.rfile.read(length)
                fault = standin.fault
                if fault == "slow":
                    time.sleep(1.9)
                if fault == "hang":
                    standin.count("hung")
                    time.sleep(30)
                    return
                status, headers, answer = standin.answer(self.command, self.path, self.headers, body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_PUT = do_HEAD = serve

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads, allow_reuse_address = True, True

            def get_request(server):
                stream, peer = super().get_request()
                stream.settimeout(30)
                return stream, peer

            def finish_request(server, stream, peer):
                # The handshake is made by the connection's own thread: whoever does not shake hands holds up nobody.
                if standin.tls is not None:
                    try:
                        stream = standin.tls.wrap_socket(stream, server_side=True)
                    except (ssl.SSLError, OSError):
                        standin.count("tls_failed")
                        return
                try:
                    super().finish_request(stream, peer)
                except OSError:
                    pass

            def handle_error(server, stream, peer):
                standin.count("errors: " + repr(sys.exc_info()[1]))

        self.server = Server((self.address, self.port), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def vanish(self):
        self.server.shutdown()
        self.server.server_close()

    def now(self):
        return time.time()


def answer_json(status, value, **headers):
    return status, {"content-type": "application/json", **headers}, json.dumps(value).encode()


class Metadata(Standin):
    """IMDSv2, which takes no request of the first version."""

    def __init__(self, aws):
        super().__init__("169.254.169.254", 80)
        self.aws, self.tokens = aws, {}

    def now(self):
        return self.aws.now()

    def answer(self, method, path, headers, body):
        self.count(f"{method} {path}")
        text = {"content-type": "text/plain"}
        if self.fault == "absent":
            return 404, text, b"Not Found"
        if headers.get("x-forwarded-for"):
            return 403, text, b"Forbidden"
        if path == "/latest/api/token":
            ttl = headers.get("x-aws-ec2-metadata-token-ttl-seconds")
            if method != "PUT":
                return 405, text, b"Not Allowed"
            if ttl is None or not ttl.isdigit() or not 1 <= int(ttl) <= 21_600:
                return 400, text, b"Bad Request"
            token = base64.urlsafe_b64encode(secrets.token_bytes(40)).decode()
            self.tokens[token] = time.time() + int(ttl)
            return 200, {**text, "x-aws-ec2-metadata-token-ttl-seconds": ttl}, token.encode()
        if self.tokens.get(headers.get("x-aws-ec2-metadata-token"), 0) < time.time():
            self.count("v1 refused")
            return 401, text, b"Unauthorized"
        base = "/latest/meta-data/iam/security-credentials/"
        if method == "GET" and path == base:
            return 200, text, b"ward-broker"
        if method == "GET" and path == base + "ward-broker":
            return 200, text, json.dumps(self.aws.role_credentials()).encode()
        return 404, text, b"Not Found"


class Aws(Standin):
    """Secrets Manager: judges every request as AWS does, and has moto answer it, which judges the signature once more."""

    def __init__(self, address, host, tls):
        super().__init__(address, 443, tls)
        self.host, self.skew_s, self.life_s, self.sessions = host, 0, 3_600, {}
        self.moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.moto.start()
        self.moto_port = self.moto.get_host_and_port()[1]
        self.prepare()

    def client(self, service, **credentials):
        return boto3.client(service, region_name=REGION, endpoint_url=f"http://127.0.0.1:{self.moto_port}", **credentials)

    def prepare(self):
        """A role that may read secrets and nothing else, and somebody who may do everything; then moto demands signatures."""
        any_keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
        iam = self.client("iam", **any_keys)
        allow = lambda action: json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": "*"}]})
        trust = json.dumps({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]})
        iam.create_role(RoleName="ward-broker", AssumeRolePolicyDocument=trust)
        iam.put_role_policy(RoleName="ward-broker", PolicyName="read", PolicyDocument=allow("secretsmanager:GetSecretValue"))
        iam.create_user(UserName="operator")
        iam.put_user_policy(UserName="operator", PolicyName="all", PolicyDocument=allow("*"))
        key = iam.create_access_key(UserName="operator")["AccessKey"]
        self.operator = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
        self.manager = self.client("secretsmanager", **self.operator)
        connection = http.client.HTTPConnection("127.0.0.1", self.moto_port)
        connection.request("POST", "/moto-api/reset-auth", body=b"0")
        assert connection.getresponse().status == 200

    def now(self):
        return time.time() + self.skew_s

    def role_credentials(self):
        """Fresh ones when those that are out have less than five minutes left, as on an instance."""
        with self.lock:
            now = time.time()
            for key, session in self.sessions.items():
                if session["valid"] and (session["until"] > now + 300 or session["until"] - session["life"] + 1 > now):
                    return session["document"]
            assumed = self.client("sts", **self.operator).assume_role(
                RoleArn="arn:aws:iam::123456789012:role/ward-broker", RoleSessionName="i-0")["Credentials"]
            until = now + self.life_s
            ends = datetime.datetime.fromtimestamp(until + self.skew_s, datetime.timezone.utc)
            document = {"Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z",
                        "AccessKeyId": assumed["AccessKeyId"], "SecretAccessKey": assumed["SecretAccessKey"],
                        "Token": assumed["SessionToken"], "Expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ")}
            self.sessions[assumed["AccessKeyId"]] = {
                "document": document, "until": until, "life": self.life_s, "valid": True}
            return document

    def moto_refuses(self):
        """The status of a request to moto itself, signed with another key than the one it names."""
        wrong = {**self.operator, "aws_secret_access_key": "another"}
        try:
            self.client("secretsmanager", **wrong).get_secret_value(SecretId="none")
        except self.manager.exceptions.ClientError as error:
            return error.response["ResponseMetadata"]["HTTPStatusCode"]
        return 200

    def error(self, status, kind, message):
        self.count(kind)
        return status, {"content-type": "application/x-amz-json-1.1"}, json.dumps(
            {"__type": kind, "message": message}).encode()

    def answer(self, method, path, headers, body):
        self.count("requests")
        if self.fault == "throttle":
            return self.error(400, "ThrottlingException", "Rate exceeded")
        if self.fault == "broken":
            return self.error(500, "InternalServiceError", "An error occurred on the server side.")
        if self.fault == "garbage":
            return 200, {}, b"<html>"
        wanted = {"host": self.host, "content-type": "application/x-amz-json-1.1",
                  "x-amz-target": "secretsmanager.GetSecretValue"}
        if method != "POST" or path != "/" or any(headers.get(name) != value for name, value in wanted.items()):
            return self.error(400, "UnknownOperationException", "")
        try:
            scheme, credential, signed, signature = headers["authorization"].replace(",", "").split(" ")
            key, day, region, service, end = credential.removeprefix("Credential=").split("/")
            date = headers["x-amz-date"]
            at = datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()
        except (ValueError, AttributeError, KeyError):
            return self.error(400, "IncompleteSignatureException", "")
        session = self.sessions.get(key)
        if session is None or headers.get("x-amz-security-token") != session["document"]["Token"]:
            return self.error(400, "UnrecognizedClientException", "The security token included in the request is invalid.")
        if not session["valid"] or session["until"] < time.time():
            return self.error(400, "ExpiredTokenException", "The security token included in the request is expired")
        if abs(at - self.now()) > SKEW_MAX_S:
            return self.error(400, "InvalidSignatureException", f"Signature expired: {date} is now earlier than …")
        if (scheme, day, region, service, end) != ("AWS4-HMAC-SHA256", date[:8], REGION, "secretsmanager", "aws4_request"):
            return self.error(400, "InvalidSignatureException", "Credential should be scoped to a valid region.")
        must = {"host", "content-type", "x-amz-date", "x-amz-security-token", "x-amz-target"}
        names = signed.removeprefix("SignedHeaders=").split(";")
        if not must <= set(names):
            return self.error(400, "InvalidSignatureException", "")
        document = session["document"]
        ours = signature_of(document, names, {name: headers[name] for name in names}, f"https://{self.host}/", body, date)
        if signature != f"Signature={ours}":
            return self.error(403, "SignatureDoesNotMatch", "")
        if set(json.loads(body)) != {"SecretId"}:
            return self.error(400, "ValidationException", "")
        # moto judges the signature by the keys that it has issued itself.
        connection = http.client.HTTPConnection("127.0.0.1", self.moto_port)
        connection.request("POST", "/", body=body, headers={name: value for name, value in headers.items()})
        answer = connection.getresponse()
        self.count(f"moto {answer.status}")
        return answer.status, {"content-type": "application/x-amz-json-1.1"}, answer.read()


def signature_of(document, names, headers, url, body, date):
    auth = SigV4Auth(Credentials(document["AccessKeyId"], document["SecretAccessKey"]), "secretsmanager", REGION)
    request = AWSRequest(method="POST", url=url, data=body, headers=headers)
    request.context["timestamp"] = date
    canonical = auth.canonical_request(request)
    return auth.signature(auth.string_to_sign(request, canonical), request)


class Vault(Standin):
    """Vault as its HTTP API's documentation has it: AppRole, JWT, KV 2, leases of one more engine, tokens with a life."""

    def __init__(self, address, port, host, tls):
        super().__init__(address, port, tls)
        self.host = host if port == 443 else f"{host}:{port}"
        self.role_id, self.secret_id = "f7a1c2d0-0000-4000-8000-000000000001", secrets.token_hex(16)
        self.signer = ed25519.Ed25519PrivateKey.generate()
        self.namespace = None
        self.tokens, self.secrets, self.leases = {}, {}, {}
        self.token_ttl_s, self.token_max_s, self.lease_ttl_s, self.renewable = 60, 3_600, 30, True
        self.sealed = False
        self.leased, self.lease_value, self.deletion_time, self.v1_lease_s = [], "leased-", "", 0
        self.hangs_at = None

    def jwt(self, life_s):
        encode = lambda value: base64.urlsafe_b64encode(value).rstrip(b"=")
        claims = {"aud": "vault", "exp": int(time.time() + life_s), "sub": "ward"}
        text = encode(b'{"alg":"EdDSA"}') + b"." + encode(json.dumps(claims).encode())
        return (text + b"." + encode(self.signer.sign(text))).decode()

    def takes_jwt(self, jwt):
        decode = lambda value: base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
        try:
            text, signature = jwt.rsplit(".", 1)
            self.signer.public_key().verify(decode(signature), text.encode())
            return json.loads(decode(text.split(".")[1]))["exp"] > time.time()
        except (InvalidSignature, ValueError, KeyError):
            return False

    def errors(self, status, *errors):
        self.count(f"{status}")
        return answer_json(status, {"errors": list(errors)})

    def envelope(self, **more):
        base = {"request_id": secrets.token_hex(8), "lease_id": "", "renewable": False, "lease_duration": 0,
                "data": None, "wrap_info": None, "warnings": None, "auth": None}
        return answer_json(200, {**base, **more})

    def granted(self, token):
        state = self.tokens[token]
        left = int(state["until"] - time.time())
        return self.envelope(auth={
            "client_token": token, "accessor": secrets.token_hex(8), "policies": ["ward"], "token_policies": ["ward"],
            "metadata": {}, "lease_duration": max(left, 0), "renewable": self.renewable, "entity_id": "",
            "token_type": "service", "orphan": True, "num_uses": 0})

    def log_in(self):
        token = "hvs." + secrets.token_urlsafe(60)
        now = time.time()
        self.tokens[token] = {"until": now + self.token_ttl_s, "last": now + self.token_max_s}
        self.count("logins")
        return self.granted(token)

    def answer(self, method, path, headers, body):
        self.count(f"{method} {path}")
        if self.hangs_at is not None and path.startswith(self.hangs_at):
            self.count("hung")
            time.sleep(30)
        if headers.get("host") != self.host or headers.get("x-vault-request") != "true":
            return self.errors(400, "not a request of ours")
        if self.namespace is not None and headers.get("x-vault-namespace") != self.namespace:
            return self.errors(404, "no handler for route")
        if self.sealed:
            return self.errors(503, "Vault is sealed")
        if self.fault == "throttle":
            return self.errors(429, "request path: rate limit quota exceeded")
        if self.fault == "broken":
            return self.errors(500, "internal error")
        if self.fault == "garbage":
            return 200, {}, b'{"data":{"data":'
        try:
            sent = json.loads(body) if body else {}
        except ValueError:
            return self.errors(400, "failed to parse JSON input")
        if method in ("POST", "PUT") and path == "/v1/auth/approle/login":
            if sent != {"role_id": self.role_id, "secret_id": self.secret_id}:
                return self.errors(400, "invalid role or secret ID")
            return self.log_in()
        if method in ("POST", "PUT") and path == "/v1/auth/jwt/login":
            if set(sent) != {"role", "jwt"} or sent["role"] != "ward" or not self.takes_jwt(sent["jwt"]):
                return self.errors(400, "error validating token: invalid expiration time (exp)")
            return self.log_in()
        token = headers.get("x-vault-token")
        state = self.tokens.get(token)
        if state is None or state["until"] < time.time():
            return self.errors(403, "permission denied")
        if method in ("POST", "PUT") and path == "/v1/auth/token/renew-self":
            state["until"] = min(time.time() + self.token_ttl_s, state["last"])
            self.count("renewals")
            return self.granted(token)
        if method == "GET" and path.startswith("/v1/secret/data/"):
            known = self.secrets.get(path.removeprefix("/v1/secret/data/"))
            if known is None:
                return self.errors(404)
            return self.envelope(data={"data": known["value"], "metadata": {
                "created_time": "2026-01-01T00:00:00.000000000Z", "custom_metadata": None, "deletion_time": self.deletion_time,
                "destroyed": False, "version": known["version"]}})
        if method == "GET" and path.startswith("/v1/old/"):
            # KV 1: no lease, and when to come again.
            known = self.secrets.get(path.removeprefix("/v1/old/"))
            return self.errors(404) if known is None else self.envelope(
                lease_duration=self.v1_lease_s, data=known["value"])
        if method == "GET" and path == "/v1/speech/creds/ward":
            key = self.lease_value + secrets.token_hex(20)
            self.leased.append(key)
            lease = "speech/creds/ward/" + secrets.token_hex(12)
            self.leases[lease] = {"key": key, "until": time.time() + self.lease_ttl_s, "token": token}
            return self.envelope(lease_id=lease, renewable=True, lease_duration=self.lease_ttl_s, data={"key": key})
        if method in ("POST", "PUT") and path == "/v1/sys/leases/revoke":
            if self.leases.pop(sent.get("lease_id"), None) is None:
                return self.errors(400, "invalid lease")
            self.count("revoked")
            return 204, {}, b""
        return self.errors(403, "permission denied")

    def live_leases(self):
        now = time.time()
        live = lambda lease: lease["until"] > now and self.tokens.get(lease["token"], {"until": 0})["until"] > now
        return [lease["key"] for lease in self.leases.values() if live(lease)]


def tls(certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def obey(standins, command):
    which = standins[command.pop("to")]
    do = command.pop("do")
    if do == "seen":
        return which.seen
    if do == "fault":
        which.fault = command["fault"]
    elif do == "vanish":
        which.vanish()
    elif do == "return":
        which.start()
    elif do == "set":
        for name, value in command.items():
            assert hasattr(which, name), name
            setattr(which, name, value)
    elif do == "secret" and isinstance(which, Aws):
        try:
            which.manager.create_secret(Name=command["name"], SecretString=command["value"])
        except which.manager.exceptions.ResourceExistsException:
            which.manager.put_secret_value(SecretId=command["name"], SecretString=command["value"])
    elif do == "secret":
        before = which.secrets.get(command["name"], {"version": 0})
        which.secrets[command["name"]] = {"value": command["value"], "version": before["version"] + 1}
    elif do == "delete" and isinstance(which, Aws):
        which.manager.delete_secret(SecretId=command["name"], ForceDeleteWithoutRecovery=True)
    elif do == "delete":
        del which.secrets[command["name"]]
    elif do == "expire" and isinstance(which, Aws):
        for session in which.sessions.values():
            session["valid"] = False
    elif do == "expire":
        which.tokens.clear()
    elif do == "sessions" and isinstance(which, Aws):
        return [session["document"]["SecretAccessKey"] for session in which.sessions.values()]
    elif do == "sessions":
        return list(which.tokens)
    elif do == "moto_refuses":
        return which.moto_refuses()
    elif do == "leases":
        return which.live_leases()
    elif do == "leased":
        return which.leased
    elif do == "delete_at":
        at = datetime.datetime.fromtimestamp(time.time() + command["in_s"], datetime.timezone.utc)
        which.deletion_time = at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    elif do == "jwt":
        return which.jwt(command["life_s"])
    elif do == "secret_id":
        return which.secret_id
    else:
        raise ValueError(do)
    return {}


def main():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    settings = json.loads(sys.argv[1])
    standins = {}
    if "aws" in settings:
        one = settings["aws"]
        standins["aws"] = Aws(one["address"], one["host"], tls(one["certificate"], one["key"]))
        standins["metadata"] = Metadata(standins["aws"])
    if "vault" in settings:
        one = settings["vault"]
        standins["vault"] = Vault(one["address"], one["port"], one["host"], tls(one["certificate"], one["key"]))
    for standin in standins.values():
        standin.start()
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        print(json.dumps(obey(standins, json.loads(line))), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
