"""Fixtures that several test modules share."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Before torch is imported: on tensors this small, threads cost more than they save.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["CAPTIONSCOPE_CACHE"] = tempfile.mkdtemp(prefix="captionscope-tests-")
# Before ray is imported: its servers bind to 127.0.0.1, and it reports nothing to its makers.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import pytest
import torch

if not torch.cuda.is_available():
    # Before engine is imported: where there is no GPU, Triton's interpreter runs the kernels on the CPU.
    os.environ["TRITON_INTERPRET"] = "1"

from engine.store.schema import METRICS
from tests.support import runs

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"
"""Real data that some tests read where it lies; it is no part of the project."""


def needs_shared(name: str) -> pytest.MarkDecorator:
    """Skips a test where the real data it reads is missing."""
    return pytest.mark.skipif(not (SHARED / name).exists(), reason=f"the real data {name} is not on this machine")


@pytest.fixture(scope="session", autouse=True)
def own_cache() -> Iterator[None]:
    """What tests remember outside of their folders is deleted afterwards."""
    yield
    shutil.rmtree(os.environ["CAPTIONSCOPE_CACHE"], ignore_errors=True)


@pytest.fixture(autouse=True)
def own_metrics() -> Iterator[None]:
    """Metrics that a test registers, also by opening results, are gone after it."""
    before = dict(METRICS)
    yield
    METRICS.clear()
    METRICS.update(before)


@pytest.fixture(scope="session")
def full_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with a captioner run, a second one on a 7 x 7 grid, an imported run and an unfinished one."""
    results = tmp_path_factory.mktemp("full") / "results"
    runs.add_grounding(runs.captioner_run(results))
    runs.captioner_run(results, "demo_cnn", grid=7)
    runs.imported_run(results)
    runs.unfinished_run(results)
    return results


@pytest.fixture
def empty_results(tmp_path: Path) -> Path:
    """A results folder with nothing in it."""
    folder = tmp_path / "results"
    folder.mkdir()
    return folder
