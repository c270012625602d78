"""Apply a function to items in other processes, with results in order.

A worker is a Python process that is connected by two pipes. It ends when its pipe does, so that none is left after the
death of this process, however that comes. Workers are in sessions of their own: Ctrl-C reaches this process alone,
which then kills them and what they started.
"""

import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class WorkerError(RuntimeError):
    """A worker ended without an answer; the message says what to do."""


class Workers:
    """Processes that apply functions; use it as a context manager. Functions and items must be picklable."""

    def __init__(self, count: int) -> None:
        self._workers = [_Worker() for _ in range(count)]

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers:
            worker.stop()

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yield `function(item)` for each item, in order; each worker has at most one item at a time.

        Raises:
            WorkerError: a worker was killed.
            Exception: what `function` raised, for the first item for which it did.
        """
        free, busy = deque(self._workers), deque[_Worker]()
        for item in items:
            if not free:
                worker = busy.popleft()
                answer = worker.receive()
                worker.send(function, item)
                busy.append(worker)
                yield answer
            else:
                worker = free.popleft()
                worker.send(function, item)
                busy.append(worker)
        for worker in busy:
            yield worker.receive()


class _Worker:
    def __init__(self) -> None:
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        path = os.pathsep.join(each or os.getcwd() for each in sys.path)
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from engine import parallel; parallel.serve({theirs_in}, {theirs_out})"],
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._requests, self._answers = Connection(ours_out, readable=False), Connection(ours_in, writable=False)

    def send(self, function: Callable[[Any], Any], item: Any) -> None:
        with suppress(BrokenPipeError):  # `receive` reports the dead worker
            self._requests.send_bytes(pickle.dumps((function, item), protocol=5))

    def receive(self) -> Any:
        try:
            found, error = pickle.loads(self._answers.recv_bytes())
        except EOFError:
            status = self._process.wait()
            raise WorkerError(
                f"a worker process ended with status {status}, perhaps because memory ran out; "
                "free some and run the same command again"
            ) from None
        if error is not None:
            raise error
        return found

    def stop(self) -> None:
        """Kill the worker and what it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._requests, self._answers):
            with suppress(OSError):
                pipe.close()


def serve(requests: int, answers: int) -> None:
    """Answer the requests of `Workers` until the pipe ends.

    Args:
        requests, answers: file descriptors of the two pipes.
    """
    source, target = Connection(requests, writable=False), Connection(answers, readable=False)
    while True:
        try:
            function, item = pickle.loads(source.recv_bytes())
        except EOFError:
            return
        try:
            answer = (function(item), None)
        except Exception as error:
            error.add_note("".join(traceback.format_exception(error)))
            answer = (None, error)
        with suppress(BrokenPipeError):
            target.send_bytes(pickle.dumps(answer, protocol=5))
