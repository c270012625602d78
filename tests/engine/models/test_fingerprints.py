"""Fingerprints of weights are computed once per state of the files."""

import os
import shutil
import time

import pytest

from engine.captioners.native.pipeline import NativeCaptioner
from engine.models import fingerprints
from engine.writing import CACHE
from tests.support import tiny


@pytest.fixture
def computed(tmp_path, monkeypatch):
    """A function that fingerprints files, and the list of its computations."""
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    calls: list[str] = []

    def fingerprint(files, kind="weights"):
        return fingerprints.remembered(files, kind, lambda: calls.append(kind) or f"{len(calls):016x}")

    return fingerprint, calls


def written(path, content: str, age: float = 100.0):
    path.write_text(content)
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def test_a_fingerprint_is_computed_once_and_again_after_any_change(computed, tmp_path):
    fingerprint, calls = computed
    one, other = written(tmp_path / "a", "1"), written(tmp_path / "b", "1")
    first = fingerprint([one, other])
    assert fingerprint([other, one]) == first and len(calls) == 1
    assert fingerprint([one, other], "bf16") != first
    written(one, "2", age=90)  # the same size
    assert fingerprint([one, other]) != first
    written(one, "222", age=90)
    fingerprint([one, other])
    assert len(calls) == 4
    fingerprint([one])
    assert len(calls) == 5


def test_files_of_a_moment_ago_and_unknown_files_are_not_remembered(computed, tmp_path):
    fingerprint, calls = computed
    fresh = written(tmp_path / "a", "1", age=0)
    for files in ([fresh], [fresh], [], [], [tmp_path / "missing"], [tmp_path / "missing"]):
        fingerprint(files)
    assert len(calls) == 6


def test_a_damaged_or_unwritable_cache_only_costs_time(computed, tmp_path):
    fingerprint, calls = computed
    files = [written(tmp_path / "a", "1")]
    fingerprint(files)
    (kept,) = (tmp_path / "cache" / "fingerprints").iterdir()
    for content in (b"", b"\xff"):
        kept.write_bytes(content)
        fingerprint(files)
    assert len(calls) == 3
    shutil.rmtree(tmp_path / "cache")
    (tmp_path / "cache").write_text("a file in the way")
    fingerprint(files)
    fingerprint(files)
    assert len(calls) == 5


def test_a_captioner_is_hashed_once(computed, tmp_path, monkeypatch):
    folder = tiny.captioner_folder(tmp_path / "captioner")
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))
    first = NativeCaptioner.load(folder).fingerprint
    with monkeypatch.context() as patched:
        patched.setattr("engine.captioners.native.checkpoints.fingerprint", lambda model: pytest.fail("hashed again"))
        assert NativeCaptioner.load(folder).fingerprint == first
    other = NativeCaptioner.load(tiny.captioner_folder(tmp_path / "other", seed=1)).fingerprint
    assert other != first
