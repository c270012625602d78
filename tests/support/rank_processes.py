"""The ranks of a training as processes that are forked from the test, which spares each the seconds of its imports."""

import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LONGEST = 60
"""Seconds after which ranks count as hanging."""


@dataclass(frozen=True)
class Ended:
    """The status (negative for a signal) and the output of one rank."""

    status: int
    output: str


def free_port() -> int:
    """Return a port of this machine that nothing uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fork(work: Callable[[], object], folder: Path, size: int = 2) -> list[Ended]:
    """Run `work` in `size` processes with the environment that torchrun gives its own, and return how each ended."""
    folder.mkdir(parents=True, exist_ok=True)
    shared = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    shared["GLOO_SOCKET_IFNAME"] = "lo"
    started = []
    for rank in range(size):
        log = folder / f"rank{rank}.log"
        if (child := os.fork()) == 0:
            _run(work, log, {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        started.append((child, log))
    ends, statuses = time.monotonic() + LONGEST, {}
    while len(statuses) < size and time.monotonic() < ends:
        for child, _ in started:
            if child not in statuses and (found := os.waitpid(child, os.WNOHANG))[0]:
                statuses[child] = os.waitstatus_to_exitcode(found[1])
        time.sleep(0.01)
    hanging = [child for child, _ in started if child not in statuses]
    for child in hanging:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    outputs = [log.read_text(encoding="utf-8", errors="replace") for _, log in started]
    assert not hanging, "ranks hang:\n" + "\n".join(outputs)
    return [Ended(statuses[child], output) for (child, _), output in zip(started, outputs, strict=True)]


def _run(work: Callable[[], object], log: Path, environment: dict[str, str]) -> None:
    """Run `work` in a forked child, and end it."""
    status = 70
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # and not the handler of the test runner
        signal.alarm(2 * LONGEST)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
        os.environ.update(environment)
        status = int(work() or 0)
    except SystemExit as ending:
        status = int(ending.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
