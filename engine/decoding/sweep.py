"""Search the best captions of each image at all beam sizes at once, over a step function on token ids.

Works on token ids and log-probabilities; needs no model, so the tests search small tables. Beam size 1 is greedy search
or sampling, larger sizes are `beam_search`; the original study's rule is in `study_rule`.
"""

from collections.abc import Sequence

import torch

from engine.config import DecodingConfig
from engine.decoding import sampling
from engine.decoding.beam_search import BeamSearch
from engine.decoding.end_tokens import EndTokens
from engine.decoding.greedy import GreedySearch
from engine.decoding.steps import SearchRule, Steps, TokenHypothesis, run


def search(
    steps: Steps,
    images: int,
    beam_size: int,
    bos_id: int,
    eos_id: int | Sequence[int],
    config: DecodingConfig,
    device: torch.device,
    seeds: Sequence[int] | None = None,
) -> list[TokenHypothesis]:
    """Return the first hypothesis of each of `images` at one beam size; see `sweep`."""
    found = sweep(steps, images, [beam_size], bos_id, eos_id, config, device, seeds)
    return [each[0] for each in found[beam_size]]


def sweep(
    steps: Steps,
    images: int,
    sizes: Sequence[int],
    bos_id: int,
    eos_id: int | Sequence[int],
    config: DecodingConfig,
    device: torch.device,
    seeds: Sequence[int] | None = None,
) -> dict[int, list[list[TokenHypothesis]]]:
    """Return the `config.n_best` hypotheses of each of `images` at each of the beam sizes; `steps` must be unused.

    All sizes are searched together, and a prefix that several of them need is computed once. The results equal those of
    separate searches.

    Args:
        sizes: beam sizes instead of the config's.
        eos_id: the end token, or several.
        seeds: one per image, if the config samples.

    Returns:
        Beam size -> one list per image, best first or as drawn; at most as many hypotheses as the beam size.
    """
    with torch.inference_mode():
        ends = EndTokens(eos_id)
        searches = {size: _search(images, size, ends, config, device, seeds) for size in sizes}
        run(steps, list(searches.values()), images, bos_id, config, device)
        return {size: each.results() for size, each in searches.items()}


def _search(
    images: int, size: int, ends: EndTokens, config: DecodingConfig, device: torch.device, seeds: Sequence[int] | None
) -> SearchRule:
    if config.sample:
        if seeds is None or len(seeds) != images:
            raise ValueError(f"seeds: {seeds if seeds is None else len(seeds)}, expected one per image")
        numbers = sampling.uniforms(seeds, config.n_best, config.max_length)
        return GreedySearch(images, config.n_best, ends, config, numbers)
    if size == 1:
        return GreedySearch(images, 1, ends, config, None)
    return BeamSearch(images, size, ends, config, device)
