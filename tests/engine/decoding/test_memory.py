import subprocess
import sys
import warnings

import pytest
import torch

from engine.captioners.native import kv_cache
from engine.config import DecodingConfig
from engine.decoding import memory, sweep
from tests.conftest import ROOT
from tests.support import tiny


class Fake:
    """Work that runs out of memory with more than `most` items at once."""

    def __init__(self, most: int, error: Exception) -> None:
        self.most, self.error, self.calls = most, error, []

    def __call__(self, start: int, stop: int) -> list[int]:
        self.calls.append(stop - start)
        if stop - start > self.most:
            raise self.error
        return list(range(start, stop))


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory"),
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you tried ..."),
    RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported at some other call"),
    RuntimeError("MPS backend out of memory (MPS allocated: 17.9 GB, max allowed: 18.1 GB)"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_out_of_memory_halves_the_batch_with_a_warning(error):
    work = Fake(3, error)
    with pytest.warns(UserWarning, match="out of memory with batches of 8 images; continuing with batches of 4"):
        assert memory.in_batches(work, 10, 8) == list(range(10))
    assert work.calls == [8, 4, 2, 2, 2, 2, 2]


def test_what_fits_is_done_in_whole_batches_without_a_warning():
    work = Fake(8, MemoryError())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert memory.in_batches(work, 10, 4) == list(range(10))
    assert work.calls == [4, 4, 2]


def test_the_error_for_a_single_image_says_what_to_do():
    with pytest.warns(UserWarning), pytest.raises(memory.MemoryShort, match="smaller --beams"):
        memory.in_batches(Fake(0, MemoryError()), 2, 2)


def test_what_was_given_up_within_is_not_tried_again_with_fewer():
    with warnings.catch_warnings(), pytest.raises(memory.MemoryShort):
        warnings.simplefilter("error")
        memory.in_batches(Fake(0, memory.MemoryShort("out of memory with a single image")), 4, 4)


def test_another_error_is_not_taken_for_it():
    with pytest.raises(RuntimeError, match="shape"):
        memory.in_batches(Fake(0, RuntimeError("shape mismatch")), 2, 2)


STUDY = {"steps": 30, "layers": 4, "width": 1024, "vocabulary": 18022, "memory_tokens": 197}


def test_the_studys_beam_of_100_fits_its_budget():
    each = memory.bytes_per_image(beams=100, **STUDY)
    assert 200e6 < each < 300e6
    assert memory.images_at_once(each, 100, "cpu", free=64 * 2**30) == 10
    assert memory.images_at_once(each, 100, "cpu", free=2 * 2**30) == 2**30 // each
    assert memory.images_at_once(each, 100, "cpu", free=0) == 1


def test_a_gpus_budget_grows_with_its_memory():
    each = memory.bytes_per_image(beams=100, spare_layers=0, **STUDY)
    assert each < memory.bytes_per_image(beams=100, **STUDY) - 30e6
    assert memory.images_at_once(each, 100, "cuda", free=128 * 2**30) == 256
    assert memory.images_at_once(each, 100, "cuda", free=16 * 2**30) == 8 * 2**30 // each > 16
    assert memory.images_at_once(each, 1, "cuda", free=0) == 1


def test_free_memory_is_a_part_of_the_machines():
    assert 0 < memory.free_bytes("cpu") < 2**44


_DECODE = """
import sys, torch
from pathlib import Path
from engine.decoding.sweep import sweep
from engine.config import DecodingConfig
from tests.support import tiny

sizes = [int(size) for size in sys.argv[1:]]
captioner = tiny.captioner(d_model=256, num_layers=2, nhead=4, dim_feedforward=128, vocab_size=4000)
words, config = tiny.tokenizer(), DecodingConfig(max_length=20)


def search(images, sizes):
    steps = captioner.start(torch.randn(images, 50, 256), 20)
    sweep(steps, images, sizes, words.bos_id, words.eos_id, config, torch.device("cpu"))


def most():
    # Not getrusage: what that says begins with the memory of the process that started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


search(1, [2])
before = most()
search(8, sizes)
print(most() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the most memory of a process is read from Linux's /proc")
@pytest.mark.parametrize("sizes", [[100], [1, 3, 5, 10, 15, 100]], ids=["one size", "a sweep"])
def test_a_decodings_real_use_stays_within_its_estimate(sizes):
    # A process of its own: the most memory a process ever had does not go down again for the next test.
    asked = [sys.executable, "-c", _DECODE, *map(str, sizes)]
    used = int(subprocess.run(asked, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    each = memory.bytes_per_image(beams=sum(sizes), steps=20, layers=2, width=256, vocabulary=4000, memory_tokens=50)
    assert 0.2 * 8 * each < used < 1.5 * 8 * each  # 1.14 to 1.32 in 24 runs: the allocator keeps freed blocks


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("sizes", [[100], [1, 3, 5, 10, 15, 100]], ids=["one size", "a sweep"])
def test_a_gpus_real_use_stays_within_its_estimate_too(sizes):
    shape = {"d_model": 256, "num_layers": 2, "nhead": 4, "dim_feedforward": 128, "vocab_size": 4000}
    captioner, config = tiny.captioner(**shape).to("cuda"), DecodingConfig(max_length=20)
    each = memory.bytes_per_image(
        **{"beams": sum(sizes), "steps": 20, "layers": 2, "width": 256, "vocabulary": 4000, "memory_tokens": 50},
        spare_layers=kv_cache.spare_layers(captioner.device),
    )
    for _ in range(2):  # the first also takes what the libraries keep
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        steps = captioner.start(torch.randn(32, 50, 256, device="cuda"), 20)
        sweep.sweep(steps, 32, sizes, 2, 3, config, captioner.device)
        used = torch.cuda.max_memory_allocated() - before
    assert 0.2 * 32 * each < used < 1.3 * 32 * each
