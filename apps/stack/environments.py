"""The environments of the processes that a command starts: each gets what it uses, and no secret that it does not."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pydantic import SecretStr

from config.settings import PREFIX, TABLES, Settings

#: The variable with the path of the settings' file, which is passed on as it is.
_KEPT = f"{PREFIX}CONFIG"

#: Settings that a worker does not use: the dashboard's.
_DASHBOARD = frozenset(name for name in Settings.model_fields if name.startswith("dashboard_"))
#: A beat calls nobody and sends nothing.
_BEAT = _DASHBOARD | {"api_key", "api_key_file", "smtp_password", "notify_secret", "notify_slack"}


def of_worker(settings: Settings) -> dict[str, str]:
    """For a worker: exactly these settings, and other programs' variables, for S3, proxies, certificates and traces."""
    return _ours(settings, without=_DASHBOARD)


def of_beat(settings: Settings) -> dict[str, str]:
    """For a beat."""
    return _ours(settings, without=_BEAT)


def _ours(settings: Settings, *, without: frozenset[str]) -> dict[str, str]:
    """The environment, with only these settings of ours; the rest stays: helpers that get S3's keys may use it."""
    others = {name: value for name, value in os.environ.items() if not name.startswith((PREFIX, "SEGMIND_"))}
    kept = {_KEPT: os.environ[_KEPT]} if _KEPT in os.environ else {}
    return {**others, **kept, **_named(settings, without)}


def _named(settings: Settings, without: frozenset[str]) -> Mapping[str, str]:
    """The settings as an environment; secrets travel here, never in argv."""
    variables = {}
    for name in Settings.model_fields.keys() - TABLES - without:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        if value is not None:
            variables[f"{PREFIX}{name.upper()}"] = str(value)
    return variables
