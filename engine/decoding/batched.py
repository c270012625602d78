"""A few images searched at all beam sizes together, as many at once as the memory takes.

Knows a captioner, a tokenizer's two ids and the settings of a search. Knows no photo, no file and no table. On a CPU
the images are dealt to jobs of one core each: a step is many small operations, and cores that share each of them wait
for each other at every one.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from engine.captioners.native import kv_cache
from engine.captioners.native.captioner import Captioner
from engine.config import DecodingConfig
from engine.decoding import cuda_graphs, memory, study_rule, sweep
from engine.decoding.steps import TokenHypothesis
from engine.models.tokenizer import CaptionTokenizer

T = TypeVar("T")

JOB_IMAGES = 8
"""Fewer images are not worth a job of their own: the weights are read anew for each."""


def seed_of(seed: int, image_id: str) -> int:
    """An image's own seed: neither the batch nor a kill changes what is drawn for it."""
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


class Search:
    """A chunk's images, ready to be searched: what does not depend on the beam size is made once."""

    def __init__(
        self,
        captioner: Captioner,
        tokenizer: CaptionTokenizer,
        encoded: torch.Tensor,
        config: DecodingConfig,
        image_ids: Sequence[str],
    ) -> None:
        """`encoded`: the images' memory, float[N, P, D]."""
        self._captioner, self._config = captioner, config
        self._seeds = [seed_of(config.seed, image_id) for image_id in image_ids]
        self._ids = (tokenizer.bos_id, tokenizer.eos_id)
        with torch.inference_mode():
            self._looked = captioner.look(encoded)
        self._tokens = encoded.shape[1]

    def __len__(self) -> int:
        return len(self._looked)

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self._captioner.device

    def run(self, sizes: Sequence[int] | None = None, images: int | None = None) -> Found:
        """The hypotheses of each image, or of the first `images`, at the config's beam sizes or only at `sizes`.

        As many images at once as the memory takes.
        """
        sizes, images = sizes or self._config.beam_sizes, images or len(self._looked)
        jobs = jobs_for(images, self.device)
        found = in_jobs(lambda start, stop: self._range(start, stop, sizes, jobs), images, jobs)
        return {size: [image[at] for image in found] for at, size in enumerate(sizes)}

    def forget(self) -> None:
        """Frees what is kept to search again faster; see `graphs`."""
        cuda_graphs.forget(self._captioner)

    def _range(self, start: int, stop: int, sizes: Sequence[int], jobs: int) -> list[_Image]:
        """The images of one job."""
        return memory.in_batches(
            lambda first, last: self._some(start + first, start + last, sizes),
            stop - start,
            self._at_once(stop - start, sizes, jobs),
        )

    def _at_once(self, images: int, sizes: Sequence[int], jobs: int) -> int:
        """As many images as the memory takes, in batches of about the same size."""
        shape, widths = self._captioner.config, [max(size, self._config.n_best) for size in sizes]
        each = memory.bytes_per_image(
            beams=sum(widths),  # at worst no two sizes share a prefix
            steps=self._config.max_length,
            layers=shape.num_layers,
            width=shape.d_model,
            vocabulary=shape.vocab_size,
            memory_tokens=self._tokens,
            item=self._captioner.head.weight.element_size(),
            copies=kv_cache.copies(self.device),
        )
        most = memory.images_at_once(each * jobs, max(widths), self.device, memory.free_bytes(self.device))
        return math.ceil(images / math.ceil(images / most))

    def _some(self, start: int, stop: int, sizes: Sequence[int]) -> list[_Image]:
        looked, config, device = self._looked[start:stop], self._config, self.device
        if config.rule == "study":
            with torch.inference_mode():
                read = self._captioner.reader(looked)
            found = study_rule.sweep(read, stop - start, sizes, *self._ids, config.max_length, device, config.n_best)
        else:
            found = cuda_graphs.replayed(self._captioner, looked, sizes, *self._ids, config)
        if found is None:
            with torch.inference_mode():
                steps = self._captioner.start(looked, config.max_length)
            seeds = self._seeds[start:stop]
            found = sweep.sweep(steps, stop - start, sizes, *self._ids, config, device, seeds)
        return [[found[size][image] for size in sizes] for image in range(stop - start)]
