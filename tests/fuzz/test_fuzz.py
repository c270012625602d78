"""500 damaged inputs for every reader; `make fuzz` gives them any number."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT
from tests.fuzz import harness
from tests.fuzz.__main__ import GROUPS

COUNT = 500


@pytest.fixture(scope="module")
def started() -> Iterator[dict[str, subprocess.Popen]]:
    """One process per group of readers, side by side: a fault may be a crash, and memory is counted by process."""
    processes = {}
    for group, module in GROUPS.items():
        names = [reader.name for reader in module.READERS]
        command = [sys.executable, "-m", "tests.fuzz", "--count", str(COUNT), *names]
        processes[group] = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
        )
    yield processes
    for process in processes.values():
        process.kill()
        process.wait()


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("group", GROUPS)
def test_only_our_own_errors_escape_from_damaged_files_and_nothing_reaches_the_terminal(started, group):
    shown, errors = started[group].communicate()
    assert started[group].returncode == 0, shown[-5000:] + errors[-2000:]
    assert errors == ""
    for reader in GROUPS[group].READERS:
        assert f"{reader.name:<22} {COUNT} inputs" in shown


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        (lambda: {}["a"], "KeyError"),
        (lambda: (_ for _ in ()).throw(OSError("full")), "OSError"),
        (lambda: _spin(), "TooSlow"),
        (lambda: None, "took"),
        (lambda: _ours("x" * 3000), "DatasetError"),
        (lambda: _ours("a\x1b[31m"), "DatasetError"),
    ],
)
def test_the_harness_finds_the_faults_it_looks_for(monkeypatch, fault, named):
    monkeypatch.setattr(harness, "SECONDS", 0.2)
    # The peak of this process, which other tests have raised, says nothing here.
    peaks = iter([100.0, 1300.0] if named == "took" else [100.0, 100.0])
    monkeypatch.setattr(harness, "_peak", lambda: next(peaks))
    calls = []

    def read(folder):
        calls.append(folder)
        if len(calls) > 1:  # the valid input is accepted
            fault()

    reader = harness.Reader("hostile", lambda folder: (folder / "a.json").write_text('{"a": [1, 2]}'), read)
    report = harness.fuzz(reader, 1)
    assert len(report.faults) == 1 and named in report.faults[0]


def _spin() -> None:
    while True:
        pass


def _ours(text: str) -> None:
    from engine.data.dataset import DatasetError

    raise DatasetError(text)
