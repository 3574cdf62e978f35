"""Which address stands for which door of the API, and whose account it is."""

from __future__ import annotations

import pytest

from config.reading import load_settings
from config.services import SEGMIND_HISTORY, SEGMIND_URL

V2 = "https://api.segmind.com/v2/sdxl-img2img"


@pytest.mark.parametrize(
    ("url", "v1", "v2", "history"),
    [
        (SEGMIND_URL, SEGMIND_URL, V2, SEGMIND_HISTORY),
        (V2, SEGMIND_URL, V2, SEGMIND_HISTORY),
        (
            "http://localhost:8000/v1/sdxl-img2img", "http://localhost:8000/v1/sdxl-img2img",
            "http://localhost:8000/v2/sdxl-img2img", "http://localhost:8000/inference-request/request-history",
        ),
        ("https://proxy/restyle", "https://proxy/restyle", "https://proxy/restyle",
         "https://proxy/inference-request/request-history"),
    ],
)  # fmt: skip
def test_each_door_has_its_address(url: str, v1: str, v2: str, history: str) -> None:
    """The version of an address of the API's form follows the door; any other address is taken as it is."""
    settings = load_settings(api_url=url)
    assert (settings.door_url("v1"), settings.door_url("v2"), settings.effective_history_url) == (v1, v2, history)


def test_both_doors_are_of_one_account() -> None:
    """Rate, suspension and credits are those of the account, whichever door is used and however it is written."""
    accounts = {
        load_settings(api_key="SG_0123456789abcdef", api=api, api_url=url).account
        for api in ("v1", "v2")
        for url in (SEGMIND_URL, V2)
    }
    assert len(accounts) == 1


def test_the_history_can_be_switched_off() -> None:
    """`off` means that nothing is looked up; another address is taken as given."""
    assert load_settings(history_url="off").effective_history_url == ""
    assert load_settings(history_url="https://history/of/mine/").effective_history_url == "https://history/of/mine"
