"""In processes of their own: the setting stays for the life of one."""

import subprocess
import sys

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
