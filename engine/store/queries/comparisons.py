"""Paired tests of two settings, by every metric."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from duckdb import DuckDBPyConnection

from engine import statistics
from engine.metrics.pooling import POOLED
from engine.statistics import Pairs
from engine.store.queries import aligned
from engine.store.queries.columns import COUNTS, metrics
from engine.store.queries.stored import answer
from engine.store.schema import METRICS


def comparison(cursor: DuckDBPyConnection, run: str, beam: int, other: str, other_beam: int) -> pd.DataFrame:
    """Return every metric that two settings have on the same images, with its paired tests.

    Columns metric, images, left, right (over those images: means, or the corpus value of a pooled metric if its counts
    are stored), difference (left - right), low, high (95 % bootstrap interval), wins, ties, losses (images on which
    left is better, as good, worse), p_bootstrap, p_randomization, p_holm (p_randomization, corrected for the number of
    metrics), differing (images whose two sides differ at all), p_reachable (the smallest p_holm that so many differing
    images can give: if it is not below 5 %, no result is significant), pooled (whether the values are corpus values of
    stored counts); in METRICS' order.
    """
    if run != other:
        return _compared(cursor, run, beam, other, other_beam)
    keys = {"beam_size": int(min(beam, other_beam)), "other_beam_size": int(max(beam, other_beam))}
    found = answer(
        cursor,
        "beam_comparisons",
        run,
        keys,
        lambda: _compared(cursor, run, keys["beam_size"], run, keys["other_beam_size"]),
        f"list_position({list(METRICS)}::VARCHAR[], metric)",
    )
    return found if beam <= other_beam else _swapped(found)


def _swapped(found: pd.DataFrame) -> pd.DataFrame:
    """Return a comparison with the two sides swapped: a pair of beam sizes is tested once."""
    turned = found.assign(
        left=found.right,
        right=found.left,
        difference=-found.difference,
        low=-found.high,
        high=-found.low,
        wins=found.losses,
        losses=found.wins,
    )
    return turned[found.columns]


def _compared(cursor: DuckDBPyConnection, run: str, beam: int, other: str, other_beam: int) -> pd.DataFrame:
    known = metrics(cursor)
    sides = [aligned.scores(cursor, *side, known, COUNTS) for side in ((run, beam), (other, other_beam))]
    left, right = aligned.on_shared(*sides)
    pairs = {name: _pairs(left, right, name) for name in COUNTS}
    rows = [_tested(metric, left, right, pairs) for metric in known]
    frame = pd.DataFrame(
        [row for row in rows if row], columns=["metric", "images", "left", "right", "pooled", *_TESTED]
    )
    frame["p_holm"] = statistics.holm(list(frame.p_randomization))
    frame["p_reachable"] = statistics.holm(
        [statistics.smallest_p(int(count), statistics.RESAMPLES) for count in frame.differing]
    )
    return frame


_TESTED = ["difference", "low", "high", "wins", "ties", "losses", "p_bootstrap", "p_randomization", "differing"]

_Counted = tuple[np.ndarray, Pairs]
"""Which images have counts on both sides, bool[images], and the counts of these images."""


def _pairs(left: pa.Table, right: pa.Table, counts: str) -> _Counted | None:
    """Return the counts of both sides, whose resamples all metrics of these counts share; None if there are none."""
    sides = [aligned.counts_of(side, counts) for side in (left, right)]
    known = np.isfinite(sides[0]).all(1) & np.isfinite(sides[1]).all(1)
    return (known, Pairs(sides[0][known], sides[1][known])) if known.any() else None


def _tested(metric: str, left: pa.Table, right: pa.Table, counted: dict[str, _Counted | None]) -> dict[str, Any] | None:
    """Return the row of `comparison` for one metric, or None if no image has both values."""
    values = [aligned.numbers(side, metric) for side in (left, right)]
    known = np.isfinite(values[0]) & np.isfinite(values[1])
    if not known.any():
        return None
    pooled = POOLED.get(metric)
    counts = counted[pooled.counts] if pooled else None
    is_pooled = pooled is not None and counts is not None and bool((counts[0] == known).all())
    if is_pooled:
        pairs, score = counts[1], pooled.score
        corpus = [float(score(side.sum(0))) for side in (pairs.left, pairs.right)]
    else:
        pairs, score = Pairs(values[0][known], values[1][known]), None
        corpus = [float(np.mean(side)) for side in (pairs.left, pairs.right)]
    tested = statistics.compare_pairs(pairs, score, METRICS[metric].tie)
    row = {"metric": metric, "images": int(known.sum()), "left": corpus[0], "right": corpus[1], "pooled": is_pooled}
    row |= {name: getattr(tested, name) for name in _TESTED}
    if not METRICS[metric].higher_is_better:  # the test counts the image with the higher value as won
        row["wins"], row["losses"] = row["losses"], row["wins"]
    return row
