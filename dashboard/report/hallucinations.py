"""The chapter on hallucinated objects: CHAIR with what it depends on, and how the failure tag differs from it."""

from typing import Any

import pandas as pd

from dashboard.items import Table
from dashboard.report.source import Chapter, Source, note, signature
from dashboard.state.record import Run
from dashboard.text import formatting
from engine.store import queries
from engine.store.frames import named_rows
from engine.store.schema import METRICS

TITLE = "Hallucinated objects (CHAIR)"
LISTED = 1_000
"""Captions that are listed at most."""

_CHAIR = ("chair_i", "chair_s")
COMPARABLE = (
    "CHAIR values of two captioners are comparable only if they mention a similar number of objects per caption and a "
    "similar share of captions is unfinished (cut at the maximum length)."
)


def chapters(source: Source) -> list[Chapter]:
    """Return the chapter, if the run has CHAIR: objects with the names of COCO's categories must be annotated."""
    found, beam = source.query(queries.hallucinations, source.run.name), source.setting()
    if found.empty or beam is None:
        return []
    return [Chapter(TITLE, COMPARABLE, (by_beam_size(source, found), differences(source, found, beam)))]


def by_beam_size(source: Source, found: pd.DataFrame) -> Table:
    """Return `queries.hallucinations` with CHAIR as a table, one row per beam size."""
    run = source.run
    scores = source.query(queries.corpus_scores, run.name)
    shown = pd.DataFrame({"Beam size": [run.beam(size) for size in found.beam_size]})
    values = found.copy()
    for metric in _CHAIR:
        mine = scores[scores.metric == metric].set_index("beam_size").reindex(found.beam_size)
        shown[f"{formatting.title(metric)} (95 % CI)"] = [_bounded(metric, row) for row in named_rows(mine)]
        values[[metric, f"{metric}_low", f"{metric}_high"]] = mine[["value", "low", "high"]].to_numpy()
    shown["Mentions per caption"] = [formatting.number(value, 2) for value in found.mentions]
    shown["Unfinished"] = [formatting.percent(share) for share in found.unfinished]
    for name, column in (("by CHAIR", "by_chair"), ("by the tag", "by_tag"), ("by both", "by_both")):
        shown[f"Hallucinated {name}"] = [f"{count:,}" for count in found[column]]
    shown["Captions"] = [f"{count:,}" for count in found.captions]
    signatures = tuple(filter(None, (signature(source.query, run, metric) for metric in _CHAIR)))
    return Table("hallucinations", "Hallucinated objects by beam size", shown, values, note(run, COUNTS), signatures)


COUNTS = "Hallucinated: captions with a hallucinated object by CHAIR, by the failure tag (other words), and by both"


def _bounded(metric: str, row: Any) -> str:
    bounds = formatting.interval(row.low, row.high, METRICS[metric].digits)
    return formatting.score(metric, row.value) + (f" ({bounds})" if bounds else "")


def differences(source: Source, found: pd.DataFrame, beam: int) -> Table:
    """Return the captions that only one of CHAIR and the failure tag calls hallucinated, with both reasons."""
    run, total = source.run, differing(found, beam)
    rows = source.query(queries.hallucination_differences, run.name, beam, LISTED)
    shown = pd.DataFrame(
        {
            "Image": rows.image_id,
            "Caption": [*map(formatting.caption, rows.caption)],
            "Failure tag": [*map(formatting.line, rows.tag_reason)],
            "CHAIR": [*map(formatting.line, rows.chair_reason)],
        }
    )
    first = f"the first {len(rows):,} of " if len(rows) < total else ""
    title = f"Captions that only one of CHAIR and the failure tag calls hallucinated, {_where(run, beam)}"
    return Table("hallucination_differences", title, shown, rows, note(run, f"{first}{total:,} captions"))


def differing(found: pd.DataFrame, beam: int) -> int:
    """Return the number of captions at a beam size on which the two counts differ."""
    mine = found[found.beam_size == beam]
    return int((mine.by_chair + mine.by_tag - 2 * mine.by_both).sum())


def _where(run: Run, beam: int) -> str:
    return formatting.of_setting(beam, run.is_sampled)
