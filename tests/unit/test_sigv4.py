"""The short signature is botocore's."""

from __future__ import annotations

import hashlib
from urllib.parse import quote

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st

from restyle.sigv4 import Signatory, sign

WORD = st.text("abcXYZ019-_.", min_size=1, max_size=12)
VALUE = st.text("abc XYZ,;=%/", min_size=1, max_size=30).map(str.strip).filter(bool)


def botocore(
    verb: str, host: str, path: str, body: bytes, headers: dict[str, str], signatory: Signatory
) -> dict[str, str]:
    """The headers of a request as botocore signs it."""
    request = AWSRequest(verb, f"https://{host}{path}", headers=headers, data=body)
    keys = ReadOnlyCredentials(signatory.access_key, signatory.secret_key, signatory.token)
    S3SigV4Auth(keys, signatory.service, signatory.region).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


@given(
    verb=st.sampled_from(["GET", "HEAD", "PUT"]),
    host=st.sampled_from(["shop.s3.eu-west-1.amazonaws.com", "localhost:9000", "s3.example.com"]),
    key=st.text(min_size=1, max_size=40).filter(lambda key: not key.startswith("/")),
    body=st.binary(max_size=64),
    headers=st.dictionaries(WORD.map(lambda word: f"x-amz-meta-{word}"), VALUE, max_size=4),
    token=st.none() | WORD,
    region=st.sampled_from(["us-east-1", "eu-west-1"]),
)
def test_the_signature_is_botocores(
    verb: str, host: str, key: str, body: bytes, headers: dict[str, str], token: str | None, region: str
) -> None:
    """For any key, header, body and credentials, with botocore's own date."""
    signatory, path = Signatory("AKIA", "secret", token, region), "/bucket/" + quote(key, safe="/~")
    told = {**headers, "x-amz-content-sha256": hashlib.sha256(body).hexdigest()} if body else headers
    while True:
        expected = botocore(verb, host, path, body, headers, signatory)
        found = sign(verb, host, path, told, signatory)
        if found["x-amz-date"] == expected["x-amz-date"]:  # else a second ended in between
            break
    assert found["authorization"] == expected["authorization"]
    assert {**expected, "host": host}.keys() == {name.lower() for name in found}
