"""One histogram per metric, with a brush: selected cases drawn over all cases.

Knows counts in bins and ranges. Knows no query: a brush gives a metric and its range.
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
    range: tuple[float, float] | None = None  # brushed range


Brushed = Callable[[str, tuple[float, float] | None], None]
"""Called with a metric and its range, or None if the range was removed."""


def histograms(drawn: list[Histogram], key: str, brushed: Brushed) -> None:
    """Draw histograms side by side; a brush calls `brushed`."""

    def dragged() -> None:
        sent = st.session_state[key].brushed
        by_key = {each.key: each for each in drawn}
        # The key comes from the browser: accept only metrics that were sent.
        if isinstance(sent, dict) and sent.get("key") in by_key:
            brushed(sent["key"], _range(sent.get("range"), by_key[sent["key"]]))

    _PLOTS(key=key, data={"metrics": [asdict(each) for each in drawn]}, on_brushed_change=dragged)


def _range(sent: object, histogram: Histogram) -> tuple[float, float] | None:
    """Return a range with three decimals, rounded outwards at the ends so that it includes the extreme values."""
    if not isinstance(sent, list) or len(sent) != 2 or not all(isinstance(end, int | float) for end in sent):
        return None
    low, high = (min(max(float(end), histogram.low), histogram.high) for end in sorted(sent))
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    low = math.floor(1000 * low) / 1000 if low == histogram.low else round(low, 3)
    high = math.ceil(1000 * high) / 1000 if high == histogram.high else round(high, 3)
    return low, high
