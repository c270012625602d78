"""Any number of settings on the images that all of them have, by one metric; a setting is a run at a beam size.

What is not comparable gets a reason in place of numbers.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from duckdb import DuckDBPyConnection

from engine import statistics
from engine.metrics.pooling import POOLED
from engine.statistics import Pairs, Pooled
from engine.store import signatures
from engine.store.queries import aligned
from engine.store.queries.columns import COUNTS, direction, metric_column, rounded
from engine.store.queries.intervals import mean_intervals
from engine.store.queries.pairs import id_collisions
from engine.store.queries.run_overview import corpus_scores
from engine.store.schema import METRICS

Setting = tuple[str, int]
"""A run and a beam size."""

_PER_IMAGE = {"bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "meteor", "spice", "clipscore", "refclipscore"}
"""Metrics whose value of an image does not depend on the other images: runs of different splits are comparable on
shared images. CIDEr weighs words by the whole split, and of a plugin nothing is known."""

_WITHOUT_REFERENCES = {"clipscore"}

_NUMBERS = ["value", "low", "high", "mean_rank", "difference", "difference_low", "difference_high"]
_TESTED = ["p_randomization", "p_holm", "p_reachable", "differing"]
_COLUMNS = ["run", "beam_size", "reason", "is_reference", "images", "pooled", *_NUMBERS, *_TESTED]


def many_settings(
    cursor: DuckDBPyConnection, settings: Sequence[Setting], metric: str, against: Setting | None = None
) -> pd.DataFrame:
    """Return one row per setting, in the given order, by one metric on the images that all comparable settings have.

    Columns run, beam_size, reason (why the setting is not comparable with the first one that has the metric, or ""; the
    numbers are then missing), is_reference (whether the others are tested against it), images (that all have), pooled
    (whether values are corpus values of stored counts, else means), value, low, high (95 % bootstrap interval),
    mean_rank (1 is the best; images whose displayed values are equal share the mean of their ranks), difference (value
    minus that of the reference) with difference_low and difference_high, p_randomization (paired, against the
    reference), p_holm (corrected for the number of tests), p_reachable (the smallest p_holm that so many differing
    images can give), differing (images whose two values differ).

    Args:
        against: the setting that the others are tested against; None, or one that is not comparable: the best one.

    Raises:
        ValueError: METRICS does not define `metric`.
    """
    metric_column(metric)
    tables, reasons = _comparable(cursor, settings, metric)
    rows = [dict.fromkeys(_COLUMNS) | {"run": run, "beam_size": int(beam)} for run, beam in settings]
    for row, reason in zip(rows, reasons, strict=True):
        row |= {"reason": reason, "is_reference": False, "images": 0, "pooled": False}
    known = [row for row, reason in zip(rows, reasons, strict=True) if not reason]
    if known:
        _fill(known, _on_shared(tables), metric, against)
    frame = pd.DataFrame(rows, columns=_COLUMNS)
    return frame.astype(dict.fromkeys([*_NUMBERS, *_TESTED], float))


def mean_ranks(values: np.ndarray, metric: str) -> np.ndarray:
    """Return the mean rank of each column of float64[images, settings]; 1 is the best, equal values share their ranks.

    Values are equal if they are displayed with the same digits.
    """
    shown = direction(metric) * rounded(values, metric)
    ranks = [_ranks(shown, place) for place in range(shown.shape[1])]
    return np.array([each.mean() if len(each) else np.nan for each in ranks])


def _ranks(shown: np.ndarray, place: int) -> np.ndarray:
    """Return the rank of one column in each row of float64[images, settings]; the highest value has rank 1."""
    mine = shown[:, [place]]
    return 1 + (shown > mine).sum(1) + ((shown == mine).sum(1) - 1) / 2


# Which settings are comparable


def _comparable(cursor: DuckDBPyConnection, settings: Sequence[Setting], metric: str) -> tuple[list[pa.Table], list]:
    """Return the scores of the comparable settings, and for every setting why it is not comparable, or ""."""
    counts = [column for column in COUNTS if metric in POOLED and POOLED[metric].counts == column]
    tables: list[pa.Table] = []
    reasons: list[str] = []
    first: Setting | None = None
    for run, beam in settings:
        table = aligned.scores(cursor, run, beam, [metric], counts)
        reason = "" if np.isfinite(aligned.numbers(table, metric)).any() else f"it has no {METRICS[metric].title}"
        if not reason and first is not None:
            reason = _no_images(tables[0], table) or _measured(cursor, first, (run, beam), metric)
        reasons.append(reason)
        if not reason:
            first = first or (run, beam)
            tables.append(table)
    return tables, reasons


def _no_images(first: pa.Table, table: pa.Table) -> str:
    return "" if len(aligned.on_shared(first, table)[0]) else "it has no image in common with the first setting"


def _measured(cursor: DuckDBPyConnection, first: Setting, setting: Setting, metric: str) -> str:
    """Return how two settings of different runs were measured differently, or "" if their values are comparable."""
    if first[0] == setting[0]:
        return ""
    collisions = id_collisions(cursor, first[0], setting[0]).images.item()
    if collisions:
        return f"{collisions:,} shared images have no common reference"
    left, right = (_signature(cursor, *each, metric) for each in (first, setting))
    if not left or not right:
        return "a signature is missing"
    found = [each for each in signatures.differences(left, right) if not each.search]
    is_same = metric in _WITHOUT_REFERENCES or (metric in _PER_IMAGE and not _other_references(cursor, first, setting))
    found = [each for each in found if not (is_same and each.what in signatures.OF_SPLIT)]
    return "; ".join(map(str, found))


def _signature(cursor: DuckDBPyConnection, run: str, beam: int, metric: str) -> str:
    scores = corpus_scores(cursor, run)
    mine = scores[(scores.beam_size == beam) & (scores.metric == metric)]
    return (mine.signature.iloc[0] or "") if len(mine) else ""


def _other_references(cursor: DuckDBPyConnection, first: Setting, setting: Setting) -> bool:
    """Return whether two runs have other references of a shared image."""
    (count,) = cursor.execute(
        """
        SELECT count(*) FROM images a JOIN images b USING (image_id) WHERE a.run = $run AND b.run = $other
            AND list_sort(a."references") IS DISTINCT FROM list_sort(b."references")
        """,
        {"run": first[0], "other": setting[0]},
    ).fetchall()[0]
    return count > 0


# Numbers


def _on_shared(tables: Sequence[pa.Table]) -> list[pa.Table]:
    """Return the rows whose images are in all tables, so that rows at equal places belong together."""
    shared = tables[0]
    for table in tables[1:]:
        shared, _ = aligned.on_shared(shared, table)
    return [aligned.on_shared(table, shared)[0] for table in tables]


def _fill(rows: list[dict[str, Any]], tables: Sequence[pa.Table], metric: str, against: Setting | None) -> None:
    """Add the numbers of comparable settings to their rows."""
    values = np.column_stack([aligned.numbers(table, metric) for table in tables])
    has_value = np.asarray(np.isfinite(values).all(1))
    sides, score = _counted(tables, metric, has_value) or ([*values[has_value].T[:, :, None]], None)
    images = len(sides[0])
    for row in rows:
        row |= {"images": images, "pooled": score is not None}
    if not images:
        return
    ranks = mean_ranks(values[has_value], metric)
    for row, rank, bounds in zip(rows, ranks, _corpus(sides, score), strict=True):
        row |= {"mean_rank": rank} | dict(zip(("value", "low", "high"), bounds, strict=True))
    _test(rows, sides, score, metric, against)


def _counted(tables: Sequence[pa.Table], metric: str, has_value: np.ndarray) -> tuple[list[np.ndarray], Pooled] | None:
    """Return the counts of a pooled metric and what makes its value, if all images with a value have counts.

    The same rule as in `comparisons`, so that two settings have the same numbers there and here.
    """
    column = POOLED[metric].counts if metric in POOLED else ""
    if column not in COUNTS or any(table[column].null_count == len(table) for table in tables):
        return None
    sides, score = [aligned.counts_of(table, column) for table in tables], POOLED[metric].score
    known = np.logical_and.reduce([np.isfinite(side[:, 0]) for side in sides])
    sides = [side[known] for side in sides]
    is_whole = known.any() and not (has_value & ~known).any()
    return (sides, score) if is_whole and np.isfinite([score(side.sum(0)) for side in sides]).all() else None


def _corpus(sides: Sequence[np.ndarray], score: Pooled | None) -> list[tuple[float, float, float]]:
    """Return value, low and high of each setting."""
    if score is None:
        return [found[:3] for found in mean_intervals(np.hstack(sides))]
    found = []
    for side in sides:
        low, high = statistics.percentiles(score(statistics.bootstrap_sums(side)), len(side))
        found.append((float(score(side.sum(0))), low, high))
    return found


def _test(
    rows: list[dict[str, Any]], sides: Sequence[np.ndarray], score: Pooled | None, metric: str, against: Setting | None
) -> None:
    """Add to the rows how each setting differs from the reference."""
    named = [place for place, row in enumerate(rows) if (row["run"], row["beam_size"]) == against]
    best = max(range(len(rows)), key=lambda place: direction(metric) * rows[place]["value"])  # the first of equals
    reference = named[0] if named else best
    rows[reference]["is_reference"] = True
    others = [place for place in range(len(rows)) if place != reference]
    for place in others:
        found = statistics.compare_pairs(Pairs(sides[place], sides[reference]), score, METRICS[metric].tie)
        rows[place] |= {"difference": found.difference, "difference_low": found.low, "difference_high": found.high}
        rows[place] |= {"p_randomization": found.p_randomization, "differing": found.differing}
    corrected = statistics.holm([rows[place]["p_randomization"] for place in others])
    smallest = [statistics.smallest_p(rows[place]["differing"], statistics.RESAMPLES) for place in others]
    for place, p, reachable in zip(others, corrected, statistics.holm(smallest), strict=True):
        rows[place] |= {"p_holm": p, "p_reachable": reachable}
