"""A scatter plot of two metrics, divided at their medians: the user selects a region or clicks a case.

Knows points and regions in the units of the metrics. Knows no query and no page.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

_HERE = Path(__file__).parent
_PLOT = st.components.v2.component(
    "captionscope.quadrant",
    html='<div class="quadrant"></div>',
    css=(_HERE / "quadrant.css").read_text(encoding="utf-8"),
    js=(_HERE / "quadrant.js").read_text(encoding="utf-8"),
)
MOST_CORNERS = 64

Corners = tuple[tuple[float, float], ...]
Box = tuple[float, float, float, float]
"""Lowest and highest x, lowest and highest y."""


@dataclass(frozen=True)
class Axis:
    """A metric with the ends of its axis and its median."""

    title: str
    low: float
    high: float
    middle: float


@dataclass(frozen=True)
class Quarter:
    """One of the four quarters: its name, meaning, number of cases and region."""

    name: str
    meaning: str
    cases: int
    box: Box


@dataclass(frozen=True)
class Acts:
    """Callbacks: a region was selected or removed, or a point was clicked."""

    lasso: Callable[[Corners], None]
    box: Callable[[Box], None]
    clear: Callable[[], None]
    case: Callable[[str], None]


def quadrant(
    points: pd.DataFrame,
    x: Axis,
    y: Axis,
    quarters: list[Quarter],
    key: str,
    acts: Acts,
    corners: Corners | None = None,
    box: Box | None = None,
    chosen: str = "",
) -> None:
    """Draw `points` (`queries.scattered`) with the selected region, if any."""

    def acted() -> None:
        _act(st.session_state[key].acted, set(points.image_id), acts)

    drawn = {
        "id": points.image_id.tolist(),
        "x": points.x.to_numpy(float).round(4).tolist(),
        "y": points.y.to_numpy(float).round(4).tolist(),
        "selected": points.selected.to_numpy(int).tolist(),
    }
    data = {
        "points": drawn,
        "x": asdict(x),
        "y": asdict(y),
        "quadrants": [asdict(quarter) for quarter in quarters],
        "corners": corners,
        "box": box,
        "chosen": chosen,
    }
    _PLOT(key=key, data=data, on_acted_change=acted)


def _act(sent: Any, known: set[str], acts: Acts) -> None:
    """Call the callback of an action from the browser; invalid actions are ignored."""
    kind = sent.get("kind") if isinstance(sent, dict) else None
    if kind == "clear":
        acts.clear()
    elif kind == "case" and sent.get("id") in known:
        acts.case(sent["id"])
    elif kind == "box" and _finite(sent.get("box"), 4):
        left, right, bottom, top = map(float, sent["box"])
        acts.box((left, right, bottom, top))
    elif kind == "lasso" and isinstance(sent.get("corners"), list):
        corners = tuple((float(c[0]), float(c[1])) for c in sent["corners"][:MOST_CORNERS] if _finite(c, 2))
        if len(corners) > 2:
            acts.lasso(corners)


def _finite(values: Any, count: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) == count
        and all(isinstance(value, int | float) and math.isfinite(value) for value in values)
    )
