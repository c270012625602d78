"""Which metrics are shown first, and in which direction a metric is better.

A plugin may add a metric to `engine.store.schema.METRICS` at run time, also one where lower values are better: nothing
else in the dashboard may assume that a higher value is better. Knows no value and draws nothing.
"""

from collections.abc import Iterable
from typing import TypeVar

import pandas as pd

from engine.store.orders import definition
from engine.store.schema import BUILT_IN, METRICS

Number = TypeVar("Number", float, pd.Series)

HEADLINES = ("cider", "clipscore")
"""The metrics of this project that are shown first."""

_DETAILS = BUILT_IN.difference(HEADLINES)
"""The other metrics of this project; a metric in neither set comes from a plugin."""


def headlines(present: Iterable[str]) -> list[str]:
    """Return the metrics among `present` that are shown first: CIDEr, CLIPScore and those of plugins."""
    known = set(present)
    return [metric for metric in dict.fromkeys([*HEADLINES, *METRICS]) if metric in known and metric not in _DETAILS]


def ordered(present: Iterable[str]) -> list[str]:
    """Return the metrics among `present`, those that are shown first in front, else in the order of METRICS."""
    known = set(present)
    return list(dict.fromkeys([*headlines(known), *(metric for metric in METRICS if metric in known)]))


def higher_is_better(metric: str) -> bool:
    """Return whether a higher value of `metric` is better."""
    return definition(metric).higher_is_better


def gain(metric: str, change: Number) -> Number:
    """Return `change`, a difference of values of `metric` or a Series of them, with the sign that is + for better."""
    return change if higher_is_better(metric) else -change


def best_word(metric: str) -> str:
    """Return what the best value of `metric` is: "highest" or "lowest"."""
    return "highest" if higher_is_better(metric) else "lowest"


def worst_word(metric: str) -> str:
    """Return what the worst value of `metric` is: "lowest" or "highest"."""
    return "lowest" if higher_is_better(metric) else "highest"


def better_word(metric: str) -> str:
    """Return what a better value of `metric` is: "higher" or "lower"."""
    return "higher" if higher_is_better(metric) else "lower"
