"""Counts what a process changes in the file system, and kills it before a chosen change.

Covers what Python does (open for writing, write, rename, unlink, mkdir, rmdir, fsync), and the writers in native
libraries, each with a kill before it and one after half of its file.
"""

import builtins
import io
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

IGNORED = ("tensorboard",)
"""Folders whose changes do not count: written by a thread at times of its own, and read by no command."""

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Changes:
    """The changes below a folder so far; the process ends before change number `kill_at`, counted from 1."""

    def __init__(self, root: Path, kill_at: int | None = None) -> None:
        self.root, self.kill_at, self.seen = str(root.resolve()) + os.sep, kill_at, []

    def before(self, what: str, path: Any) -> None:
        """Count a change, or end the process before it."""
        if self._counts(path):
            self.seen.append(f"{what} {os.path.relpath(os.path.abspath(path), self.root)}")
            if len(self.seen) == self.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    def _counts(self, path: Any) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        full = os.path.abspath(os.fsdecode(path))
        return full.startswith(self.root) and not any(f"{os.sep}{name}{os.sep}" in full for name in IGNORED)

    def install(self) -> None:
        """Watch this process from now on; this cannot be undone."""
        self._watch_files()
        for name in ("replace", "rename", "unlink", "remove", "mkdir", "rmdir", "link", "symlink", "truncate"):
            setattr(os, name, self._watched(name, getattr(os, name)))
        fsync, opened = os.fsync, os.open

        def watched_fsync(handle: Any) -> None:
            number = handle if isinstance(handle, int) else handle.fileno()
            self.before("fsync", os.readlink(f"/proc/self/fd/{number}"))
            fsync(handle)

        def watched_open(path: Any, flags: int, *rest: Any, **named: Any) -> int:
            if flags & _WRITING:
                self.before("open", path)
            return opened(path, flags, *rest, **named)

        os.fsync, os.open = watched_fsync, watched_open
        self._watch_native()

    def _watched(self, name: str, function: Callable) -> Callable:
        def watched(path: Any, *rest: Any, dir_fd: int | None = None, **named: Any) -> Any:
            # rmtree names the entries of a folder that it has open.
            shown = path if dir_fd is None else os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), os.fsdecode(path))
            self.before(name, shown)
            more = {} if dir_fd is None else {"dir_fd": dir_fd}
            return function(path, *rest, **named, **more)

        return watched

    def _watch_files(self) -> None:
        real = builtins.open

        def opened(file: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
            if not set(mode) & set("wax+") or not self._counts(file):
                return real(file, mode, *rest, **named)
            self.before("open", file)
            return _File(real(file, mode, *rest, **named), file, self)

        builtins.open = io.open = opened

    def _watch_native(self) -> None:
        """Watch the functions of libraries that write a whole file by themselves."""
        import pyarrow.parquet as pq

        from engine.captioners.native import checkpoints
        from engine.models.tokenizer import CaptionTokenizer

        pq.write_table = self._halved(pq.write_table, 1)
        checkpoints.save_file = self._halved(checkpoints.save_file, 1)
        CaptionTokenizer.save = self._halved(CaptionTokenizer.save, 1)

    def _halved(self, write: Callable, place: int) -> Callable:
        """Return a writer with a kill before it and one when half of the file is written."""

        def watched(*arguments: Any, **named: Any) -> Any:
            path = arguments[place]
            self.before("write", path)
            half = self.kill_at == len(self.seen) + 1 and self._counts(path)
            found = write(*arguments, **named)
            if half:
                handle = os.open(path, os.O_RDWR)
                os.ftruncate(handle, os.fstat(handle).st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)
            self.before("half of", path)
            return found

        return watched


class _File:
    """A file whose writes count; a kill loses what is in its buffer, as it does in reality.

    Of the writes to one file the first, second, fourth, eighth and so on count: torch and numpy write in hundreds of
    small pieces, between which nothing else changes.
    """

    def __init__(self, file: Any, path: Any, changes: Changes) -> None:
        self._file, self._path, self._changes, self._writes = file, path, changes, 0

    def write(self, data: Any) -> Any:
        self._writes += 1
        if self._writes & (self._writes - 1) == 0:
            self._changes.before("write", self._path)
        return self._file.write(data)

    def flush(self) -> None:
        self._changes.before("flush", self._path)
        self._file.flush()

    def close(self) -> None:
        if not self._file.closed:
            self._changes.before("close", self._path)
            self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "_File":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Any:
        return iter(self._file)
