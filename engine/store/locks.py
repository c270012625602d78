"""One writer at a time: exclusive locks on runs and on output folders."""

import errno
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from engine.store.errors import ResultsError


def hold(path: Path, what: str, instead: str) -> FileLock:
    """Take an exclusive lock on `path` until it is released or this process ends.

    Two processes that wrote the same temporary files would take them from each other. The same thread may take the lock
    again, as after an error that left it held.

    Raises:
        ResultsError: another process holds `what`; `instead` is what to do other than wait.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(path, is_singleton=True)
    try:
        acquire(held, timeout=0)
    except Timeout as error:
        raise ResultsError(
            f"{what} is being written by another process; wait until that one has ended, or {instead}"
        ) from error
    return held


def acquire(lock: FileLock, timeout: float = -1) -> None:
    """Take `lock`, waiting `timeout` seconds (negative: without limit). On a disk without locks this does nothing.

    Raises:
        Timeout: another process has it.
    """
    try:
        lock.acquire(timeout=timeout)
    except NotImplementedError:  # what filelock makes of ENOSYS
        pass
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP) or isinstance(error, Timeout):
            raise


@contextmanager
def waiting(path: Path) -> Generator[None]:
    """Hold an exclusive lock on `path` for a moment, after waiting until others have released it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    acquire(lock)
    try:
        yield
    finally:
        lock.release(force=True)


_MARK = ".held"


def drop_mark(folder: Path) -> None:
    """Delete the mark that a killed process left in a folder, unless another process is writing there."""
    if (folder / _MARK).exists():
        with suppress(ResultsError, OSError), alone(folder):
            pass


@contextmanager
def alone(folder: Path) -> Generator[None]:
    """Alone with a folder outside the results, which stays as it was where nothing is written into it.

    Raises:
        ResultsError: another process is writing there.
    """
    mark = folder / _MARK
    was_there = folder.exists()
    held = hold(mark, str(folder), "choose another --out")
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)
        if not was_there:
            with suppress(OSError):  # not empty
                folder.rmdir()
        held.release(force=True)
