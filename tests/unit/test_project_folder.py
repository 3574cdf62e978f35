"""restyle.toml and .restyle are found from a folder below, as git finds its own; what others laid there is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from config.reading import config_path, load_settings

OTHER = 65_534


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `shop`, and the working directory two folders below it."""
    below = tmp_path / "shop" / "photos" / "2026"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    return tmp_path / "shop"


def test_a_folder_above_is_found(shop: Path) -> None:
    """Its settings hold, its workspace is used, and `config` says where that comes from."""
    (shop / ".restyle").mkdir()
    assert load_settings().home == shop / ".restyle"
    assert load_settings().source("home") == str(shop)
    (shop / "restyle.toml").write_text("max_rpm = 7\n")
    settings = load_settings()
    assert (config_path(), settings.max_rpm, settings.home) == (shop / "restyle.toml", 7, shop / ".restyle")


def test_paths_of_the_file_are_relative_to_its_folder(shop: Path) -> None:
    """Also where no .restyle is there yet; a variable and a flag are meant as they are typed."""
    (shop / "restyle.toml").write_text('home = "state"\napi_key_file = "key"\n')
    (shop / "key").write_text("from-the-file")
    settings = load_settings()
    assert settings.home == shop / "state"
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == "from-the-file"
    assert load_settings(home=Path("mine")).home == Path("mine")
    (shop / "restyle.toml").write_text("max_rpm = 7\n")
    assert load_settings().home == shop / ".restyle"


def test_the_nearest_folder_counts(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory before all; RESTYLE_CONFIG and RESTYLE_HOME before that."""
    (shop / "restyle.toml").write_text("max_rpm = 7\n")
    nearer = shop / "photos"
    (nearer / ".restyle").mkdir()
    assert (load_settings().home, load_settings().max_rpm) == (nearer / ".restyle", None)
    Path("restyle.toml").write_text("max_rpm = 3\n")
    assert (load_settings().home, load_settings().max_rpm) == (Path(".restyle"), 3)
    monkeypatch.setenv("RESTYLE_CONFIG", str(shop / "restyle.toml"))
    monkeypatch.setenv("RESTYLE_HOME", "mine")
    assert (load_settings().home, load_settings().max_rpm) == (Path("mine"), 7)


def test_without_one_a_new_one_begins_here(shop: Path) -> None:
    """As ever."""
    assert load_settings().home == Path(".restyle")
    assert load_settings().source("home") == "default"
    assert config_path() == Path("restyle.toml")


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("name", ["restyle.toml", ".restyle"])
def test_what_another_user_laid_above_is_passed_over(shop: Path, name: str) -> None:
    """Else whoever may write to a folder above, such as /tmp, could have the API key sent to an address of theirs."""
    laid = shop / name
    if name == "restyle.toml":
        laid.write_text('api_url = "https://evil.example/v1"\n')
    else:
        laid.mkdir()
    os.lchown(laid, OTHER, OTHER)
    assert load_settings().home == Path(".restyle")
    assert "evil" not in load_settings().api_url
    # One of ours beside it makes it no more ours.
    beside = shop / (".restyle" if name == "restyle.toml" else "restyle.toml")
    beside.mkdir() if name == "restyle.toml" else beside.write_text("")
    assert load_settings().home == Path(".restyle")
    assert "evil" not in load_settings().api_url
