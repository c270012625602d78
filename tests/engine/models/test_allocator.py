"""In processes of their own: the settings stay for the life of one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

# Ten times 64 MB, as a model's step takes and frees them: how many pages had to be fetched for it.
COUNT = """
import resource, sys
from engine.models import allocator
if sys.argv[1] == "keep":
    assert allocator.keep_freed_memory()
import ctypes
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
before = 0
for turn in range(11):
    block = libc.malloc(64 << 20)
    ctypes.memset(ctypes.c_void_p(block), 1, 64 << 20)
    libc.free(ctypes.c_void_p(block))
    if turn == 0:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", COUNT, how], cwd=ROOT, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
def test_freed_memory_is_used_again_without_new_pages():
    assert faults("keep") < faults("leave") / 10


def test_another_c_library_is_left_alone(monkeypatch):
    from engine.models import allocator

    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: object())
    assert allocator.keep_freed_memory() is False


HUGE = Path("/sys/kernel/mm/transparent_hugepage/enabled")

# The kilobytes in huge pages after a device was prepared as in the commands and 64 MB of weights were created.
PAGES = """
from pathlib import Path
from engine.models import device
device.prepare("cpu")
import torch
weights = torch.ones(64 << 18)
lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("AnonHugePages")))
"""


@pytest.mark.skipif(not HUGE.exists() or "[madvise]" not in HUGE.read_text(), reason="huge pages are not on request")
@pytest.mark.parametrize(("setting", "expected"), [(None, True), ("0", False)])
def test_weights_lie_in_huge_pages_unless_the_user_forbids_it(setting, expected):
    environment = {name: value for name, value in os.environ.items() if name != "THP_MEM_ALLOC_ENABLE"}
    if setting is not None:
        environment["THP_MEM_ALLOC_ENABLE"] = setting
    done = subprocess.run(
        [sys.executable, "-c", PAGES], cwd=ROOT, capture_output=True, text=True, check=True, env=environment
    )
    assert (int(done.stdout) > 32 << 10) is expected
