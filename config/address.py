"""The setting of an address on which a process listens."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Address:
    """Where a process listens; port 0 takes any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def read_address(text: object) -> object:
    """An address from `HOST:PORT`; a host in brackets may hold colons. A value that is no text is returned as it is.

    Raises:
        ValueError: it has another form.
    """
    if not isinstance(text, str):
        return text
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"write it as HOST:PORT, like 127.0.0.1:9808, not {text!r}")
    return Address(host.strip("[]"), int(port))
