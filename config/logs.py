"""How processes log: events with fields, for a terminal or as JSON lines; the API key never among them."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

from restyle.absent import absent

with absent("rich"):  # which it would load for tracebacks in colour, and each worker keep in memory: 5 MB
    import structlog

#: The form of Segmind's keys (research: `SG_` and 16 hex digits), whoever logs them.
_KEY = re.compile(r"SG_[0-9a-zA-Z]{8,}")


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replaces what looks like an API key in any text field."""
    for name, value in event.items():
        if isinstance(value, str) and "SG_" in value:
            event[name] = _KEY.sub("SG_***", value)
    return event


def configure(log_format: str, level: str) -> None:
    """Sets up structlog and the standard library's logging alike, on stderr."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    renderer = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=32)
    )
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    # A warning of a library is a line like any other.
    logging.captureWarnings(True)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("botocore", "boto3", "urllib3", "PIL", "s3transfer", "kombu", "amqp"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # Celery says "Task received/succeeded" for each job; our own outcome line says more.
    for name in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(name).setLevel(logging.WARNING)
