"""A chunk of images searched at all beam sizes together, in batches that fit the memory.

On a CPU the images are dealt to jobs of one core each: a step is many small operations, and cores that share each of
them wait for each other at every one.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import torch

from engine.config import DecodingConfig
from engine.decoding import cuda_graphs, memory, study_rule, sweep
from engine.decoding.steps import Steps, TokenHypothesis

T = TypeVar("T")

JOB_IMAGES = 8
"""Fewer images are not worth a job of their own: each job reads all weights."""


class StepModel(Protocol):
    """A decoder that can be searched; `captioners.native.captioner.Captioner` is one."""

    @property
    def device(self) -> torch.device:
        """Where it runs."""

    def start(self, images: Any, max_length: int) -> Steps:
        """Open a decoding of at most `max_length` steps, with one prefix per image."""

    def reader(self, images: Any) -> study_rule.Read:
        """Return a function that reads whole prefixes, for the study's rule."""

    def bytes_per_image(self, images: Any, beams: int, steps: int) -> int:
        """Return the memory that a search takes for an image."""


def seed_of(seed: int, image_id: str) -> int:
    """Return an image's own seed: neither the batch nor a restart changes what is drawn for it."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{image_id}".encode()).digest()[:8], "big") >> 1


_Image = list[list[TokenHypothesis]]
"""What was found for an image: at each beam size its hypotheses."""

Found = dict[int, list[list[TokenHypothesis]]]
"""Beam size -> the hypotheses of each image."""


def jobs_for(images: int, device: torch.device) -> int:
    """Return how many jobs share the images: one per core on a CPU, else one."""
    if device.type != "cpu":
        return 1
    return max(1, min(torch.get_num_threads(), images // JOB_IMAGES))


def in_jobs(work: Callable[[int, int], list[T]], images: int, jobs: int) -> list[T]:
    """Return what `work(start, stop)` returns for ranges of the images, in order; each job has a core of its own."""
    if jobs == 1:
        return work(0, images)
    bounds = [images * job // jobs for job in range(jobs + 1)]
    with ThreadPoolExecutor(jobs, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        parts = [pool.submit(work, *bounds[job : job + 2]) for job in range(jobs)]
        return [each for part in parts for each in part.result()]


class BatchedSearch:
    """A chunk's images, ready to be searched."""

    def __init__(
        self,
        model: StepModel,
        images: Any,
        bos_id: int,
        eos_id: int,
        config: DecodingConfig,
        image_ids: Sequence[str],
        graphs: cuda_graphs.GraphCache | None = None,
    ) -> None:
        """`images`: what `model.start` takes, with a length and slices; `graphs`: captured searches of this model."""
        self._model, self._images, self._ids, self._config = model, images, (bos_id, eos_id), config
        self._seeds = [seed_of(config.seed, image_id) for image_id in image_ids]
        self._graphs = graphs

    def __len__(self) -> int:
        return len(self._images)

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self._model.device

    def run(self, sizes: Sequence[int] | None = None, images: int | None = None) -> Found:
        """Return the hypotheses of each image.

        Args:
            sizes: beam sizes instead of the config's.
            images: only the first ones.
        """
        sizes, images = sizes or self._config.beam_sizes, images or len(self)
        jobs = jobs_for(images, self.device)
        found = in_jobs(lambda start, stop: self._range(start, stop, sizes, jobs), images, jobs)
        return {size: [image[at] for image in found] for at, size in enumerate(sizes)}

    def _range(self, start: int, stop: int, sizes: Sequence[int], jobs: int) -> list[_Image]:
        """Return what is found for the images of one job."""
        return memory.in_batches(
            lambda first, last: self._some(start + first, start + last, sizes),
            stop - start,
            self._at_once(stop - start, sizes, jobs),
        )

    def _at_once(self, images: int, sizes: Sequence[int], jobs: int) -> int:
        """Return the size of batches that fit the memory and are about equal."""
        widths = [max(size, self._config.n_best) for size in sizes]
        # At worst no two sizes share a prefix.
        each = self._model.bytes_per_image(self._images, sum(widths), self._config.max_length)
        most = memory.images_at_once(each * jobs, max(widths), self.device, memory.free_bytes(self.device))
        return math.ceil(images / math.ceil(images / most))

    def _some(self, start: int, stop: int, sizes: Sequence[int]) -> list[_Image]:
        images, config, device, found = self._images[start:stop], self._config, self.device, None
        if config.rule == "study":
            with torch.inference_mode():
                read = self._model.reader(images)
            found = study_rule.sweep(read, stop - start, sizes, *self._ids, config.max_length, device, config.n_best)
        elif self._graphs is not None:
            found = self._graphs.replayed(self._model, images, sizes, *self._ids, config)
        if found is None:
            with torch.inference_mode():
                steps = self._model.start(images, config.max_length)
            seeds = self._seeds[start:stop]
            found = sweep.sweep(steps, stop - start, sizes, *self._ids, config, device, seeds)
        return [[found[size][image] for size in sizes] for image in range(stop - start)]
