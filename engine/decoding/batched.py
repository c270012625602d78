"""Decode a chunk of images at all beam sizes together, in batches that fit into memory.

On a CPU the images are divided among jobs of one core each, because a step consists of many small operations and cores
that share them would wait for each other at each one.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import torch

from engine.config import DecodingConfig
from engine.decoding import cuda_graphs, memory, study_rule, sweep
from engine.decoding.steps import TokenHypothesis

T = TypeVar("T")

JOB_IMAGES = 8
"""Minimum images per job, because each job reads all weights."""


class StepModel(Protocol):
    """A decoder that can be used for search; `captioners.native.captioner.CaptionerModel` is one."""

    @property
    def device(self) -> torch.device:
        """The device of the weights."""

    def start(self, images: Any, max_length: int, /) -> Any:
        """Start a decoding of at most `max_length` steps, with one prefix per image."""

    def reader(self, images: Any, /) -> study_rule.Read:
        """Return a function that reads whole prefixes, for the study's rule."""

    def bytes_per_image(self, images: Any, beams: int, steps: int, /) -> int:
        """Return the bytes that a search takes per image."""


def seed_of(seed: int, image_id: str) -> int:
    """Return the seed of an image, which makes samples independent of the batch and of restarts."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{image_id}".encode()).digest()[:8], "big") >> 1


_Image = list[list[TokenHypothesis]]
"""The hypotheses of an image at each beam size."""

Found = dict[int, list[list[TokenHypothesis]]]
"""Beam size -> the hypotheses of each image."""


def jobs_for(images: int, device: torch.device) -> int:
    """Return how many jobs share the images: one per core on a CPU, else one."""
    if device.type != "cpu":
        return 1
    return max(1, min(torch.get_num_threads(), images // JOB_IMAGES))


def in_jobs(work: Callable[[int, int], list[T]], images: int, jobs: int) -> list[T]:
    """Return the results of `work(start, stop)` over ranges of the images, in order; each job uses one core."""
    if jobs == 1:
        return work(0, images)
    bounds = [images * job // jobs for job in range(jobs + 1)]
    with ThreadPoolExecutor(jobs, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        parts = [pool.submit(work, *bounds[job : job + 2]) for job in range(jobs)]
        return [each for part in parts for each in part.result()]


class BatchedSearch:
    """A search over the images of a chunk."""

    def __init__(
        self,
        model: StepModel,
        images: Any,
        bos_id: int,
        eos_id: int | Sequence[int],
        config: DecodingConfig,
        image_ids: Sequence[str],
        graphs: cuda_graphs.GraphCache | None = None,
    ) -> None:
        """Prepare a search.

        Args:
            images: argument of `model.start`, with a length and slices.
            eos_id: the end token, or several; rule and graphs of our own captioners take one.
            graphs: captured searches of this model.
        """
        self._model, self._images, self._config = model, images, config
        self._bos_id, self._eos_id = bos_id, eos_id
        self._seeds = [seed_of(config.seed, image_id) for image_id in image_ids]
        self._graphs = graphs

    def __len__(self) -> int:
        return len(self._images)

    @property
    def device(self) -> torch.device:
        """The device of the search."""
        return self._model.device

    def run(self, sizes: Sequence[int] | None = None, images: int | None = None) -> Found:
        """Return the hypotheses of each image.

        Args:
            sizes: beam sizes instead of the config's.
            images: search only this many, the first ones.
        """
        sizes, images = sizes or self._config.beam_sizes, images or len(self)
        jobs = jobs_for(images, self.device)
        found = in_jobs(lambda start, stop: self._range(start, stop, sizes, jobs), images, jobs)
        return {size: [image[at] for image in found] for at, size in enumerate(sizes)}

    def _range(self, start: int, stop: int, sizes: Sequence[int], jobs: int) -> list[_Image]:
        """Return the results for the images of one job."""
        return memory.in_batches(
            lambda first, last: self._some(start + first, start + last, sizes),
            stop - start,
            self._at_once(stop - start, sizes, jobs),
        )

    def _at_once(self, images: int, sizes: Sequence[int], jobs: int) -> int:
        """Return the size of about equal batches that fit into memory."""
        widths = [max(size, self._config.n_best) for size in sizes]
        # Worst case: no two beam sizes share a prefix.
        each = self._model.bytes_per_image(self._images, sum(widths), self._config.max_length)
        most = memory.images_at_once(each * jobs, max(widths), self.device, memory.free_bytes(self.device))
        return math.ceil(images / math.ceil(images / most))

    def _some(self, start: int, stop: int, sizes: Sequence[int]) -> list[_Image]:
        images, config, device, found = self._images[start:stop], self._config, self.device, None
        bos_id, eos_id = self._bos_id, self._eos_id
        if config.rule == "study":
            assert isinstance(eos_id, int)  # only our own decoders are searched by the study's rule
            with torch.inference_mode():
                read = self._model.reader(images)
            found = study_rule.sweep(
                read, stop - start, sizes, bos_id, eos_id, config.max_length, device, config.n_best
            )
        elif self._graphs is not None and isinstance(eos_id, int):
            found = self._graphs.replayed(self._model, images, sizes, bos_id, eos_id, config)
        if found is None:
            with torch.inference_mode():
                steps = self._model.start(images, config.max_length)
            seeds = self._seeds[start:stop]
            found = sweep.sweep(steps, stop - start, sizes, bos_id, eos_id, config, device, seeds)
        return [[found[size][image] for size in sizes] for image in range(stop - start)]
