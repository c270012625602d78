"""The original study's figures, as far as they are known: `results/published/*.csv`, shown beside ours.

Knows those files, their columns and which data they were measured on. Knows no run; a file that cannot be used is a
sentence, never an error.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from engine.documents import first_line

_PROJECT = Path(__file__).resolve().parents[1]
_BEAMS = ["beam_size", "metric", "value", "source"]
_PROMPTS = ["template", "model", "images", "accuracy", "source"]
CAPTION_IMAGES, CLASS_IMAGES = 1789, 2500
"""The study's validation images: of its captions, and of its classes (course layout)."""
_LARGEST = 1_000_000  # bytes: these are hand-written tables


@dataclass(frozen=True)
class Published:
    """What one file holds, and why it holds nothing where it could not be used."""

    frame: pd.DataFrame
    problem: str = ""


def folder(results: Path) -> Path:
    """Where the study's figures lie: beside the results, else in the project."""
    beside = results / "published"
    return beside if beside.is_dir() else _PROJECT / "results" / "published"


def beams(results: Path) -> Published:
    """Columns beam_size (null where the source does not say it), metric, value, source."""
    frame, problem = _numbers(folder(results) / "beams.csv", _BEAMS, ["beam_size", "value"])
    frame["source"] = frame.source.fillna("").replace("", "published")
    return Published(frame.sort_values(["metric", "beam_size"]).reset_index(drop=True), problem)


def prompts(results: Path) -> Published:
    """Columns template, model, images, accuracy (a share), source."""
    frame, problem = _numbers(folder(results) / "prompts.csv", _PROMPTS, ["images", "accuracy"])
    return Published(frame.reset_index(drop=True), problem)


def attempts(results: Path) -> Published:
    """The study's table of settings as it stands in `attempts.csv`: whatever columns it has, as text."""
    return _read(folder(results) / "attempts.csv", [])


def _numbers(path: Path, columns: list[str], numeric: list[str]) -> tuple[pd.DataFrame, str]:
    """The file's `columns`, those of `numeric` as numbers; a row without the last of these says nothing."""
    found = _read(path, columns)
    frame = found.frame[columns].copy()
    for column in numeric:
        frame[column] = pd.to_numeric(frame[column], errors="coerce")
    return frame[frame[numeric[-1]].notna()].copy(), found.problem


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
