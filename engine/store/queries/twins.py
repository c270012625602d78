"""Twins: pairs of generated pictures that differ in one object, and where their captions differ."""

import pandas as pd
from duckdb import DuckDBPyConnection

from engine.statistics import wilson_interval

_MEASURES = ("object_changed", "named_changed", "elsewhere_changed", "same")


def twin_shares(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """Return how often the caption of a twin differs: a row per change, and no row for runs without twins.

    Columns change, pairs, named (pairs whose original caption names the object), and for each of object_changed,
    named_changed (of the named ones), elsewhere_changed and same (the same text) the count and its 95 % Wilson
    interval as shares: same, same_low, same_high.
    """
    found = cursor.execute(
        """
        SELECT change, count(*) AS pairs, count(*) FILTER (named) AS named,
            count(*) FILTER (object_changed) AS object_changed,
            count(*) FILTER (object_changed AND named) AS named_changed,
            count(*) FILTER (elsewhere_changed) AS elsewhere_changed,
            count(*) FILTER (original = twin) AS same
        FROM twins WHERE run = ? GROUP BY change ORDER BY change
        """,
        [run],
    ).df()
    for name in _MEASURES:
        of = found["named" if name == "named_changed" else "pairs"]
        bounds = [wilson_interval(int(count), int(total)) for count, total in zip(found[name], of, strict=True)]
        found[f"{name}_low"], found[f"{name}_high"] = zip(*bounds, strict=True) if bounds else ([], [])
    return found


def twin_pictures(cursor: DuckDBPyConnection, run: str, limit: int) -> pd.DataFrame:
    """Return pairs with stored pictures, those whose captions differ elsewhere first, the changes in turn.

    Columns seed, change, label, role, original, twin, object_changed, elsewhere_changed, original_picture and
    twin_picture (WebP).
    """
    return cursor.execute(
        """
        SELECT seed, change, label, role, original, twin, object_changed, elsewhere_changed, original_picture,
            twin_picture
        FROM twins WHERE run = ? AND original_picture IS NOT NULL
        ORDER BY row_number() OVER (PARTITION BY change ORDER BY NOT elsewhere_changed, seed), change LIMIT ?
        """,
        [run, limit],
    ).df()
