"""A histogram a metric, brushed with the pointer: what is selected drawn over the whole.

Knows counts in bins and ranges. Knows nothing of queries: a brush only says which metric, from where to where.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import streamlit as st

_HERE = Path(__file__).parent
_PLOTS = st.components.v2.component(
    "captionscope.histograms",
    html='<div class="metrics"></div>',
    css=(_HERE / "histograms.css").read_text(encoding="utf-8"),
    js=(_HERE / "histograms.js").read_text(encoding="utf-8"),
)


@dataclass(frozen=True)
class Histogram:
    """Counts of all cases (`whole`) and of the selected ones (`part`) in equal bins from `low` to `high`."""

    key: str
    title: str
    low: float
    high: float
    whole: tuple[int, ...]
    part: tuple[int, ...]
    range: tuple[float, float] | None = None  # what was brushed


Brushed = Callable[[str, tuple[float, float] | None], None]
"""Called with a metric and its range, or None where the range was taken back."""


def histograms(drawn: list[Histogram], key: str, brushed: Brushed) -> None:
    """Draws `drawn` side by side; a brush calls `brushed`."""

    def dragged() -> None:
        sent = st.session_state[key].brushed
        by_key = {each.key: each for each in drawn}
        # The browser says which metric: believe it only if that one was sent.
        if isinstance(sent, dict) and sent.get("key") in by_key:
            brushed(sent["key"], _range(sent.get("range"), by_key[sent["key"]]))

    _PLOTS(key=key, data={"metrics": [asdict(each) for each in drawn]}, on_brushed_change=dragged)


def _range(sent: object, histogram: Histogram) -> tuple[float, float] | None:
    """Three decimals, rounded outwards at the ends: the highest value must not fall out of a brush that reaches it."""
    if not isinstance(sent, list) or len(sent) != 2 or not all(isinstance(end, int | float) for end in sent):
        return None
    low, high = (min(max(float(end), histogram.low), histogram.high) for end in sorted(sent))
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    low = math.floor(1000 * low) / 1000 if low == histogram.low else round(low, 3)
    high = math.ceil(1000 * high) / 1000 if high == histogram.high else round(high, 3)
    return low, high
