"""Two settings on the same images and references: what the gate decides on and explains."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from duckdb import DuckDBPyConnection

from engine.diagnosis import slices
from engine.diagnosis.conditions import conditions_of
from engine.evaluation.slices import facts_of
from engine.gate.decision import Decision, GateError, Limit, decide
from engine.metrics.pooling import POOLED
from engine.store import database, queries, records, signatures
from engine.store.queries import aligned
from engine.store.schema import METRICS

MOST_IMAGES = 20_000
"""Images whose conditions are searched for slices of the loss."""


@dataclass(frozen=True)
class Setting:
    """A run at a beam size."""

    run: str
    beam_size: int
    record: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.run}:{self.beam_size}" if self.beam_size else self.run


@dataclass(frozen=True)
class Comparison:
    """Old and new captions of the same n images, with the decision on a metric."""

    old: Setting
    new: Setting
    metric: str
    limit: Limit
    decision: Decision
    images: pa.Table
    """Rows of `images` of the new run, in the order of their ids."""
    old_values: np.ndarray
    """float64[n], NaN if an image has no value of its own."""
    new_values: np.ndarray
    old_captions: Sequence[str]
    new_captions: Sequence[str]

    @property
    def references(self) -> list[list[str]]:
        """The references of each image."""
        return self.images["references"].to_pylist()

    @cached_property
    def loss(self) -> np.ndarray:
        """How much worse each image became, float64[n]."""
        sign = 1.0 if METRICS[self.metric].higher_is_better else -1.0
        return sign * (self.old_values - self.new_values)

    @cached_property
    def slices(self) -> list[slices.Slice]:
        """The slices whose loss is larger than that of the other images; their scores are new - old."""
        rows = np.unique(np.linspace(0, len(self.images) - 1, min(len(self.images), MOST_IMAGES)).astype(int))
        found = conditions_of(list(facts_of(self.images.take(pa.array(rows)))), slices.SMALLEST)
        ranked = slices.find(-self.loss[rows], found.members, found.names, preferred=found.own)
        sign = 1.0 if METRICS[self.metric].higher_is_better else -1.0
        return [_placed(each, rows, sign) for each in ranked if each.inside < 0]


def _placed(each: slices.Slice, rows: np.ndarray, sign: float) -> slices.Slice:
    """Return a slice with rows of all images and values new - old in the metric's own direction."""
    low, high = sorted((sign * each.low, sign * each.high))
    return slices.Slice(
        each.condition, rows[each.images], sign * each.inside, sign * each.outside, low, high, each.p, each.q, each.also
    )


def compare(results: Path, new: str, old: str, metric: str, limit: Limit, beam: int | None = None) -> Comparison:
    """Return the comparison of two runs of a results folder, each `RUN` or `RUN:BEAM`.

    Args:
        beam: beam size of both; without it, the one of a run with a single one, else the old run's best.

    Raises:
        GateError: no such run, beam size or metric, or runs with other images, references or measurements.
    """
    if metric not in METRICS:
        raise GateError(f"--metric {metric[:60]!r}: expected one of {', '.join(METRICS)}")
    connection, problems = database.connect(results)
    cursor = connection.cursor()
    before = _setting(results, cursor, old, metric, beam, None)
    after = _setting(results, cursor, new, metric, beam, before.beam_size)
    _check_comparable(cursor, before, after, metric)
    images = _same_images(cursor, before, after)
    sides = [_values(cursor, each, metric, images) for each in (before, after)]
    decision = _decided(sides, metric, limit, (before, after))
    values = [aligned.numbers(rows, metric) for rows, _ in sides]
    captions = [_captions(cursor, each, images) for each in (before, after)]
    return Comparison(before, after, metric, limit, decision, images, values[0], values[1], captions[0], captions[1])


def _setting(
    results: Path, cursor: DuckDBPyConnection, named: str, metric: str, beam: int | None, like: int | None
) -> Setting:
    run, colon, size = named.rpartition(":")
    if not colon or not size.isdecimal():
        run, size = named, ""
    scores = queries.corpus_scores(cursor, run)
    sizes = sorted(int(each) for each in scores[scores.metric == metric].beam_size)
    if not sizes:
        if len(scores):
            stored = ", ".join(dict.fromkeys(scores.metric))
            raise GateError(f"run {run!r} has no {metric}, expected one of its metrics: {stored}")
        known = ", ".join(sorted(queries.runs(cursor).run)[:20]) or "none"
        raise GateError(f"run {run!r} has no scores in the results, expected one of: {known}")
    wanted = int(size) if size else beam
    if wanted is not None and wanted not in sizes:
        raise GateError(f"run {run!r} has no beam size {wanted}, expected one of {', '.join(map(str, sizes))}")
    if wanted is None:
        best = scores[scores.metric == metric].set_index("beam_size").value
        first = best.idxmax() if METRICS[metric].higher_is_better else best.idxmin()
        wanted = like if like in sizes else int(first)
    record = records.read_record(records.run_folder(results, run)) or {}
    return Setting(run, wanted, record)


def _check_comparable(cursor: DuckDBPyConnection, old: Setting, new: Setting, metric: str) -> None:
    """Check that the numbers were measured alike; the search and the captioner may differ.

    Raises:
        GateError: they were not.
    """
    known = []
    for each in (old, new):
        rows = queries.corpus_scores(cursor, each.run).query("metric == @metric and beam_size == @each.beam_size")
        known.append(rows.signature.iloc[0] or "")
    differ = [each for each in signatures.differences(*known) if not each.search]
    # Images and references are compared themselves.
    measured = [each for each in differ if not each.what.startswith(("data (", "images", "references per"))]
    if measured:
        raise GateError(
            f"{new} and {old} were measured differently ({'; '.join(map(str, measured[:3]))}); "
            "score both with the same version and options"
        )


def _same_images(cursor: DuckDBPyConnection, old: Setting, new: Setting) -> pa.Table:
    """Return the rows of `images` of the new run.

    Raises:
        GateError: the runs have other images or references.
    """
    before, after = (aligned.images(cursor, each.run) for each in (old, new))
    if not before["image_id"].equals(after["image_id"]):
        shared = len(set(before["image_id"].to_pylist()) & set(after["image_id"].to_pylist()))
        raise GateError(
            f"{new} has {len(after):,} images and {old} has {len(before):,}, {shared:,} of them the same; "
            "evaluate both on the same split"
        )
    if not before["references"].equals(after["references"]):
        pairs = zip(before["references"].to_pylist(), after["references"].to_pylist(), strict=True)
        first = next((row for row, (one, other) in enumerate(pairs) if one != other), 0)
        raise GateError(
            f"{new} and {old} have different references, first of image {before['image_id'][first].as_py()!r}; "
            "score both with the same data"
        )
    return after


def _values(cursor: DuckDBPyConnection, each: Setting, metric: str, images: pa.Table) -> tuple[pa.Table, Any]:
    """Return the scores of a setting in the order of the images, and its counts if the metric is pooled."""
    counts = POOLED[metric].counts if metric in POOLED else None
    rows = aligned.scores(cursor, each.run, each.beam_size, [metric], [counts] if counts else [])
    if not rows["image_id"].equals(images["image_id"]):
        raise GateError(f"{each} lacks scores of some of its images; run its command again")
    has_counts = counts is not None and rows[counts].null_count < len(rows)
    return rows, aligned.counts_of(rows, counts) if counts and has_counts else None


def _decided(sides: Sequence[tuple[pa.Table, Any]], metric: str, limit: Limit, both: Sequence[Setting]) -> Decision:
    is_higher_better = METRICS[metric].higher_is_better
    if all(counts is not None for _, counts in sides):
        known = np.isfinite(sides[0][1][:, 0]) & np.isfinite(sides[1][1][:, 0])
        values, score = [counts[known] for _, counts in sides], POOLED[metric].score
    else:
        values, score = [aligned.numbers(rows, metric) for rows, _ in sides], None
        known = np.isfinite(values[0]) & np.isfinite(values[1])
        values = [each[known] for each in values]
    if not known.any():
        raise GateError(f"{both[1]} and {both[0]} have no image with a {metric} in both")
    return decide(values[0], values[1], limit, is_higher_better, score)


def _captions(cursor: DuckDBPyConnection, each: Setting, images: pa.Table) -> list[str]:
    rows = aligned.captions(cursor, each.run, each.beam_size)
    found: dict[str, str] = dict(zip(rows["image_id"].to_pylist(), rows["caption"].to_pylist(), strict=True))
    return [found.get(name) or "" for name in images["image_id"].to_pylist()]


def worst(comparison: Comparison, rows: np.ndarray, most: int) -> list[int]:
    """Return the rows with the largest loss among `rows`, largest first; images that became better are left out."""
    loss = pd.Series(comparison.loss[rows], index=rows).dropna()
    return [int(row) for row in loss[loss > 0].sort_values(ascending=False, kind="stable").index[:most]]
