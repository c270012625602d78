"""Our numbers next to the study's published ones, as lines to print: prompts, beam sizes, best and worst pair.

Computes nothing: the numbers come from queries and from `store.published`.
"""

from pathlib import Path
from typing import Any

import pandas as pd
from duckdb import DuckDBPyConnection

from engine.store import database, published, queries, records
from engine.store.frames import named_rows
from engine.store.schema import METRICS

_HEADLINES = ("cider", "clipscore")


def text(results: Path, captions: str, zero_shot: str) -> str:
    """Return our numbers next to the published ones; a part without a run is left out.

    Args:
        captions: name of the run with the captions.
        zero_shot: name of the run with the zero-shot predictions.
    """
    connection, _ = database.connect(results)
    cursor = connection.cursor()
    lines = [*_prompts(cursor, results, zero_shot), *_beams(cursor, results, captions)]
    lines += _pairs(cursor, results, captions)
    if not lines:
        return ""
    return "\n".join(["our numbers next to the published ones", *lines, *_remarks(results, captions, zero_shot)])


def _prompts(cursor: DuckDBPyConnection, results: Path, run: str) -> list[str]:
    ours = queries.zero_shot_accuracy(cursor, run)
    theirs = published.prompts(results).frame
    if ours.empty:
        return []
    sources: list[tuple[Any, Any]] = [*theirs.groupby(["model", "source"], sort=False)]
    lines = ["", _row("zero-shot accuracy", ["ours", *(f"published, {model}" for (model, _), _ in sources)])]
    for row in named_rows(ours):
        known = [rows.set_index("template").accuracy.get(row.template) for _, rows in sources]
        lines.append(_row(row.template, [_percent(row.accuracy), *map(_percent, known)]))
    return lines


def _beams(cursor: DuckDBPyConnection, results: Path, run: str) -> list[str]:
    ours, theirs = queries.corpus_scores(cursor, run), published.beams(results).frame
    metrics = [name for name in _HEADLINES if (ours.metric == name).any()]
    if not metrics:
        return []
    heads = [part for name in metrics for part in (f"{METRICS[name].title}, ours", "published")]
    lines = ["", _row("beam size", heads)]
    for size in sorted(set(ours.beam_size)):
        pairs = [(_value(frame, name, size), name) for name in metrics for frame in (ours, theirs)]
        lines.append(_row("1 (greedy)" if size == 1 else str(size), [_score(value, name) for value, name in pairs]))
    return lines


def _value(frame: pd.DataFrame, metric: str, size: int) -> float | None:
    found = frame[(frame.metric == metric) & (frame.beam_size == size)].value
    return float(found.iloc[0]) if len(found) else None


def _pairs(cursor: DuckDBPyConnection, results: Path, run: str) -> list[str]:
    """Return the best and the worst pair by CLIPScore among greedy captions."""
    if not (queries.metric_ranges(cursor, run, 1).metric == "clipscore").any():
        return []
    theirs = published.pairs(results).frame.set_index("rank")
    lines = ["", _row("CLIPScore, greedy", ["ours", "published", "our image"])]
    for rank, shown, is_best in (("top-1", "best", True), ("last-1", "worst", False)):
        rows = queries.cases(cursor, run, 1, "clipscore", is_best == METRICS["clipscore"].higher_is_better)
        mine = rows[rows.clipscore.notna()].iloc[0]
        other = theirs.clipscore.get(rank)
        lines.append(_row(shown, [_score(mine.clipscore, "clipscore"), _score(other, "clipscore"), mine.image_id]))
    return lines


def _remarks(results: Path, captions: str, zero_shot: str) -> list[str]:
    """Return why the two are not comparable, and where the published figures disagree."""
    captioned, classified = _record(results, captions), _record(results, zero_shot)
    remarks = []
    if captioned and not published.is_studys(captioned.get("data") or {}, published.CAPTION_IMAGES):
        remarks.append("The published scores are of other images and therefore not comparable.")
    if classified and not published.is_studys(classified.get("data") or {}, published.CLASS_IMAGES):
        remarks.append("The published accuracies are of other photos and therefore not comparable.")
    remarks += [
        f"{what} here comes from the demo's own CLIP."
        for what, record in (("CLIPScore", captioned), ("Zero-shot accuracy", classified))
        if (record.get("clip") or {}).get("demo")
    ]
    doubt = published.contradiction(results) if captioned else ""
    return ["", *remarks, *([f"Published figures: {doubt}"] if doubt else [])]


def _record(results: Path, run: str) -> dict:
    return records.read_record(records.run_folder(results, run)) or {}


def _row(head: str, cells: list[str]) -> str:
    return f"  {head:<28}" + "".join(f"{cell:>22}" for cell in cells)


def _percent(share: float | None) -> str:
    return "-" if share is None or pd.isna(share) else f"{share:.2%}"


def _score(value: float | None, metric: str) -> str:
    return "-" if value is None or pd.isna(value) else f"{value:.{METRICS[metric].digits + 1}f}"
