"""What a call cost, as far as the API can be believed: budgets go by it, so a forged or broken figure must not."""

from __future__ import annotations

import threading
from dataclasses import replace

import structlog

from restyle.coordination.budgets import Budgets, weight
from restyle.models import Params
from restyle.segmind.responses import Answer

#: How many times the price that is expected a cost may be. Prices of models differ by less, and a table of prices that
#: is out of date is off by less; a cost in another unit, a sum in place of an amount, or a forged one is beyond it.
MOST_TIMES = 100

log = structlog.get_logger("restyle.costs")
_warned = threading.Event()


def most(params: Params, budgets: Budgets) -> float:
    """The highest cost of a call that is believed, by the price that is expected or the usual one, if it is higher."""
    return MOST_TIMES * max(budgets.price, budgets.ceiling, Budgets().price) * weight(params)


def believed(cost: float | None, params: Params, budgets: Budgets) -> float | None:
    """The cost, where it can be true: neither less than nothing, nor no number, nor beyond all prices. Else None."""
    if cost is None or 0 <= cost <= most(params, budgets):  # which NaN is not
        return cost
    if not _warned.is_set():  # once a process; each outcome says it of its own call
        _warned.set()
        log.warning("cost not believed: the configured price counts", cost=f"{cost:g}", most=most(params, budgets))
    return None


def judged(answer: Answer, params: Params, budgets: Budgets) -> Answer:
    """The answer with a cost that can be true, or none, so that the configured price counts; it says so."""
    cost = believed(answer.cost, params, budgets)
    return answer if cost is answer.cost else replace(answer, cost=None, disbelieved=f"{answer.cost:g}")


def doubt(disbelieved: str) -> str:
    """What an outcome says of a cost that was not believed."""
    return f"the API reports a cost of {disbelieved} credits, which is not believed: the configured price counts"
