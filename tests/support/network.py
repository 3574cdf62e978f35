"""An environment that says nothing of certificates and proxies, whatever that of the machine says."""

from __future__ import annotations

import pytest

from restyle.http.trust import CA_VARIABLES

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def forget_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes all of it out of this process's environment for a test."""
    for name in CA_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
