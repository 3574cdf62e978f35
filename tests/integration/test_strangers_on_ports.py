"""A port of the embedded stack that was free a moment ago: whoever has taken it since is not taken for ours."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from apps.stack.servers import free_port, sandbox_answers
from tests.support.sandbox import SandboxServer


@contextmanager
def stranger(body: bytes) -> Iterator[str]:
    """A server that answers everything with 200 and this."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/sdxl-img2img"
        server.shutdown()


def test_the_embedded_sandbox_is_known_by_its_key(sandbox: SandboxServer) -> None:
    """Else the calls of this folder would go to another folder's account, and be refused there, or to any program."""
    sandbox.control(api_key=sandbox.api_key)
    assert sandbox_answers(sandbox.url, sandbox.api_key)
    assert not sandbox_answers(sandbox.url, "SG_another")
    assert not sandbox_answers(f"http://127.0.0.1:{free_port()}/v1/sdxl-img2img", sandbox.api_key)
    for body in (b"", b"<html>hello</html>", b"[]"):
        with stranger(body) as url:
            assert not sandbox_answers(url, sandbox.api_key)


@pytest.mark.parametrize("body", [b"{", b"[]", b"7", b"null", b"[" * 100_000, b'{"top_up": null}', b'{"top_up": []}'])
def test_an_odd_order_to_the_sandbox_is_refused(sandbox: SandboxServer, body: bytes) -> None:
    """In words, and by 400; what comes from a page in somebody's browser is refused whatever it says."""

    def status(**headers: str) -> int:
        request = urllib.request.Request(f"{sandbox.origin}/control", body, headers)
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=10)
        assert "error" in json.load(caught.value)
        return caught.value.code

    assert (status(), status(Origin="https://shop.example")) == (400, 403)
