"""Kills at changes of the file system: a sample of those of every command, and that the harness finds faults.

`make kills` kills before every change.
"""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT

PRELUDE = """
import json, os, sys
from pathlib import Path
from engine.captioners.native import checkpoints
from engine.writing import replacing
from tests.kills.harness import Command, killed, undisturbed

def careful():
    with replacing(Path("a/identity")) as temporary:
        temporary.write_text("mine")
    return 0

def in_place():
    if Path("identity").exists() and Path("identity").read_text() != "mine":
        print("another training is there")
        return 2
    Path("identity").write_text("mine")
    return 0

def forgetful():
    if not Path("first").exists():
        Path("first").write_text("1")
        Path("second").write_text("2")
    return 0

def littering():
    name = f"temporary{os.getpid()}"
    Path(name).write_text("x")
    os.replace(name, "x")
    return 0
"""


FAULTS = {
    "careful": None,
    "in_place": "(write identity): the same command then ended with 2: another training is there",
    "forgetful": "(open second): other files than undisturbed: second (missing)",
    "littering": "(left over)",
}
"""Function of PRELUDE -> a fault that kills before each of its changes find."""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[str, list]:
    """The changes and faults of each function; in one process, because importing torch takes seconds."""
    code = f"""{PRELUDE}
outcomes = {{}}
for command in (careful, in_place, forgetful, littering):
    command = Command(command.__name__, command)
    folder = Path({str(tmp_path_factory.mktemp("kills"))!r}) / command.name
    found = undisturbed(command, folder / "whole")
    for at in range(1, len(found.changes) + 1):
        killed(command, folder / "killed", at, found)
    outcomes[command.name] = [found.changes, found.faults]
print(json.dumps(outcomes))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(("name", "fault"), FAULTS.items())
def test_the_harness_finds_what_a_kill_breaks(outcomes, name, fault):
    changes, faults = outcomes[name]
    assert len(changes) >= 3
    assert bool(faults) == (fault is not None)
    assert fault is None or any(fault in each for each in faults)


@pytest.mark.timeout(600)
def test_a_kill_at_any_change_loses_nothing():
    done = subprocess.run(
        [sys.executable, "-m", "tests.kills", "--kills", "40"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-5_000:] + done.stderr[-2_000:]
    last = done.stdout.splitlines()
    assert "40 kills, 0 faults" in last[-1]
    for name in ("evaluate", "hugging-face", "endpoint", "train", "score", "zeroshot", "study", "report"):
        assert any(line.startswith(f"{name}: ") and ", 0 kills" not in line for line in last)
