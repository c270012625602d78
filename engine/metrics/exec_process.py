"""Runs a command over JSON lines: writes lines to it, reads its lines, and turns every failure into a sentence."""

import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import IO, Any

from engine.metrics.base import MetricError
from engine.reading import message, parse_json, quoted

LONGEST = 2**20
"""Characters of a line of output."""

_KEPT = 500  # bytes of what a command wrote to stderr
_LINES = 3  # lines of them that a message shows
_GRACE = 10  # seconds for a command to end after its output ended


class ExecError(MetricError, ValueError):
    """A command that cannot be used as a metric; the message names it, what was expected and what to do."""


def answers(words: Sequence[str], rows: Iterable[dict[str, Any]], seconds: float, where: str) -> Generator[Any]:
    """Start a command, write `rows` to it as JSON lines, and yield the JSON value of each line that it prints.

    Its input is closed after the last row. It may answer every line at once, or all at the end. Python commands do not
    buffer their output. Empty lines are skipped.

    Args:
        words: the program and its arguments; no shell reads them.
        seconds: without a line of output after which the command is ended.
        where: the metric, for messages.

    Raises:
        ExecError: it cannot be started, prints nothing for too long, prints what is not JSON, or its exit status is
            not 0.
    """
    with tempfile.TemporaryFile() as errors:
        process = _start(words, errors, where)
        try:
            lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
            for work in ((_write, process.stdin, rows), (_read, process.stdout, lines)):
                threading.Thread(target=work[0], args=work[1:], daemon=True).start()
            yield from _parsed(lines, seconds, where, errors)
            _check_end(process, seconds, where, errors)
        finally:
            _end(process)


def _start(words: Sequence[str], errors: IO[bytes], where: str) -> subprocess.Popen:
    try:
        return subprocess.Popen(
            list(words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            encoding="utf-8",
            errors="replace",
            env=os.environ | {"PYTHONUNBUFFERED": "1"},  # else an answer may wait in a buffer until the end
            start_new_session=True,  # so that what the command started ends with it
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ExecError(
            f"{where}: {words[0]!r} cannot be started ({reason}); expected a program and its arguments"
        ) from error


def _write(stream: IO[str], rows: Iterable[dict[str, Any]]) -> None:
    with suppress(OSError, ValueError), stream:  # the command has ended, which its exit status explains
        for row in rows:
            stream.write(json.dumps(row) + "\n")
            stream.flush()


def _read(stream: IO[str], lines: "queue.SimpleQueue[str | None]") -> None:
    with suppress(OSError, ValueError), stream:
        while line := stream.readline(LONGEST + 1):
            lines.put(line)
    lines.put(None)


def _parsed(lines: "queue.SimpleQueue[str | None]", seconds: float, where: str, errors: IO[bytes]) -> Iterator[Any]:
    number = 0
    while True:
        try:
            line = lines.get(timeout=seconds)
        except queue.Empty:
            raise ExecError(
                f"{where}: no answer for {seconds:g} seconds after {number:,} lines{_said(errors)}; expected a JSON "
                'line per caption, flushed; a slow command names a longer "timeout" in its header'
            ) from None
        if line is None:
            return
        number += 1
        if len(line) > LONGEST:
            raise ExecError(f"{where}: line {number} is longer than {LONGEST:,} characters, expected a JSON object")
        if line.strip():
            yield parse_json(line, f"{where}: line {number} is {quoted(line.strip())}", ExecError)


def _check_end(process: subprocess.Popen, seconds: float, where: str, errors: IO[bytes]) -> None:
    try:
        status = process.wait(min(seconds, _GRACE))
    except subprocess.TimeoutExpired:
        raise ExecError(f"{where}: the command closed its output and does not end; expected it to end") from None
    if status:
        ended = f"exit status {status}" if status > 0 else f"signal {-status}"
        raise ExecError(f"{where}: the command ended with {ended}{_said(errors)}; run it alone to find out why")


def _said(errors: IO[bytes]) -> str:
    """Return the last lines that the command wrote to stderr, for a message."""
    size = errors.seek(0, os.SEEK_END)
    errors.seek(max(size - _KEPT, 0))
    lines = [line.strip() for line in errors.read().decode("utf-8", "replace").splitlines() if line.strip()]
    return f" ({message(' / '.join(lines[-_LINES:]))})" if lines else ""


def _end(process: subprocess.Popen) -> None:
    """End the command and what it started, if it still runs."""
    if process.poll() is None:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
