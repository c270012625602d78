import warnings

import pytest
import torch

from engine import memory


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
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_out_of_memory_halves_the_batch_and_goes_on_with_a_warning(error):
    work = Fake(3, error)
    with pytest.warns(UserWarning, match="out of memory with 8 images at once; going on with 4"):
        assert memory.in_batches(work, 10, 8) == list(range(10))
    assert work.calls == [8, 4, 2, 2, 2, 2, 2]


def test_what_fits_is_done_in_whole_batches_without_a_warning():
    work = Fake(8, MemoryError())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert memory.in_batches(work, 10, 4) == list(range(10))
    assert work.calls == [4, 4, 2]


def test_one_image_that_is_too_much_says_what_to_do():
    with pytest.warns(UserWarning), pytest.raises(memory.MemoryShort, match="smaller --beams"):
        memory.in_batches(Fake(0, MemoryError()), 2, 2)


def test_another_error_is_not_taken_for_it():
    with pytest.raises(RuntimeError, match="shape"):
        memory.in_batches(Fake(0, RuntimeError("shape mismatch")), 2, 2)


STUDY = {"steps": 30, "layers": 4, "width": 1024, "vocabulary": 18022, "memory_tokens": 197}


def test_the_studys_beam_of_100_fits_its_budget():
    each = memory.bytes_per_image(beams=100, **STUDY)
    assert 200e6 < each < 300e6
    assert memory.images_at_once(each, 100, free=64 * 2**30) == 10
    assert memory.images_at_once(each, 100, free=2 * 2**30) == 2**30 // each
    assert memory.images_at_once(each, 100, free=0) == 1


def test_free_memory_is_a_part_of_the_machines():
    assert 0 < memory.free_bytes("cpu") < 2**44


def test_a_decodings_real_use_stays_within_its_estimate():
    import resource

    from engine import decoding
    from engine.config import DecodingConfig
    from tests import tiny

    shape = {"d_model": 256, "num_layers": 2, "nhead": 4, "dim_feedforward": 128, "vocab_size": 4000}
    captioner = tiny.captioner(**shape)
    words, beams, images = tiny.tokenizer(), 100, 8
    ids = (words.bos_id, words.eos_id)
    config = DecodingConfig(beam_sizes=(beams,), max_length=20)
    decoding.search(captioner.start(torch.randn(1, 50, 256), 20), 1, 2, *ids, config, torch.device("cpu"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    decoding.search(captioner.start(torch.randn(images, 50, 256), 20), images, beams, *ids, config, torch.device("cpu"))
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    each = memory.bytes_per_image(beams=beams, steps=20, layers=2, width=256, vocabulary=4000, memory_tokens=50)
    assert used < 1.3 * images * each
