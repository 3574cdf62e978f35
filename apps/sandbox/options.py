"""A sandbox's options: set at its start, and changed while it runs by its control endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

#: Faults of a call; a number is an HTTP status.
FAULTS = frozenset(
    {
        "400", "401", "403", "404", "406", "429", "500", "502", "503", "504",
        "timeout", "reset", "reset_midway", "truncated", "html", "garbage", "empty",
        "lost", "failed", "expired", "stuck", "black", "flat", "same", "stretched", "small",
    }
)  # fmt: skip
#: Faults under a 200: the API made a picture, and bills it.
BILLED_FAULTS = frozenset({"truncated", "html", "garbage", "empty", "reset_midway", "lost"})
#: Whole but useless pictures, in the place of those that were made.
BAD_PICTURES = frozenset({"black", "flat", "same", "stretched", "small"})
#: Faults of the queue behind `/v2`, after a request has been accepted.
LATER_FAULTS = frozenset({"failed", "expired", "stuck"})
#: Faults of a poll of a request, and of a download.
_FAULTS_OF_BOTH = frozenset({"401", "403", "404", "429", "500", "502", "503", "504", "reset"})
POLL_FAULTS = _FAULTS_OF_BOTH | {"202"}
DOWNLOAD_FAULTS = _FAULTS_OF_BOTH | {"html"}


class Script(BaseModel):
    """Answers for the next calls that match, one after the other; 200 is a picture, `406: words` an error's words."""

    model_config = ConfigDict(extra="forbid")

    prompt_contains: str = ""
    """Only calls whose prompt has this text; empty: every call."""
    answers: list[str]

    def matches(self, prompt: str) -> bool:
        """Whether the next answer is for a call with this prompt."""
        return bool(self.answers) and self.prompt_contains in prompt


class SandboxOptions(BaseModel):
    """The sandbox's behaviour."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    credits: float = Field(100.0, ge=0)
    """Balance of the account."""
    price: float = Field(0.02, ge=0)
    """Credits a sample of 30 steps."""
    price_spread: float = Field(0.0, ge=0, le=1)
    """Share by which a call's cost may differ from the price, drawn evenly; 0.5: between half and one and a half."""
    credits_body: str = ""
    """What `GET /v1/get-user-credits` answers in place of the balance, as it is."""
    latency: float = Field(0.5, ge=0)
    """Seconds a call takes."""
    jitter: float = Field(0.0, ge=0)
    """Seconds by which a call may take longer, drawn evenly."""
    api_key: str = ""
    """The one good key; empty: any key is good."""
    rpm: int = Field(0, ge=0)
    """Calls a minute, above which it answers 429; 0: no limit."""
    reset_header: Literal["retry-after", "x-rate-limit-reset-at-utc", "none"] = "x-rate-limit-reset-at-utc"
    """The header by which a 429 says when the limit resets."""
    reset_headers: dict[str, str] = {}
    """Headers of a 429 in the place of that one."""
    messages: dict[str, str] = {}
    """Messages of errors, by their status, in the place of the usual ones."""
    rates: dict[str, float] = {}
    """Faults of calls, each with the share of calls that have it."""
    scripts: list[Script] = []
    """Answers for coming calls; the first script that matches gives its next one."""
    polls: dict[str, float] = {}
    """Faults of polls of `/v2`, each with the share of polls that have it."""
    downloads: dict[str, float] = {}
    """Faults of downloads of the results of `/v2`, each with its share."""
    history: bool = True
    """Whether the account's request history can be read."""
    history_lag: float = Field(0.0, ge=0)
    """Seconds after which a request is in the history."""
    headers: bool = True
    """Whether answers carry the headers about credits and cost, all of which are optional."""

    def model_post_init(self, _context: Any) -> None:
        """Refuses faults that do not exist."""
        check_faults(self.rates)
        check_faults(self.polls, POLL_FAULTS)
        check_faults(self.downloads, DOWNLOAD_FAULTS)


def check_faults(rates: Mapping[str, float], known: frozenset[str] = FAULTS) -> None:
    """Raises ValueError where a name is no fault or a rate no share."""
    for name, rate in rates.items():
        if name not in known:
            raise ValueError(f"unknown fault {name!r}; there are {', '.join(sorted(known))}")
        if not 0 <= rate <= 1:
            raise ValueError(f"the rate of {name} is not between 0 and 1: {rate}")
