"""Whether a command may have its run done by a worker that another command has started."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apps.stack.fitting import check_worker, describe_worker
from config.reading import load_settings
from config.settings import Settings
from restyle.errors import ConfigurationError

OURS = {"api_url": "http://127.0.0.1:1/v1/sdxl-img2img", "api_key": "SG_ours", "workspace": "s3://shop/ws"}


def settings(**changed: Any) -> Settings:
    """Settings of a command."""
    return load_settings(**{**OURS, **changed})


def story(**changed: Any) -> dict[str, Any]:
    """What the keeper of a worker with such settings tells, read again from its file."""
    values: dict[str, Any] = json.loads(json.dumps(describe_worker(settings(**changed))))
    return values


@pytest.mark.parametrize(
    ("theirs", "ours", "word"),
    [
        ({"api_key": "SG_theirs"}, {}, "another API key"),
        ({"api_url": "http://127.0.0.1:2/v1/sdxl-img2img"}, {}, "api_url http://127.0.0.1:2"),
        ({"api": "v2"}, {}, "api v2 (here v1)"),
        ({}, {"daily_budget": 5.0}, "daily_budget 0.0 (here 5.0)"),
        ({"in_doubt": "retry"}, {"in_doubt": "hold"}, "in_doubt retry (here hold)"),
        ({}, {"max_rpm": 10}, "max_rpm 0 (here 10)"),
        ({"max_rpm": 20}, {"max_rpm": 10}, "max_rpm 20 (here 10)"),
    ],
)
def test_what_is_refused(theirs: dict[str, Any], ours: dict[str, Any], word: str) -> None:
    """Another account, way, limit of spending, or a higher rate: the promise of the command could not be kept."""
    sentences: list[str] = []
    with pytest.raises(ConfigurationError) as refused:
        check_worker(settings(**ours), story(**theirs), sentences.append)
    assert word in refused.value.message
    assert "SG_" not in refused.value.message
    assert sentences == []


@pytest.mark.parametrize(
    ("theirs", "ours", "words"),
    [
        ({}, {}, 0),
        ({"max_rpm": 10}, {}, 1),
        ({"max_rpm": 10}, {"max_rpm": 20}, 1),
        ({"concurrency": 1}, {"concurrency": 4}, 1),
        ({"price": 1.0}, {"confirm_above": 1.0, "naming": "{id}"}, 0),
    ],
)
def test_what_is_only_said(theirs: dict[str, Any], ours: dict[str, Any], words: int) -> None:
    """What makes it slower, or more patient, is sentences in one sentence; what is frozen in a plan is no matter."""
    sentences: list[str] = []
    check_worker(settings(**ours), story(**theirs), sentences.append)
    assert len(sentences) == words
