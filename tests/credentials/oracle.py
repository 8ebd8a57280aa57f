"""What botocore signs: requests on standard input, one a line of JSON, and the header of each on standard output."""

import json
import sys

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

for line in sys.stdin:
    one = json.loads(line)
    auth = SigV4Auth(Credentials(one["access_key_id"], one["secret_access_key"]), one["service"], one["region"])
    request = AWSRequest(
        method=one["method"],
        url=f"https://{one['headers']['host']}{one['path']}",
        data=one["body"].encode(),
        headers=one["headers"],
    )
    request.context["timestamp"] = one["headers"]["x-amz-date"]
    canonical = auth.canonical_request(request)
    signature = auth.signature(auth.string_to_sign(request, canonical), request)
    names = auth.signed_headers(auth.headers_to_sign(request))
    scope = auth.scope(request)
    print(json.dumps(f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={names}, Signature={signature}"), flush=True)
