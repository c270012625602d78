"""Run folders and their records: `run.json` is written last and makes a run finished."""

import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.reading import quoted, read_object
from engine.store import shards
from engine.store.answer_schema import ANSWERS
from engine.store.atomic import write_json
from engine.store.errors import Problem, ResultsError
from engine.store.schema import RENAMED, RENAMED_KEYS, RUN_RECORD, TABLES, VERSION
from engine.store.tables import check_run_content, has_table

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


@dataclass(frozen=True)
class FinishedRun:
    """A finished run: its name, folder and record (`run.json`)."""

    name: str
    folder: Path
    record: dict[str, Any] = field(hash=False)


def run_folder(results: Path, run: str) -> Path:
    """`results/runs/<run>`.

    Raises:
        ResultsError: `run` is not a plain name.
    """
    if not RUN_NAME.fullmatch(run):
        raise ResultsError(
            f"run name {run!r}: expected letters, digits, '.', '_' and '-', beginning with a letter or digit, "
            "at most 80 of them; choose another with --run"
        )
    return results / "runs" / run


def drop_run(folder: Path) -> None:
    """Delete an unfinished run.

    Raises:
        ValueError: the run is finished.
    """
    if read_record(folder) is not None:
        raise ValueError(f"{folder} holds a finished run")
    shutil.rmtree(folder, ignore_errors=True)


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write `run.json`, which makes the run finished: write every table before."""
    write_json(folder / RUN_RECORD, {"schema_version": VERSION, **record})


def read_record(folder: Path) -> dict[str, Any] | None:
    """Return the run's record, or None if the run is unfinished.

    Raises:
        ResultsError: the record is not a JSON object, or an entry has a wrong type.
    """
    path = folder / RUN_RECORD
    try:
        if not path.exists():
            return None
        record = read_object(path, ResultsError)
    except ResultsError as error:
        raise ResultsError(f"{error}; run the command again") from error
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror}; make the file readable") from error
    for key, (kind, expected) in _ENTRIES.items():
        value = record.get(key)
        if key in record and not _is(value, kind) and not (value is None and key in _NULLABLE):
            raise ResultsError(f"{path}: {key} is {quoted(value)}, expected {expected}; run the command again")
    for key in ("images", "references", "of_images"):
        value = record.get("data", {}).get(key, 0)
        if not _is(value, float):
            raise ResultsError(f"{path}: data.{key} is {quoted(value)}, expected a number; run the command again")
    return _renamed(record) if is_older(record) else record


_ENTRIES = {
    **dict.fromkeys(
        ("plan", "data", "captioner", "decoding", "attention", "clip", "predictions", "roots", "study")
        + ("timings", "versions", "hardware", "seconds_per_image"),
        (dict, "an object"),
    ),
    **dict.fromkeys(("tables", "templates"), (str, "a list of texts")),
    "workers": (list, "a list of objects"),
    "beam_sizes": (int, "a list of whole numbers"),
    **dict.fromkeys(("schema_version", "trained_on", "skipped", "set_aside", "seed"), (float, "a number")),
    **dict.fromkeys(("waited_for_photos", "sweep_seconds_per_image"), (float, "a number")),
}
"""Entry of a record -> the type of its value, or of the values of a list. All are optional."""

_NULLABLE = ("captioner", "clip", "trained_on", "waited_for_photos", "sweep_seconds_per_image", "plan")
"""Entries that are null in some runs."""


def _is(value: object, kind: type) -> bool:
    if kind is dict:
        return isinstance(value, dict)
    if kind is list:
        return isinstance(value, list) and all(isinstance(each, dict) for each in value)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, list) and all(type(each) is kind for each in value)


def is_older(record: dict[str, Any]) -> bool:
    """Whether a record is of a version before RENAMED. One without a version is of version 1."""
    version = record.get("schema_version", 1)
    return isinstance(version, int) and version < RENAMED


def _renamed(record: dict[str, Any]) -> dict[str, Any]:
    """Return an older record with the keys and table names of now; its version stays."""
    record = {RENAMED_KEYS.get(key, key): value for key, value in record.items()}
    if isinstance(record.get("tables"), list):
        record["tables"] = [shards.table_of(Path(str(table))) for table in record["tables"]]
    return record


def drop_record(folder: Path) -> None:
    """Delete the record, which makes the run unfinished: its tables must be written again."""
    (folder / RUN_RECORD).unlink(missing_ok=True)


def lost_tables(folder: Path, tables: list[str]) -> list[str]:
    """Those of `tables` that are not there, and those that are there and cannot be read."""
    paths = [*sorted(folder.glob("*.parquet")), *sorted(folder.glob("*/*.parquet"))]
    there = [table for path in paths if (table := shards.table_of(path)) in {*TABLES, *ANSWERS}]
    names = dict.fromkeys([*tables, *there])
    return [name for name in names if not has_table(folder, name) or _is_damaged(folder, name)]


def _is_damaged(folder: Path, table: str) -> bool:
    return check_run_content(folder, table) is not None


def find_runs(results: Path) -> tuple[list[FinishedRun], list[Problem]]:
    """All finished runs of `results`, by name, and what could not be used."""
    runs, problems = [], []
    parent = results / "runs"
    for folder in sorted(parent.iterdir()) if parent.is_dir() else []:
        if not folder.is_dir():
            continue
        if not RUN_NAME.fullmatch(folder.name):
            problems.append(Problem(folder, f"{quoted(folder.name)} is not the name of a run, see --run; rename it"))
            continue
        try:
            record = read_record(folder)
        except ResultsError as error:
            problems.append(Problem(folder / RUN_RECORD, str(error)))
            continue
        if record is None:
            stopped = f"run {folder.name!r} is unfinished; where it was stopped, run its command again to continue"
            problems.append(Problem(folder, stopped))
        else:
            runs.append(FinishedRun(folder.name, folder, record))
    return runs, problems
