"""A few images searched at one beam size after the other, as many at once as the memory takes.

Knows a captioner, a tokenizer's two ids and the settings of a search. Knows no photo, no file and no table. On a CPU
the images are dealt to jobs of one core each: a step is many small operations, and cores that share each of them wait
for each other at every one.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from engine import decoding, memory
from engine.captioner import Captioner
from engine.config import DecodingConfig
from engine.tokenizer import CaptionTokenizer

JOB_IMAGES = 8
"""Fewer images are not worth a job of their own: the weights are read anew for each."""


def seed_of(seed: int, image_id: str) -> int:
    """An image's own seed: neither the batch nor a kill changes what is drawn for it."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{image_id}".encode()).digest()[:8], "big") >> 1


class Search:
    """A chunk's images searched at one beam size after the other; what does not depend on the size is made once."""

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

    def run(self, size: int) -> list[list[decoding.Hypothesis]]:
        """The hypotheses of each image; as many images at once as the memory takes."""
        images, jobs = len(self._looked), self._jobs()
        if jobs == 1:
            return self._range(0, images, size, 1)
        bounds = [images * job // jobs for job in range(jobs + 1)]
        with ThreadPoolExecutor(jobs, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            parts = [pool.submit(self._range, *bounds[job : job + 2], size, jobs) for job in range(jobs)]
            return [found for part in parts for found in part.result()]

    def _jobs(self) -> int:
        """How many jobs share the images: one a core, on a CPU."""
        if self._captioner.device.type != "cpu":
            return 1
        return max(1, min(torch.get_num_threads(), len(self._looked) // JOB_IMAGES))

    def _range(self, start: int, stop: int, size: int, jobs: int) -> list[list[decoding.Hypothesis]]:
        """The images of one job."""
        return memory.in_batches(
            lambda first, last: self._some(start + first, start + last, size), stop - start, self._at_once(size, jobs)
        )

    def _at_once(self, size: int, jobs: int) -> int:
        shape, beams = self._captioner.config, max(size, self._config.n_best)
        each = memory.bytes_per_image(
            beams=beams,
            steps=self._config.max_length,
            layers=shape.num_layers,
            width=shape.d_model,
            vocabulary=shape.vocab_size,
            memory_tokens=self._tokens,
            item=self._captioner.head.weight.element_size(),
        )
        return memory.images_at_once(each * jobs, beams, memory.free_bytes(self._captioner.device))

    def _some(self, start: int, stop: int, size: int) -> list[list[decoding.Hypothesis]]:
        looked, config, device = self._looked[start:stop], self._config, self._captioner.device
        if config.rule == "study":
            with torch.inference_mode():
                read = self._captioner.reader(looked)
            return decoding.search_study_n_best(
                read, stop - start, size, *self._ids, config.max_length, device, config.n_best
            )
        with torch.inference_mode():
            steps = self._captioner.start(looked, config.max_length)
        return decoding.search_n_best(steps, stop - start, size, *self._ids, config, device, self._seeds[start:stop])
