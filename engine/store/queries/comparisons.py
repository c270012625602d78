"""Paired tests of two settings, by every metric."""

from typing import Any

import numpy as np
import pandas as pd
from duckdb import DuckDBPyConnection

from engine import statistics
from engine.metrics.pooling import POOLED
from engine.store.queries.columns import COUNTS, count_columns, metric_column, metrics
from engine.store.queries.pairs import pair, sides
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
    known = metrics(cursor)
    columns = ", ".join(f"{side}.{metric_column(metric)} AS {side}_{metric}" for metric in known for side in "ab")
    counted = {
        f"{side}_{name}": f"{side}.{column}"
        for side in "ab"
        for kept in COUNTS
        for name, column in count_columns(kept).items()
    }
    counts = ", ".join(f"{column} AS {name}" for name, column in counted.items())
    found = cursor.execute(
        f"{pair(cursor)} SELECT {columns}, {counts} FROM a JOIN b USING (image_id) ORDER BY image_id",
        sides(run, beam, other, other_beam),
    ).df()
    rows = [_tested(metric, found) for metric in known]
    frame = pd.DataFrame(
        [row for row in rows if row], columns=["metric", "images", "left", "right", "pooled", *_TESTED]
    )
    frame["p_holm"] = statistics.holm(list(frame.p_randomization))
    frame["p_reachable"] = statistics.holm(
        [statistics.smallest_p(int(count), statistics.RESAMPLES) for count in frame.differing]
    )
    return frame


_TESTED = ["difference", "low", "high", "wins", "ties", "losses", "p_bootstrap", "p_randomization", "differing"]


def _tested(metric: str, found: pd.DataFrame) -> dict[str, Any] | None:
    """Return the row of `comparison` for one metric, or None if no image has both values."""
    known = found[found[[f"a_{metric}", f"b_{metric}"]].notna().all(axis=1)]
    if known.empty:
        return None
    left, right = (known[f"{side}_{metric}"].to_numpy(float) for side in "ab")
    score = None
    if metric in POOLED:
        counted = [_counted(known, side, POOLED[metric].counts) for side in "ab"]
        if all(np.isfinite(counts).all() for counts in counted):
            (left, right), score = counted, POOLED[metric].score
    tested = statistics.compare(left, right, pooled=score, tie=METRICS[metric].tie)
    corpus = [float(np.mean(side)) if score is None else float(score(side.sum(0))) for side in (left, right)]
    row = {"metric": metric, "images": len(known), "left": corpus[0], "right": corpus[1], "pooled": score is not None}
    row |= {name: getattr(tested, name) for name in _TESTED}
    if not METRICS[metric].higher_is_better:  # the test counts the image with the higher value as won
        row["wins"], row["losses"] = row["losses"], row["wins"]
    return row


def _counted(known: pd.DataFrame, side: str, counts: str) -> np.ndarray:
    """Return float64[images, C], the counts of one side; NaN if they are not stored."""
    return known[[f"{side}_{name}" for name in count_columns(counts)]].to_numpy(float, na_value=np.nan)
