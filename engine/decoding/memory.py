"""How much memory is free, how much a decoding takes, and what to do when it was not enough.

Knows bytes and batches. Knows no model: shapes come in as numbers.
"""

import gc
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

T = TypeVar("T")

SHARE = 0.5
"""Of the free memory, what a decoding may take: the other half is for what else runs on the machine."""

BUDGET = 4 * 2**30
"""Bytes a decoding takes at most on a CPU, however much is free: more rows at once are no faster."""

ROWS = 1024
"""Images times beams decoded together at most on a CPU, for the same reason."""

ROWS_ON_GPU = 25600
"""The same on a GPU, where a sweep's many small operations cost the host as much for few images as for many."""

_UNKNOWN = 2 * 2**30  # free bytes assumed where the system says nothing


class MemoryShort(RuntimeError):
    """One item alone is too much for the memory; the message says what to do."""


def free_bytes(device: str | torch.device) -> int:
    """Bytes that can still be had on `device`; on a CPU the container's limit counts as well."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] + _cached_on(device)
    known = [bytes_ for bytes_ in (_available(), _left_of_limit()) if bytes_ is not None]
    return min(known, default=_UNKNOWN)


def _cached_on(device: torch.device) -> int:
    """What torch holds and does not use."""
    return torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def _available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def _left_of_limit() -> int | None:
    """Of a control group's limit, where there is one."""
    group = Path("/sys/fs/cgroup")
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            return max(int((group / limit).read_text()) - int((group / used).read_text()), 0)
        except (OSError, ValueError):  # no such group, or "max"
            continue
    return None


def bytes_per_image(
    *,
    beams: int,
    steps: int,
    layers: int,
    width: int,
    vocabulary: int,
    memory_tokens: int,
    item: int = 4,
    copies: int = 2,
) -> int:
    """What decoding one image takes: `item` bytes a number, scores in float32.

    Its own keys and values in each layer, those of its beams in `copies` (see `past`) with room for a quarter more, and
    for each beam the scores of the vocabulary: logits, log-probabilities and a product's copy.
    """
    cross = layers * 2 * memory_tokens * width * item
    past = copies * layers * 2 * steps * beams * width * item * 5 // 4
    scores = beams * vocabulary * (2 * 4 + item)
    return cross + past + scores


def rows_at_once(device: str | torch.device) -> int:
    """Images times beams that are worth decoding together on `device`."""
    return ROWS if torch.device(device).type == "cpu" else ROWS_ON_GPU


def images_at_once(bytes_an_image: int, beams: int, device: str | torch.device, free: int) -> int:
    """How many images are worth decoding together on `device` and fit its `free` bytes; at least one."""
    budget = int(SHARE * free)
    if torch.device(device).type == "cpu":
        budget = min(BUDGET, budget)
    return max(1, min(rows_at_once(device) // beams, budget // max(bytes_an_image, 1)))


def in_batches(work: Callable[[int, int], list[T]], count: int, batch: int) -> list[T]:
    """`work(start, stop)` over `count` items, `batch` at a time; out of memory, half as many from there on.

    Raises:
        MemoryShort: a single item is too much.
    """
    found: list[T] = []
    while len(found) < count:
        start = len(found)
        stop = min(start + batch, count)
        try:
            found += work(start, stop)
            continue
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
        # Outside of the handler, so that the error's frames no longer hold what was too much.
        batch = _halved(stop - start)
    return found


def _halved(batch: int) -> int:
    if batch == 1:
        raise MemoryShort("out of memory with a single image; choose smaller --beams or --max-length, or --device cpu")
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    warnings.warn(f"out of memory with {batch} images at once; going on with {batch // 2}", stacklevel=3)
    return batch // 2


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryShort):
        return False
    # A plain RuntimeError on a CPU, on `mps`, and where CUDA itself, not torch's allocator, has no memory left.
    is_said = any(each in str(error) for each in ("can't allocate memory", "out of memory"))
    return is_said or isinstance(error, torch.OutOfMemoryError | MemoryError)
