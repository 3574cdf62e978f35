"""Logging: events with fields, for a terminal or as JSON lines, without API keys."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

from restyle.problems import escaped

# structlog would import rich for coloured tracebacks: 5 MB in each worker.
_HAS_RICH = "rich" in sys.modules
if not _HAS_RICH:
    sys.modules["rich"] = None  # type: ignore[assignment] # Python's own way to forbid an import
import structlog  # noqa: E402 - while that is forbidden

if not _HAS_RICH:
    del sys.modules["rich"]

#: The form of Segmind's keys: `SG_` and 16 hex digits.
_KEY = re.compile(r"SG_[0-9a-zA-Z]{8,}")
_TO_QUOTE = re.compile(r"[ \t=\r\n\"']")


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replaces whatever has the form of an API key, at any depth of a value."""
    for name, value in event.items():
        if value is None or isinstance(value, bool | int | float):
            continue
        text = value if isinstance(value, str) else repr(value)
        if "SG_" in text:
            event[name] = _KEY.sub("SG_***", text)
    return event


def plain(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    """A line in the form of structlog's console renderer without colours, in a fifth of its time."""
    exception = event.pop("exception", "")
    head = f"{event.pop('timestamp')} [{event.pop('level'):<9}] {event.pop('event'):<32}"
    if logger := event.pop("logger", ""):
        head += f" [{logger}]"
    fields = [f"{name}={_value(value)}" for name, value in sorted(event.items())]
    return " ".join([head, *fields]).rstrip() + (f"\n{exception}" if exception else "")


def _value(value: object) -> str:
    return value if isinstance(value, str) and not _TO_QUOTE.search(value) else repr(value)


def harmless(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escapes control and bidirectional characters, which a terminal would obey: texts from outside are logged."""
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[name] = "\n".join(map(escaped, value.split("\n"))) if name == "exception" else escaped(value)
    return event


class Lines(structlog.WriteLogger):
    """Writes the lines of a logger of this name.

    They bypass the standard library's logging, which would double the time of a line. As there, a line that cannot be
    written is lost, and nothing else: on a full disk an error here would cost the paid answer that it is about.
    """

    def __init__(self, name: str = "") -> None:
        """Writes to the present stderr."""
        super().__init__(sys.stderr)
        self.name = name

    def msg(self, message: str) -> None:
        """Writes a line, if it can be written."""
        with suppress(OSError, ValueError):  # full, or closed
            super().msg(message)

    log = debug = info = warn = warning = error = critical = fatal = failure = exception = msg


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
        harmless,
    ]
    renderer: Any = plain
    if log_format == "json":
        renderer = structlog.processors.JSONRenderer()
    elif sys.stderr.isatty():
        renderer = structlog.dev.ConsoleRenderer(pad_event_to=32)
    structlog.configure(
        processors=[*shared, renderer],
        logger_factory=Lines,
        wrapper_class=structlog.make_filtering_bound_logger(level.lower()),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    # Warnings of libraries become lines of the log.
    logging.captureWarnings(True)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("botocore", "boto3", "urllib3", "PIL", "s3transfer", "kombu", "amqp"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # Celery says "Task received/succeeded" for each job; our own outcome line says more.
    for name in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(name).setLevel(logging.WARNING)
