"""The trash of a results folder: a deleted run is moved to `.trash`, from where it can be moved back.

Nothing is deleted. To free the disk, users delete folders in `.trash` themselves.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from engine.store import locks, records, remote
from engine.store.errors import ResultsError
from engine.store.parts import HELD, PARTS

TRASH = ".trash"
"""The folder in a results folder."""


def discard(results: Path, run: str) -> str:
    """Move the folder of a run to the trash; return its name there, `NAME-TIMESTAMP`.

    Raises:
        ResultsError: the run does not exist, it is being written, the results are a mirror of object storage, or the
            folder cannot be moved.
    """
    folder = records.run_folder(results, run)
    place = remote.of(results)
    if place is not None:
        raise ResultsError(
            f"run {run!r} was not deleted: this folder mirrors {place.address} and would copy the run again; "
            "delete it at that address"
        )
    if not folder.is_dir():
        raise ResultsError(f"run {run!r} is not in {results}; reload the page to see which runs are there")
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    target = results / TRASH / f"{run}-{stamp}"
    with _moving(folder, f"run {run!r} was not deleted"), _alone(folder, target, run):
        _move(folder, target)
    return target.name


def restore(results: Path, name: str, run: str) -> None:
    """Move a run back from the trash.

    Args:
        name: of its folder in the trash.

    Raises:
        ResultsError: it is not there, another run has its name now, or the folder cannot be moved.
    """
    source, folder = results / TRASH / Path(name).name, records.run_folder(results, run)
    if not source.is_dir():
        raise ResultsError(f"run {run!r} was not restored: {source} is missing; restore it from a copy")
    with _moving(source, f"run {run!r} was not restored"):
        _move(source, folder)


@contextmanager
def _moving(folder: Path, failed: str) -> Generator[None]:
    """Turn an error of the file system into a sentence."""
    try:
        yield
    except OSError as error:
        raise ResultsError(f"{failed}: {folder}: {error.strerror}; make the results folder writable") from error


def _move(source: Path, target: Path) -> None:
    if os.path.lexists(target):
        raise ResultsError(f"{target} is there already; rename that folder first")
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)  # on one disk: the run is at one place or at the other


@contextmanager
def _alone(folder: Path, target: Path, run: str) -> Generator[None]:
    """Hold the locks of a run while it is moved, and leave no lock file behind that was not there.

    Raises:
        ResultsError: another process writes the run.
    """
    parts = folder / PARTS
    had_parts = parts.exists()
    held = []
    try:
        for path in [parts / HELD, *sorted(parts.glob(f"{HELD}-*"))]:
            held.append(locks.hold(path, f"run {run!r}", "stop it first"))
        yield
    finally:
        for lock in held:
            lock.release(force=True)
        if not had_parts:
            for place in (folder, target):
                with suppress(OSError):
                    (place / PARTS / HELD).unlink(missing_ok=True)
                    (place / PARTS).rmdir()
