"""OpenTelemetry traces: one trace a job, from its plan to its record. Needs the extra `otel` and RESTYLE_TRACES.

A trace's id is made of the run and the job, so messages carry none, and the spans of another worker for the same job
join the same trace. The worker that takes a message adds the spans of planning and queueing, with times from run.json
and Redis. OpenTelemetry's own variables say where spans go, first of all OTEL_EXPORTER_OTLP_ENDPOINT.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from restyle.coordination.claim_types import Dropped
from restyle.errors import ConfigurationError, RestyleError
from restyle.telemetry import steps
from tasks.resources import Resources

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

#: Fields of a job's log lines that are also attributes of its spans.
BOUND = ("run", "job", "id", "variant", "attempt")
#: The step that surrounds all others of a message.
JOB = "job"

_trace: ContextVar[int] = ContextVar("trace")


def open_traces(resources: Resources) -> Callable[[], None]:
    """Starts tracing the steps of jobs; returns a function that sends the last spans and stops.

    Raises:
        ConfigurationError: OpenTelemetry is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
    except ImportError:
        raise ConfigurationError(
            "RESTYLE_TRACES is set and OpenTelemetry is not installed: pip install 'catalog-restyle[otel]'"
        ) from None

    class Ids(RandomIdGenerator):
        """A trace's id by its job."""

        def generate_trace_id(self) -> int:
            return _trace.get(0) or super().generate_trace_id()

    attributes = {"service.name": "restyle", "service.instance.id": resources.tools.fleet.worker}
    provider = TracerProvider(id_generator=Ids(), resource=Resource.create(attributes))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    steps.listen(Traces(provider.get_tracer("restyle"), resources).step)

    def close() -> None:
        steps.listen(None)
        provider.shutdown()

    return close


class Traces:
    """The listener that makes a span of each step."""

    def __init__(self, tracer: Tracer, resources: Resources) -> None:
        self._tracer = tracer
        self._resources = resources

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A span around a step; that of a whole message also gets the spans of its planning and queueing."""
        from opentelemetry.trace import Status, StatusCode

        bound = structlog.contextvars.get_contextvars()
        attributes = {f"restyle.{key}": bound[key] for key in BOUND if key in bound}
        token, begin = None, time.time_ns()
        if name == JOB:
            token = _trace.set(trace_id(str(bound.get("run", "")), str(bound.get("job", ""))))
            before = self._before(str(bound.get("run", "")), int(bound.get("shard", 0)), begin)
            begin = min([begin, *(since for _, since, _ in before)])
        try:
            with self._tracer.start_as_current_span(
                name, attributes=attributes, start_time=begin, record_exception=False, set_status_on_exception=False
            ) as span:
                for part, since, until in before if name == JOB else ():
                    self._tracer.start_span(part, attributes=attributes, start_time=since).end(until)
                try:
                    yield
                except Dropped as why:
                    span.set_attribute("restyle.dropped", str(why))
                    raise
                except Exception as error:
                    span.set_status(Status(StatusCode.ERROR, str(error)))
                    raise
        finally:
            if token is not None:
                _trace.reset(token)

    def _before(self, run_id: str, shard: int, now: int) -> list[tuple[str, int, int]]:
        """Planning and queueing with their begin and end in nanoseconds, as far as they are known."""
        try:
            planned = self._resources.run(run_id).created
            fed = self._resources.progress.fed_at(run_id, shard)
        except (RestyleError, Dropped):
            return []
        begun = datetime.strptime(run_id[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        marks = [round(moment.timestamp() * 1e9) for moment in (begun, planned)]
        queued = min(max(round(fed * 1e9), marks[1]), now) if fed else marks[1]
        return [("plan", marks[0], max(marks)), ("queue", queued, now)]


def trace_id(run_id: str, job_id: str) -> int:
    """The id of a job's trace in a run: 16 bytes, the same in every process."""
    return int.from_bytes(hashlib.sha256(f"{run_id}\0{job_id}".encode()).digest()[:16])
