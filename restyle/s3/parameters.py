"""What a run asks of its outputs' objects, as parameters of boto3's requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from restyle.keys import split_uri
from restyle.outputs import Storing


def quoted(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata as headers carry them."""
    return {name: quote(value, safe=" !#$&'()*+,-./:;<=>?@[]^_`{|}~") for name, value in metadata.items()}


def held(storing: Storing | None) -> Any:
    """The storage class and encryption as boto3's parameters: only those set, since not every server has them."""
    parameters: dict[str, str] = {}
    if storing and storing.storage_class:
        parameters["StorageClass"] = storing.storage_class
    if storing and storing.sse_kms_key:
        parameters |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": storing.sse_kms_key}
    return parameters


def headers(storing: Storing | None) -> Any:
    """The headers and tags of a new object, as boto3's parameters."""
    if storing is None:
        return {}
    headers = {
        "CacheControl": storing.cache_control,
        "ContentDisposition": storing.content_disposition,
        "Tagging": urlencode(storing.tags),
    }
    return {name: value for name, value in headers.items() if value}


def within_bucket(storing: Storing | None, source: str, copy: str) -> Storing | None:
    """How a copy of an output is held: as outputs are, in their own bucket; another one may not know their key."""
    return storing if split_uri(source)[0] == split_uri(copy)[0] else None
