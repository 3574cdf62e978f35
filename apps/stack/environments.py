"""What each process that a command starts gets of its environment: what it uses, and no secret of another's."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pydantic import SecretStr

from config.settings import PREFIX, TABLES, Settings

#: Where a process of ours reads its settings from; all others it gets as they are.
_KEPT = f"{PREFIX}CONFIG"

#: Settings that a worker does not use: the dashboard's.
_DASHBOARD = frozenset(name for name in Settings.model_fields if name.startswith("dashboard_"))
#: A beat calls nobody and sends nothing.
_BEAT = _DASHBOARD | {"api_key", "api_key_file", "smtp_password", "notify_secret", "notify_slack"}


def of_worker(settings: Settings) -> dict[str, str]:
    """For a worker: exactly these settings, and what S3, proxies, certificates and traces go by."""
    return _ours(settings, without=_DASHBOARD)


def of_beat(settings: Settings) -> dict[str, str]:
    """For a beat."""
    return _ours(settings, without=_BEAT)


def _ours(settings: Settings, *, without: frozenset[str]) -> dict[str, str]:
    """The machine's environment without any setting of ours but these: helpers that get S3's credentials may use it."""
    others = {name: value for name, value in os.environ.items() if not name.startswith((PREFIX, "SEGMIND_"))}
    kept = {_KEPT: os.environ[_KEPT]} if _KEPT in os.environ else {}
    return {**others, **kept, **_named(settings, without)}


def _named(settings: Settings, without: frozenset[str]) -> Mapping[str, str]:
    """The settings as an environment; secrets travel here, never in argv."""
    told = {}
    for name in Settings.model_fields.keys() - TABLES - without:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        if value is not None:
            told[f"{PREFIX}{name.upper()}"] = str(value)
    return told
