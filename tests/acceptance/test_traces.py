"""OpenTelemetry: a job's trace, as a real collector would receive it over HTTP."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.acceptance.conftest import FleetOf
from tests.support.catalog import write_catalog
from tests.support.sandbox import SandboxServer

pytestmark = pytest.mark.acceptance


@contextmanager
def collector() -> Iterator[tuple[str, list[Span]]]:
    """An OTLP receiver: its address, and the spans that have come."""
    spans: list[Span] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            import gzip

            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            told = ExportTraceServiceRequest.FromString(body)
            spans.extend(span for found in told.resource_spans for scope in found.scope_spans for span in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", spans
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def test_the_trace_of_a_job_has_every_step(fleet: FleetOf, sandbox: SandboxServer) -> None:
    """One trace a job, under the id of run and job: plan, queue, fetch, call, store in order; a retry is in it too."""
    write_catalog(fleet.command.folder, 3)
    sandbox.script(500, prompt_contains="item-001")
    with collector() as (address, spans):
        traced = fleet.with_settings(RESTYLE_TRACES="true", OTEL_EXPORTER_OTLP_ENDPOINT=address)
        with traced.worker():
            run_id = traced.submit()
            fleet.command("watch", run_id)
        # The worker has ended, and with it went its last spans.
        traces: dict[bytes, list[Span]] = {}
        for span in spans:
            traces.setdefault(span.trace_id, []).append(span)
    assert len(traces) == 3
    job_id = fleet.workspace.job_id("item-001", "default")
    mine = sorted(
        traces[hashlib.sha256(f"{run_id}\0{job_id}".encode()).digest()[:16]], key=lambda span: span.start_time_unix_nano
    )
    names = [span.name for span in mine if span.name != "job"]
    assert names == ["plan", "queue", "fetch", "prepare", "call", "fetch", "prepare", "call", "verify", "store"]
    (root,) = [span for span in mine if span.name == "job"]
    assert not root.parent_span_id
    assert {span.parent_span_id for span in mine if span is not root} == {root.span_id}
    assert all(root.start_time_unix_nano <= span.start_time_unix_nano for span in mine)
    calls = [span for span in mine if span.name == "call"]
    assert [span.status.code for span in calls] == [2, 0]
    told = [{field.key: field.value for field in span.attributes} for span in calls]
    assert [found["restyle.attempt"].int_value for found in told] == [1, 2]
    assert {found["restyle.id"].string_value for found in told} == {"item-001"}
    assert sandbox.api_key not in str(spans)
