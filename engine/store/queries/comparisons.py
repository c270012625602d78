"""Paired tests of two settings, by every metric."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from duckdb import DuckDBPyConnection

from engine import statistics
from engine.metrics.pooling import POOLED
from engine.statistics import Pairs, Pooled
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
    pairs = _of_counts(left, right, known)
    pairs |= _of_values(left, right, [metric for metric in known if metric not in pairs])
    rows = [_tested(metric, *pairs[metric]) for metric in known if metric in pairs]
    frame = pd.DataFrame(rows, columns=["metric", "images", "left", "right", "pooled", *_TESTED])
    frame["p_holm"] = statistics.holm(list(frame.p_randomization))
    frame["p_reachable"] = statistics.holm(
        [statistics.smallest_p(int(count), statistics.RESAMPLES) for count in frame.differing]
    )
    return frame


_TESTED = ["difference", "low", "high", "wins", "ties", "losses", "p_bootstrap", "p_randomization", "differing"]

_Pairs = tuple[Pairs, Pooled | None]
"""The values or counts of both sides, and what makes a corpus value of counts."""


def _of_values(left: pa.Table, right: pa.Table, metrics: list[str]) -> dict[str, _Pairs]:
    """Return the values of metrics on the images that have both; of the same images all metrics share the resamples."""
    values = {metric: [aligned.numbers(side, metric) for side in (left, right)] for metric in metrics}
    alike: dict[bytes, list[str]] = {}
    for metric, both in values.items():
        alike.setdefault(np.isfinite(both).all(0).tobytes(), []).append(metric)
    found = {}
    for images, some in alike.items():
        known = np.frombuffer(images, bool)
        if known.any():
            sides = [np.column_stack([values[metric][side][known] for metric in some]) for side in (0, 1)]
            pairs = Pairs(sides[0], sides[1])
            found |= {metric: (pairs.column(place), None) for place, metric in enumerate(some)}
    return found


def _of_counts(left: pa.Table, right: pa.Table, metrics: list[str]) -> dict[str, _Pairs]:
    """Return the counts of pooled metrics if all images that have both values have them."""
    found = {}
    for column in COUNTS:
        some = [metric for metric in metrics if metric in POOLED and POOLED[metric].counts == column]
        has_value = [np.isfinite([aligned.numbers(side, metric) for side in (left, right)]).all(0) for metric in some]
        if any(side[column].null_count == len(side) for side in (left, right)):
            continue
        sides = [aligned.counts_of(side, column) for side in (left, right)]
        known = np.isfinite(sides[0][:, 0]) & np.isfinite(sides[1][:, 0])
        if known.any():
            pairs = Pairs(sides[0][known], sides[1][known])
            for metric, has in zip(some, has_value, strict=True):
                score = POOLED[metric].score
                # An image can have counts and no value: CHAIRi of a caption without mentions.
                if not (has & ~known).any() and np.isfinite([score(side) for side in pairs.sums]).all():
                    found[metric] = pairs, score
    return found


def _tested(metric: str, pairs: Pairs, score: Pooled | None) -> dict[str, Any]:
    """Return the row of `comparison` for one metric."""
    sides = (pairs.left, pairs.right) if score is None else pairs.sums
    corpus = [float(np.mean(side) if score is None else score(side)) for side in sides]
    tested = statistics.compare_pairs(pairs, score, METRICS[metric].tie)
    row = {"metric": metric, "images": len(pairs.left), "left": corpus[0], "right": corpus[1]}
    row["pooled"] = score is not None
    row |= {name: getattr(tested, name) for name in _TESTED}
    if not METRICS[metric].higher_is_better:  # the test counts the image with the higher value as won
        row["wins"], row["losses"] = row["losses"], row["wins"]
    return row
