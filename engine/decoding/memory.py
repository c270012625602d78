"""Measure free memory, choose batch sizes that fit, and halve the batch when memory runs out."""

import gc
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

T = TypeVar("T")

SHARE = 0.5
"""Share of the free memory that decoding may use; the rest is for other processes on the machine."""

BUDGET = 4 * 2**30
"""Maximum bytes of a decoding on a CPU, even if more are free: larger batches are not faster."""

ROWS = 1024
"""Maximum images times beams per batch on a CPU, for the same reason."""

ROWS_ON_GPU = 25600
"""The same on a GPU, where the many small operations of a sweep cost the host the same for few images as for many."""

_UNKNOWN = 2 * 2**30  # free bytes that are assumed if the system does not report them


class MemoryShort(RuntimeError):
    """A single item does not fit into memory; the message says what to do."""


def free_bytes(device: str | torch.device) -> int:
    """Return the free bytes on `device`; on a CPU, the limit of the container is respected."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] + _cached_on(device)
    known = [bytes_ for bytes_ in (_available(), _left_of_limit()) if bytes_ is not None]
    return min(known, default=_UNKNOWN)


def _cached_on(device: torch.device) -> int:
    """Return the bytes that torch has reserved but does not use."""
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
    """Return the free bytes under the limit of the control group, if there is one."""
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
    spare_layers: int = 1,
) -> int:
    """Return the bytes that decoding one image takes, with `item` bytes per number and scores in float32.

    They are the image's keys and values in each layer; those of its beams, with `spare_layers` (see `kv_cache`) and
    half as much again for buffers that grow; and the scores of the vocabulary per beam: logits, log-probabilities and a
    copy.
    """
    cross = layers * 2 * memory_tokens * width * item
    own = (layers + spare_layers) * 2 * steps * beams * width * item * 3 // 2
    scores = beams * vocabulary * (2 * 4 + item)
    return cross + own + scores


def rows_at_once(device: str | torch.device) -> int:
    """Return the number of images times beams that are worth decoding together on `device`."""
    return ROWS if torch.device(device).type == "cpu" else ROWS_ON_GPU


def images_at_once(bytes_per_image: int, beams: int, device: str | torch.device, free: int) -> int:
    """Return how many images to decode together on `device` within its `free` bytes; at least one."""
    budget = int(SHARE * free)
    if torch.device(device).type == "cpu":
        budget = min(BUDGET, budget)
    return max(1, min(rows_at_once(device) // beams, budget // max(bytes_per_image, 1)))


def in_batches(work: Callable[[int, int], list[T]], count: int, batch: int) -> list[T]:
    """Return the results of `work(start, stop)` over `count` items in batches; halve the batch when memory runs out.

    Raises:
        MemoryShort: a single item does not fit into memory.
    """
    found: list[T] = []
    while len(found) < count:
        start = len(found)
        stop = min(start + batch, count)
        try:
            found += work(start, stop)
            continue
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        # Outside the handler, so that the frames of the error no longer keep the tensors alive.
        batch = _halved(stop - start)
    return found


def _halved(batch: int) -> int:
    if batch == 1:
        raise MemoryShort("out of memory with a single image; use smaller --beams or --max-length, or --device cpu")
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    warnings.warn(
        f"out of memory with batches of {batch} images; continuing with batches of {batch // 2}", stacklevel=3
    )
    return batch // 2


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, and a smaller batch may fit."""
    if isinstance(error, MemoryShort):
        return False
    # A plain RuntimeError on a CPU, on `mps`, and if CUDA itself, not torch's allocator, is out of memory.
    is_reported = any(each in str(error) for each in ("can't allocate memory", "out of memory"))
    return is_reported or isinstance(error, torch.OutOfMemoryError | MemoryError)
