"""The job of every peer: GET the input, POST it, PUT the picture and a record. No guard at all.

With `BENCH_CHECKS=1` it checks both pictures.

`work` is for threads and processes, `work_async` for event loops. `BENCH_*` have the addresses.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
from typing import Any

REDIS = os.environ.get("BENCH_REDIS", "redis://127.0.0.1:6379/0")
API = os.environ.get("BENCH_API", "")
CONCURRENCY = int(os.environ.get("BENCH_CONCURRENCY", "8"))
#: Whether input and answer are checked for missing pixels, as restyle does.
CHECKS = os.environ.get("BENCH_CHECKS") == "1"
BUCKET = "bench"
PARAMS = {
    "prompt": "studio photo of a product on an oak table",
    "samples": 1,
    "scheduler": "UniPC",
    "base_model": "juggernaut",
    "num_inference_steps": 30,
    "guidance_scale": 6.5,
    "strength": 0.65,
    "seed": 1,
    "base64": False,
}
HEADERS = {"x-api-key": "bench", "content-type": "application/json"}


def body(image: bytes) -> bytes:
    """The request, as the standard library builds it."""
    return json.dumps({"image": base64.b64encode(image).decode(), **PARAMS}).encode()


def record(number: int, image: bytes, answer: bytes) -> bytes:
    """The record of a done job."""
    return json.dumps(
        {
            "job": number,
            "params": PARAMS,
            "input_sha256": hashlib.sha256(image).hexdigest(),
            "output_sha256": hashlib.sha256(answer).hexdigest(),
            "bytes": len(answer),
        }
    ).encode()


def check(*pictures: bytes) -> None:
    """Reads every pixel of these JPEGs for damage, at the scale that takes the least CPU, where that is asked for.

    libjpeg draws missing pixels grey without an error. Without the marker that ends a JPEG, Pillow reports them.
    """
    if not CHECKS:
        return
    from PIL import JpegImagePlugin

    for picture in pictures:
        image = JpegImagePlugin.JpegImageFile(io.BytesIO(picture.removesuffix(b"\xff\xd9") + b"\xff\x00" * 16))
        image.draft(None, (1, 1))
        image.load()


def keys(number: int) -> tuple[str, str, str]:
    """The keys of a job's input, output and record."""
    return f"in/{number}.jpg", f"peer/outputs/{number}.jpg", f"peer/records/{number}.json"


def work(number: int, s3: Any, post: Any) -> None:
    """The job with blocking clients."""
    source, target, record_key = keys(number)
    image = s3.get_object(Bucket=BUCKET, Key=source)["Body"].read()
    answer = post(API, data=body(image), headers=HEADERS, timeout=180)
    answer.raise_for_status()
    check(image, answer.content)
    s3.put_object(Bucket=BUCKET, Key=target, Body=answer.content, ContentType="image/jpeg")
    s3.put_object(
        Bucket=BUCKET, Key=record_key, Body=record(number, image, answer.content), ContentType="application/json"
    )


async def work_async(number: int, s3: Any, http: Any) -> None:
    """The job with asynchronous clients."""
    source, target, record_key = keys(number)
    response = await s3.get_object(Bucket=BUCKET, Key=source)
    async with response["Body"] as stream:
        image = await stream.read()
    async with http.post(API, data=body(image), headers=HEADERS) as answer:
        answer.raise_for_status()
        picture = await answer.read()
    check(image, picture)
    await s3.put_object(Bucket=BUCKET, Key=target, Body=picture, ContentType="image/jpeg")
    await s3.put_object(
        Bucket=BUCKET, Key=record_key, Body=record(number, image, picture), ContentType="application/json"
    )


def shared_clients() -> tuple[Any, Any]:
    """One S3 client and one HTTP session for all threads, with a connection each."""
    import boto3
    import requests
    from botocore.config import Config
    from requests.adapters import HTTPAdapter

    s3 = boto3.client("s3", region_name="us-east-1", config=Config(max_pool_connections=CONCURRENCY))
    session = requests.Session()
    session.mount("http://", HTTPAdapter(pool_connections=4, pool_maxsize=CONCURRENCY))
    return s3, session


class AsyncClients:
    """An S3 client and an HTTP session for all tasks of one event loop."""

    async def open(self) -> AsyncClients:
        """Opens both."""
        import aiohttp
        from aiobotocore.config import AioConfig
        from aiobotocore.session import get_session

        config = AioConfig(max_pool_connections=CONCURRENCY)
        self._context = get_session().create_client("s3", region_name="us-east-1", config=config)
        self.s3 = await self._context.__aenter__()
        self.http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONCURRENCY), timeout=aiohttp.ClientTimeout(180)
        )
        return self

    async def close(self) -> None:
        """Closes both."""
        await self.http.close()
        await self._context.__aexit__(None, None, None)
