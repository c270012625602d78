"""A few images searched at one beam size after the other, as many at once as the memory takes.

Knows a captioner, a tokenizer's two ids and the settings of a search. Knows no photo, no file and no table.
"""

import hashlib
from collections.abc import Sequence

import torch

from engine import decoding, memory
from engine.captioner import Captioner
from engine.config import DecodingConfig
from engine.tokenizer import CaptionTokenizer


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
        return memory.in_batches(
            lambda start, stop: self._some(start, stop, size), len(self._looked), self._at_once(size)
        )

    def _at_once(self, size: int) -> int:
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
        return memory.images_at_once(each, beams, memory.free_bytes(self._captioner.device))

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
