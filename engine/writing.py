"""Write files whole or not at all: a kill or a full disk leaves the old file, and never half of a new one."""

import errno
import glob
import os
import re
import shutil
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

_OLD = 3_600
"""Seconds without a write after which a temporary file counts as left by a kill."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def replacing(target: Path, shared: bool = False) -> Generator[Path]:
    """Yield a temporary file to write; afterwards it is on disk under the name of `target`.

    After an error the temporary file is deleted and `target` is as before.

    Args:
        shared: other processes may write the same file at the same time, without a lock.

    Raises:
        OSError: the file cannot be written; it names `target`, also where a library reports a full disk differently.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    # A fixed name, so that what a kill leaves is overwritten and not collected.
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}" if shared else f"{target.name}.tmp")
    if shared:
        _remove_old(target)
    try:
        yield temporary
        publish(temporary, target)
    except Exception as error:
        full = no_space(target, error)  # before the file is deleted, which frees space
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if full is not None:
            raise full from error
        raise
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _remove_old(target: Path) -> None:
    """Delete temporary files of `target` that kills left, but not those that other processes write now."""
    for each in target.parent.glob(f".{glob.escape(target.name)}.{'[0-9a-f]' * 32}"):
        with suppress(OSError):
            if time.time() - each.stat().st_mtime > _OLD:
                each.unlink()


def no_space(target: Path, error: Exception) -> OSError | None:
    """Return the error to raise if `error` means that `target` does not fit on the disk, else None."""
    number = _number(error)
    if number is None and _is_full(target.parent):
        number = errno.ENOSPC
    return OSError(number, os.strerror(number), str(target)) if number in _FULL else None


def _number(error: BaseException) -> int | None:
    """Return the error number of the operating system behind `error`, also if a library reports it differently."""
    cause: BaseException | None = error
    while cause is not None and not (isinstance(cause, OSError) and cause.errno):  # torch adds errors of its own
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, OSError):
        return cause.errno
    found = re.search(r"\(os error (\d+)\)", str(error))  # of libraries written in Rust
    return int(found[1]) if found else None


def _is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < 2**20
    except OSError:
        return False


def publish(temporary: Path, target: Path) -> None:
    """Rename a written file to its final name when its content is on disk, and the name after it."""
    with open(temporary, "rb+") as handle:
        os.fsync(handle.fileno())
    os.replace(temporary, target)
    sync_folder(target.parent)


def publish_folder(temporary: Path, target: Path) -> None:
    """Rename a folder whose files are on disk to its final name, which nothing has."""
    sync_folder(temporary)
    os.replace(temporary, target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on disk; without effect where folders cannot be synchronised."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


CACHE = "CAPTIONSCOPE_CACHE"
"""Environment variable: the folder of what can be computed or copied again, instead of one in the user's cache."""


def user_cache(name: str) -> Path:
    """Return the folder of this user for what can be computed or copied again."""
    chosen = os.environ.get(CACHE)
    return (Path(chosen) if chosen else Path.home() / ".cache" / "captionscope") / name
