"""Where an export is written: whole or not at all, and never over something that exists."""

import os
import shutil
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from engine.export.source import ExportError
from engine.writing import publish_folder, replacing

_THREADS = 16
"""Files that are waited for at the same time: a disk writes many small files together."""


def check(target: Path) -> None:
    """Raise `ExportError` if `target` exists, or cannot be made because a part of its path is a file."""
    if target.exists() or target.is_symlink():
        raise ExportError(f"{target} already exists; delete it, or choose another place with --out")
    above = next((parent for parent in target.absolute().parents if parent.exists()), None)
    if above is not None and not above.is_dir():
        raise ExportError(f"{target} cannot be written, because {above} is a file; choose another place with --out")


@contextmanager
def new_file(target: Path) -> Generator[Path]:
    """Yield a temporary file to write; afterwards it has the name `target`.

    Raises:
        ExportError: `target` exists.
        OSError: the file cannot be written.
    """
    check(target)
    with replacing(target) as temporary:
        yield temporary


@contextmanager
def new_folder(target: Path) -> Generator[Path]:
    """Yield a temporary folder to fill; afterwards it has the name `target`. After an error nothing is left.

    Raises:
        ExportError: `target` exists.
        OSError: the folder cannot be written.
    """
    check(target)
    temporary = target.with_name(f"{target.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)  # a kill leaves it
    temporary.mkdir(parents=True)
    try:
        yield temporary
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(_sync, [path for path in temporary.rglob("*") if path.is_file()]))
        publish_folder(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _sync(path: Path) -> None:
    with open(path, "rb+") as handle:
        os.fsync(handle.fileno())
