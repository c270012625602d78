"""The original study's published numbers in `results/published/*.csv`, shown next to ours.

A file that cannot be used results in a message, never in an error.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import pandas as pd

from engine.reading import first_line
from engine.store.frames import named_rows
from engine.store.schema import METRICS

REPORT = "the study's report, HW3 VL Models"
"""The source of every number that is printed in the report itself."""

LABEL = "published (the study)"
"""The label of a curve or a table row of published numbers."""

_PROJECT = Path(__file__).resolve().parents[2]
_PROMPTS = ["template", "model", "images", "accuracy", "source"]
_ATTEMPTS = ["encoder", "num_layers", "nhead", "batch_size", "cider", "clipscore", "source"]
_SETTINGS = ["part", "name", "value", "source"]
_PAIRS = ["rank", "image_id", "clipscore", "source"]
CAPTION_IMAGES, CLASS_IMAGES = 1789, 2500
"""The study's validation images: of its captions, and of its classes (course layout)."""
_LARGEST = 1_000_000  # bytes: these are hand-written tables


def is_studys(data: Mapping[str, Any], images: int) -> bool:
    """Return whether a run's data are those of the study: the course's validation split with `images` images."""
    is_val = str(data.get("split", "")).startswith("val")
    return data.get("format") in ("course", "classes") and is_val and data.get("images") == images


@dataclass(frozen=True)
class Published:
    """The rows of one file, and why it could not be used, if so."""

    frame: pd.DataFrame
    problem: str = ""


def folder(results: Path) -> Path:
    """Return the folder of the published numbers: next to the runs, else the project's own."""
    beside = results / "published"
    return beside if beside.is_dir() else _PROJECT / "results" / "published"


def beams(results: Path) -> Published:
    """Return the scores of the best setting, one row per beam size and metric.

    Columns beam_size (null if the source does not name it), metric (a key of METRICS), value, source.
    """
    found = _read(folder(results) / "beams.csv", ["beam_size", "source"])
    metrics = [name for name in found.frame.columns if name in METRICS]
    if not found.problem and not found.frame.empty and not metrics:
        problem = f"beams.csv has no column of a metric: expected one of {', '.join(METRICS)}"
        return Published(_long(found.frame[[]], []), problem)
    return Published(_long(found.frame, metrics), found.problem)


def _long(wide: pd.DataFrame, metrics: list[str]) -> pd.DataFrame:
    """Return one row per beam size and metric; a cell without a number has no row."""
    if not metrics or wide.empty:
        return pd.DataFrame(columns=["beam_size", "metric", "value", "source"])
    rows = wide.melt(["beam_size", "source"], metrics, "metric", "value")
    rows["beam_size"] = pd.to_numeric(rows.beam_size, errors="coerce")
    rows["value"] = pd.to_numeric(rows.value, errors="coerce")
    rows["source"] = rows.source.fillna("").replace("", "published")
    rows = rows[rows.value.notna()].sort_values(["metric", "beam_size"]).reset_index(drop=True)
    return rows[["beam_size", "metric", "value", "source"]]


def prompts(results: Path) -> Published:
    """Return columns template, model, images, accuracy (a share), source."""
    return _numbers("prompts.csv", results, _PROMPTS, ["images", "accuracy"])


def pairs(results: Path) -> Published:
    """Return the best and the worst pair: columns rank, image_id, clipscore, source."""
    return _numbers("pairs.csv", results, _PAIRS, ["clipscore"])


def attempts(results: Path) -> Published:
    """Return the six trained settings with their scores: columns of `_ATTEMPTS`, scores as numbers, others as text."""
    return _numbers("attempts.csv", results, _ATTEMPTS, ["cider", "clipscore"])


def settings(results: Path) -> Published:
    """Return the best setting: columns part, name, value (text), source."""
    found = _read(folder(results) / "settings.csv", _SETTINGS)
    return Published(found.frame.reindex(columns=_SETTINGS), found.problem)


def setting(results: Path, name: str) -> str:
    """Return one value of the best setting as text, or "" if the file does not have it."""
    frame = settings(results).frame
    found = frame[frame.name == name].value
    return str(found.iloc[0]) if len(found) and isinstance(found.iloc[0], str) else ""


def contradiction(results: Path) -> str:
    """Return a sentence if the report's best setting and its table of settings disagree on the batch size, else "".

    The greedy scores of the best setting belong to the row of that table to which they round.
    """
    stated = setting(results, "batch_size")
    greedy = _read(folder(results) / "beams.csv", ["beam_size", "cider", "clipscore"]).frame
    tried = _read(folder(results) / "attempts.csv", _ATTEMPTS).frame
    greedy = greedy[greedy.get("beam_size", pd.Series(dtype=str)) == "1"]
    if not stated or greedy.empty or tried.empty:
        return ""
    first = greedy.iloc[0]
    same = [
        row for row in named_rows(tried) if _rounds(first.cider, row.cider) and _rounds(first.clipscore, row.clipscore)
    ]
    if len(same) != 1 or same[0].batch_size == stated:
        return ""
    return (
        f"The study's report gives batch size {stated} for its best setting, but the greedy scores of that setting "
        f"(CIDEr {same[0].cider}, CLIPScore {same[0].clipscore}) are those of its attempt with batch size "
        f"{same[0].batch_size}."
    )


def _rounds(exact: str, printed: str) -> bool:
    """Return whether `exact` is `printed` when rounded to the same number of decimals."""
    try:
        return Decimal(exact).quantize(Decimal(printed)) == Decimal(printed)
    except (InvalidOperation, TypeError):
        return False


def _numbers(name: str, results: Path, columns: list[str], numeric: list[str]) -> Published:
    """Return the file's `columns`, those of `numeric` as numbers, without the rows that lack the last of these."""
    found = _read(folder(results) / name, columns)
    frame = found.frame.reindex(columns=columns).copy()
    for column in numeric:
        frame[column] = pd.to_numeric(frame[column], errors="coerce")
    return Published(frame[frame[numeric[-1]].notna()].reset_index(drop=True), found.problem)


def _read(path: Path, columns: list[str]) -> Published:
    nothing = pd.DataFrame(columns=columns)
    if not path.is_file():
        return Published(nothing)
    try:
        if path.stat().st_size > _LARGEST:
            return Published(nothing, f"{path.name} is larger than a megabyte: expected a small table")
        frame = pd.read_csv(path, dtype=str, comment="#", encoding="utf-8")
    except (OSError, ValueError) as error:
        return Published(nothing, f"{path.name} cannot be read ({first_line(error)}): expected a CSV file")
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        return Published(nothing, f"{path.name} has no column {missing[0]!r}: expected {', '.join(columns)}")
    return Published(frame)
