"""The key of a result: what makes two jobs' pictures the same, and what keeps them apart."""

from __future__ import annotations

from typing import Any

import pytest

from restyle.fingerprint import Preparation
from restyle.job.results.keys import is_made_anew, result_key
from restyle.keys import derived_seed
from restyle.models import Params, RunOptions

RUN = "20260131T021500Z-ab12cd"
BYTES = "0" * 64


def key(job: str = "a", options: RunOptions | None = None, content: str = BYTES, run: str = RUN, **params: Any) -> str:
    """The key of a job with its derived seed, unless another is given."""
    params.setdefault("seed", derived_seed(job))
    told = Params(**{"prompt": "in felt", **params})
    return result_key(content, told, options or RunOptions(), job_id=job, run_id=run, variant="oak")


def test_one_picture_and_one_recipe_have_one_key() -> None:
    """Whoever asks, in whatever run; a derived seed is as good as any other derived one."""
    assert key("a") == key("b") == key("b", run="another") == key("c", seed=derived_seed("c", RUN))
    assert len(key()) == 64


@pytest.mark.parametrize(
    "other",
    [
        {"content": "1" * 64}, {"prompt": "in wool"}, {"strength": 0.5}, {"samples": 2}, {"seed": 7},
        {"options": RunOptions(model="another")}, {"options": RunOptions(preparation=Preparation(max_side=512))},
    ],
)  # fmt: skip
def test_what_makes_another_picture(other: dict[str, Any]) -> None:
    """Other bytes, another recipe or preparation, and a seed that somebody has chosen."""
    assert key(**other) != key()
    assert key("a", **other) == key("b", **other)


def test_a_random_seed_is_nobodys() -> None:
    """With -1 no two calls make the same picture, so nothing is shared."""
    assert key(seed=-1) == ""


@pytest.mark.parametrize("options", [RunOptions(reuse=False), RunOptions(own_pictures=("oak",))])
def test_a_picture_of_ones_own(options: RunOptions) -> None:
    """Without reuse each job has a key, the same in every run and after it was made anew."""
    assert key("a", options) != key("b", options)
    assert key("a", options) != key("a")
    assert key("a", options) == key("a", options, run="another") == key("a", options, seed=derived_seed("a", RUN))
    assert key("a", RunOptions(own_pictures=("sea",))) == key("a")


def test_made_anew() -> None:
    """A seed that its run drew asks for another picture; the first one, or a chosen one, does not."""
    for seed, expected in ((derived_seed("a", RUN), True), (derived_seed("a"), False), (7, False)):
        params = Params(prompt="p", seed=seed)
        assert is_made_anew(params, job_id="a", run_id=RUN) is expected


def test_a_key_stays_what_it_was() -> None:
    """Every picture that was paid for is found by it: written otherwise, all of them would be paid for again."""
    params = Params(prompt="a mug in félt", seed=7)
    key = result_key("c" * 64, params, RunOptions(), job_id="j", run_id="r", variant="v")
    assert key == "2afe929e274e4cf31046d59ab23b145c5c2746f0a3f53ec4c2f5ae1726e07528"
