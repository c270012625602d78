"""Results in order, errors as they are, and no process that stays."""

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.metrics.base import MetricError
from engine.parallel import WorkerError, Workers
from tests.conftest import ROOT


def fail(message: str) -> None:
    raise MetricError(message)


def test_results_are_those_of_map_in_order():
    with Workers(2) as workers:
        assert list(workers.map(math.sqrt, map(float, range(20)))) == [math.sqrt(number) for number in range(20)]
        assert list(workers.map(abs, [])) == []
        assert len(set(workers.map(_pid, range(4)))) == 2


def test_an_error_keeps_its_class_and_its_sentence():
    with Workers(2) as workers, pytest.raises(MetricError) as found:
        list(workers.map(fail, ["no memory"] * 5))
    assert str(found.value) == "no memory"


def test_a_killed_worker_is_one_sentence():
    with Workers(2) as workers, pytest.raises(WorkerError, match="status -9.*run the same command again"):
        list(workers.map(_kill, range(5)))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left_when_this_one_is_stopped(tmp_path, number):
    code = (
        "from engine.parallel import Workers; from tests.engine.test_parallel import _note\n"
        f"with Workers(2) as workers: list(workers.map(_note, [{str(tmp_path)!r}] * 99))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL)
    until(lambda: len(list(tmp_path.iterdir())) == 2)
    process.send_signal(number)
    process.wait()
    until(lambda: not any(Path("/proc", each.name).exists() for each in tmp_path.iterdir()))


def until(condition) -> None:
    stop = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < stop
        time.sleep(0.05)


def _pid(_: int) -> int:
    time.sleep(0.05)
    return os.getpid()


def _kill(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _note(folder: str) -> None:
    Path(folder, str(os.getpid())).touch()
    time.sleep(0.5)
