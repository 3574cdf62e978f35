"""Reads settings from flags, the environment and restyle.toml; the error lists every wrong one."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Set
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from config.schedules import readable
from config.services import SEGMIND_URL
from config.settings import PREFIX, TABLES, Settings
from restyle.errors import ConfigurationError

#: Settings of the environment only: the file's own path, and secrets, which no file may hold.
_ENVIRONMENT_ONLY = frozenset(
    {
        "config",
        "api_key",
        "dashboard_token",
        "dashboard_view_token",
        "notify_secret",
        "notify_slack",
        "redis_sentinel_password",
        "smtp_password",
    }
)


#: Characters of the API key's file that are read, and of the settings' file.
_LONGEST_KEY, _LONGEST_FILE = 10_000, 1_000_000


#: What marks a project's folder: the settings, or the embedded stack's state.
CONFIG, HOME = "restyle.toml", ".restyle"


#: Settings that are paths.
_PATHS = frozenset(
    name for name, field in Settings.model_fields.items()
    if field.annotation is Path or Path in get_args(field.annotation)
)  # fmt: skip


def project_folder() -> Path:
    """The folder that has restyle.toml or .restyle: the working directory, else the nearest above, else the first.

    In a folder above, only files of this user count: anybody may write to some folders, such as /tmp.
    """
    here = Path()
    if not any((here / name).exists() for name in (CONFIG, HOME)):
        for folder in Path.cwd().parents:
            there = [path for name in (CONFIG, HOME) if os.path.lexists(path := folder / name)]
            if there and all(map(_is_own, there)):
                return folder
    return here


def _is_own(path: Path) -> bool:
    try:
        return path.lstat().st_uid == os.getuid()
    except OSError:
        return False


def config_path() -> Path:
    """The settings file: RESTYLE_CONFIG, or restyle.toml of the project's folder."""
    return Path(os.environ.get(f"{PREFIX}CONFIG") or project_folder() / CONFIG)


def load_settings(**flags: Any) -> Settings:
    """The settings of this process; flags that are None were not given.

    Raises:
        ConfigurationError: a value or a name is wrong; all of them are listed.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    folder, in_file = project_folder(), _read_file(config_path())
    in_environment = _read_environment()
    is_above = folder != Path()
    if is_above and not {"home"} & (given.keys() | in_file.keys() | in_environment.keys()):
        given["home"] = folder / HOME
    if "api_key" not in given and "api_key" not in in_environment and (key := _read_key(given, in_file)):
        given["api_key"] = key
    try:
        settings = Settings(**{**in_file, **in_environment, **given})
    except ValidationError as error:
        elsewhere = in_environment.keys() | given.keys()
        lines = [_readable(problem, in_file, elsewhere) for problem in error.errors()]
        raise ConfigurationError("\n".join(lines)) from None
    if settings.redis_url and not settings.workspace:
        raise ConfigurationError(
            "RESTYLE_REDIS_URL is set but RESTYLE_WORKSPACE is not: a fleet needs a bucket that all its workers"
            " reach. Set RESTYLE_WORKSPACE=s3://bucket/prefix"
        )
    if settings.sandbox and settings.redis_url and settings.api_url == SEGMIND_URL:
        raise ConfigurationError(
            "--sandbox with RESTYLE_REDIS_URL needs a sandbox that every worker reaches: start one with"
            " `restyle sandbox` and set RESTYLE_API_URL to its address"
        )
    file_name = str(config_path())
    settings._sources.update(dict.fromkeys(in_file, file_name))  # noqa: SLF001 - of our own class - the one that builds it fills it
    settings._sources.update(dict.fromkeys(in_environment, "environment"))  # noqa: SLF001 - of our own class
    settings._sources.update({name: "flag" for name, value in flags.items() if value is not None})  # noqa: SLF001 - of our own class
    if is_above and flags.get("home") is None and "home" in given:
        settings._sources["home"] = str(folder)  # noqa: SLF001 - of our own class - as above
    if "api_key" in given and flags.get("api_key") is None:
        settings._sources["api_key"] = "SEGMIND_API_KEY" if _segmind_key() else "api_key_file"  # noqa: SLF001 - of our own class - as above
    return settings


def _segmind_key() -> str:
    return os.environ.get("SEGMIND_API_KEY", "").strip()


def _read_key(given: dict[str, Any], in_file: dict[str, Any]) -> str:
    """The key from SEGMIND_API_KEY or from the key file."""
    if key := _segmind_key():
        return key
    path = given.get("api_key_file") or os.environ.get(f"{PREFIX}API_KEY_FILE") or in_file.get("api_key_file")
    if not path:
        return ""
    try:
        with Path(path).open(encoding="utf-8-sig") as file:
            return file.read(_LONGEST_KEY).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the API key file cannot be read: {error}") from None


def _read_file(path: Path) -> dict[str, Any]:
    """The settings file's content; a missing default file is empty, a missing RESTYLE_CONFIG an error."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(_LONGEST_FILE + 1)
        if len(text) > _LONGEST_FILE:
            raise ConfigurationError(f"{path}: is larger than {_LONGEST_FILE:,} characters: is it the settings' file?")
        content = tomllib.loads(text)
    except FileNotFoundError:
        if os.environ.get(f"{PREFIX}CONFIG"):
            raise ConfigurationError(f"RESTYLE_CONFIG names {path}, which does not exist") from None
        return {}
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: is not UTF-8; save it in that encoding") from None
    except (
        ValueError,
        RecursionError,
        OSError,
    ) as error:  # of a number with thousands of digits it is no TOMLDecodeError
        raise ConfigurationError(f"{path}: {error}") from None
    for secret in sorted(_ENVIRONMENT_ONLY - {"config"}):
        if secret in content:
            name = f"{PREFIX}{secret.upper()}"
            raise ConfigurationError(f"{path}: {secret}: no secret belongs in a file that is shared; use {name}")
    known = Settings.model_fields.keys() - _ENVIRONMENT_ONLY
    wrong = [f"{path}: {name}: unknown setting{_nearest(name, known)}" for name in content.keys() - known]
    if wrong:
        raise ConfigurationError("\n".join(sorted(wrong)))
    return {name: _from_folder(value, path.parent) if name in _PATHS else value for name, value in content.items()}


def _from_folder(value: Any, folder: Path) -> Any:
    """A path of the settings file, which is relative to the file's folder, wherever the command is typed."""
    return str(folder / value) if isinstance(value, str) and not os.environ.get(f"{PREFIX}CONFIG") else value


def _read_environment() -> dict[str, str]:
    """The settings that the environment gives; an empty variable counts as unset.

    Files that become variables leave line ends and blanks behind, with which a workspace would be another one.
    """
    values = {
        name.removeprefix(PREFIX).lower(): text
        for name, value in os.environ.items()
        if name.startswith(PREFIX) and (text := value.strip())
    }
    known = (Settings.model_fields.keys() | {"config"}) - TABLES
    names = {f"{PREFIX}{name.upper()}" for name in known}
    unknown = [f"{PREFIX}{name.upper()}" for name in values.keys() - known]
    wrong = [f"{name}: unknown setting{_nearest(name, names)}" for name in unknown]
    if wrong:
        raise ConfigurationError("\n".join(sorted(wrong)))
    values.pop("config", None)
    return values


def _nearest(name: str, known: set[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {close[0]}?" if close else ""


def _readable(problem: Any, in_file: dict[str, Any], elsewhere: Set[str]) -> str:
    """What is wrong with a value, under the name that it has where it was given."""
    table = problem["loc"][0] if problem["loc"] else ""
    if table in {"schedule", "notify"}:
        return f"{config_path()}: {readable(problem, in_file, _nearest)}"
    name = ".".join(str(part) for part in problem["loc"])
    place = f"{config_path()}: {name}" if table in in_file.keys() - elsewhere else f"{PREFIX}{name.upper()}"
    return f"{place}: {problem['msg'].removeprefix('Value error, ')}"
