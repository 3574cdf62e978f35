"""Settings as files, editors and secret stores hand them over: line ends, blanks, quotes, a BOM, no numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.reading import load_settings
from config.settings import Settings
from restyle.errors import ConfigurationError

_AROUND = ["{}\n", "{}\r", " {} ", "\t{}\r\n"]


@pytest.mark.parametrize("around", _AROUND)
def test_what_stands_around_a_value_is_no_part_of_it(around: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A workspace with a line end would be another one, where all is paid for again; a token would fit nobody."""
    values = {"WORKSPACE": "s3://lab/ws", "API_KEY": "SG_0123", "DASHBOARD_TOKEN": "a-token-of-16-characters"}
    for name, value in values.items():
        monkeypatch.setenv(f"RESTYLE_{name}", around.format(value))
    monkeypatch.setenv("RESTYLE_REDIS_URL", around.format(""))
    settings = load_settings()
    assert settings.workspace == "s3://lab/ws"
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == "SG_0123"
    assert settings.dashboard_token is not None
    assert settings.dashboard_token.get_secret_value() == "a-token-of-16-characters"
    assert settings.redis_url is None


@pytest.mark.parametrize(
    "key", ["SG_01\nSG_23", '"SG_0123"', "'SG_0123'", "SG 0123", "SG_\u0431", "SG_01\x1b", "SG_\u200b"]
)
@pytest.mark.parametrize("name", ["RESTYLE_API_KEY", "SEGMIND_API_KEY", "RESTYLE_API_KEY_FILE"])
def test_a_key_that_is_none_is_refused_without_a_word_of_it(
    name: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes into a header: the library that refuses it there repeats all of it, to logs and to who is notified."""
    Path("key").write_text(key, encoding="utf-8")
    monkeypatch.setenv(name, "key" if name.endswith("_FILE") else key)
    with pytest.raises(ConfigurationError, match="RESTYLE_API_KEY: has a blank, a quote, a line break") as refused:
        load_settings()
    assert "SG" not in refused.value.message


def test_a_key_file_with_a_bom(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an editor of Windows saves it."""
    Path("key").write_text("SG_0123\r\n", encoding="utf-8-sig")
    monkeypatch.setenv("RESTYLE_API_KEY_FILE", "key")
    key = load_settings().api_key
    assert key is not None
    assert key.get_secret_value() == "SG_0123"


def test_a_key_file_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more of it is read than a key can have."""
    monkeypatch.setenv("RESTYLE_API_KEY_FILE", "/dev/zero")
    with pytest.raises(ConfigurationError, match="RESTYLE_API_KEY: has a blank"):
        load_settings()


def test_a_settings_file_with_a_bom() -> None:
    """It is read; in another encoding it is refused in a sentence."""
    Path("restyle.toml").write_text("max_rpm = 7\r\n", encoding="utf-8-sig")
    assert load_settings().max_rpm == 7
    Path("restyle.toml").write_text("max_rpm = 7\r\n", encoding="utf-16")
    with pytest.raises(ConfigurationError, match=r"restyle\.toml: is not UTF-8; save it"):
        load_settings()


@pytest.mark.parametrize(
    "content", ["a = " + "[" * 100_000, f"max_rpm = {'9' * 5000}", "max_rpm = 7\nmax_rpm = 8", "\0"]
)
def test_a_settings_file_that_is_no_toml(content: str) -> None:
    """Whatever is wrong with it."""
    Path("restyle.toml").write_text(content)
    with pytest.raises(ConfigurationError, match=r"restyle\.toml: "):
        load_settings()


@pytest.mark.parametrize("number", ["inf", "-inf", "nan", "1e400"])
def test_every_number_is_finite(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A price or a wait that is none would be found out as jobs run."""
    floats = [name for name, field in Settings.model_fields.items() if field.annotation is float]
    assert len(floats) > 20
    for name in floats:
        monkeypatch.setenv(f"RESTYLE_{name.upper()}", number)
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    assert [line.partition(":")[0] for line in refused.value.message.splitlines()] == [
        f"RESTYLE_{name.upper()}" for name in floats
    ]


def test_a_settings_file_that_cannot_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that the system refuses is an error in a sentence."""
    monkeypatch.setenv("RESTYLE_CONFIG", "x" * 5000)
    with pytest.raises(ConfigurationError, match="File name too long"):
        load_settings()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('concurrency = "many"', "restyle.toml: concurrency: "),
        ('[schedule]\nname = "night"', r"restyle.toml: \[\[schedule\]\]: write each schedule below a line"),
        ("", "RESTYLE_CONCURRENCY: "),
    ],
    ids=["in the file", "one bracket", "in the environment"],
)
def test_a_wrong_value_is_named_where_it_is(content: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of restyle.toml was looked for among the variables of the environment."""
    Path("restyle.toml").write_text(content)
    if not content:
        monkeypatch.setenv("RESTYLE_CONCURRENCY", "many")
    with pytest.raises(ConfigurationError, match=f"^{says}"):
        load_settings()


def test_a_misspelt_variable_is_named_as_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the hint can be typed."""
    monkeypatch.setenv("RESTYLE_CONCURENCY", "3")
    with pytest.raises(ConfigurationError, match="did you mean RESTYLE_CONCURRENCY"):
        load_settings()
