"""The readers of the results folder: records, tables, kept parts of a run, verdicts and saved selections."""

import shutil
import tempfile
import zlib
from pathlib import Path

import pyarrow as pa

from dashboard.annotations import bookmarks, verdicts
from engine.cli import summary
from engine.evaluation.run import RunInProgress
from engine.store import atomic, database, parts, published, queries, records, tables
from engine.store.errors import ResultsError
from tests.fuzz.harness import Reader
from tests.support import runs


def _run(folder: Path) -> None:
    runs.add_hypotheses(runs.add_grounding(runs.captioner_run(folder / "results", grid=4)))
    runs.partial_run(folder / "results")


def _plain_run(folder: Path) -> None:
    runs.captioner_run(folder / "results", grid=2)
    runs.partial_run(folder / "results")


def _read_run(folder: Path) -> None:
    """Read a run as the summary, the dashboard and the report do; the other run must stay usable.

    Opening all runs takes most of the time; what a single record or table refuses is opened with the others one time in
    ten.
    """
    results = folder / "results"
    demo = records.run_folder(results, "demo")
    files = sorted(demo.glob("*.*"))
    is_chosen = sum(zlib.crc32(file.read_bytes()) for file in files) % 10 == 0
    try:
        records.read_record(demo)
        for file in files:
            if file.suffix == ".parquet" and (problem := tables.check_file(file) or tables.check_content(file)):
                raise ResultsError(f"{problem.path}: {problem.reason}")
    except ResultsError:
        if not is_chosen:
            raise
    connection, problems = database.connect(results)
    cursor = connection.cursor()
    assert "partial" in set(queries.runs(cursor).run)
    assert len(queries.corpus_scores(cursor, "partial")) == 1
    for problem in problems:
        raise ResultsError(f"{problem.path}: {problem.reason}")
    summary.text(results, "demo")


def _files(*suffixes: str):
    def files(folder: Path) -> list[Path]:
        below = (folder / "results" / "runs" / "demo").rglob("*")
        return sorted(path for path in below if path.suffix in suffixes)

    return files


def _kept_run(results: Path) -> RunInProgress:
    return RunInProgress("kept", results, {"kind": "captions", "data": "x", "beams": [1, 3]}, "command")


def _parts(folder: Path) -> None:
    run = _kept_run(folder)
    run.begin()
    image = tables.table_of("images", [{"image_id": "a", "file_name": "a.jpg", "references": ["x"]}])
    parts.write_part(run.folder, "captions_64", 0, {"images": image})
    run._release()


def _kept_files(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "runs").rglob("*") if path.suffix in (".json", ".parquet"))


def _read_parts(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as place:  # a copy, because a damaged chunk is deleted
        shutil.copytree(folder, place, dirs_exist_ok=True)
        _read_kept(_kept_run(Path(place)))


def _read_kept(run: RunInProgress) -> None:
    try:
        run.begin()
        if parts.is_part(run.folder, "captions_64", 0, ["images"]):
            parts.read_part_record(run.folder, "captions_64", 0)
            assert isinstance(parts.read_part_table(run.folder, "captions_64", 0, "images"), pa.Table)
    finally:
        run._release()


def _annotations(folder: Path) -> None:
    case = verdicts.Verdict("scene_01", 3, "a dog")
    verdicts.keep(folder, "demo", case, reasonable="yes", note="é")
    bookmarks.save(folder, "bad dogs", "failures", {"run": "demo", "beam": "3"})


def _read_annotations(folder: Path) -> None:
    verdicts.read(folder, "demo")
    _, problem = bookmarks.read(folder)
    if problem:
        raise ResultsError(problem)


def _published(folder: Path) -> None:
    source = Path(__file__).resolve().parents[2] / "results" / "published"
    for file in source.iterdir():
        (folder / "published").mkdir(exist_ok=True)
        (folder / "published" / file.name).write_bytes(file.read_bytes())


def _read_published(folder: Path) -> None:
    for found in (published.beams(folder), published.prompts(folder)):
        if found.problem:
            raise ResultsError(found.problem)


def _arrays(folder: Path) -> None:
    import numpy as np

    atomic.write_rows(folder / "a.npy", 2, [np.ones((2, 3), np.float32)])


READERS = (
    Reader("run-record", _plain_run, _read_run, _files(".json")),
    Reader("run-tables", _run, _read_run, _files(".parquet")),
    Reader("parts-of-a-run", _parts, _read_parts, _kept_files),
    Reader("verdicts-and-selections", _annotations, _read_annotations, lambda folder: sorted(folder.rglob("*.json"))),
    Reader("published-figures", _published, _read_published),
    Reader("kept-features", _arrays, lambda folder: atomic.read_rows(folder / "a.npy", 2)),
)
