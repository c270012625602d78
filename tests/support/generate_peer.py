"""Captions by transformers' own `generate()`: the reference of every search over its models."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from engine.captioners.huggingface import handover
from engine.captioners.huggingface.pipeline import HuggingFaceCaptioner
from engine.config import DecodingConfig

Found = list[list[tuple[tuple[int, ...], float]]]
"""Tokens and score of the hypotheses of each photo, best first."""


def photos() -> list[Image.Image]:
    """Return three photos of different shapes."""
    generator = np.random.default_rng(0)
    sizes = [(60, 40), (40, 60), (48, 48)]
    noise = [generator.integers(0, 255, (5, 5, 3), dtype=np.uint8) for _ in sizes]
    return [Image.fromarray(each).resize(size) for each, size in zip(noise, sizes, strict=True)]


def opened(captioner: HuggingFaceCaptioner, config: DecodingConfig) -> handover.Batch:
    """Return `photos`, ready for their first step."""
    loaded = captioner._loaded
    return handover.open_batch(loaded, handover.model_inputs(loaded, photos(), captioner._prompt), config)


def generated(captioner: HuggingFaceCaptioner, beams: int, config: DecodingConfig, **settings: Any) -> Found:
    """Return the hypotheses of `photos` at a beam size by `generate()`.

    Args:
        config: maximum length, length penalty, early stopping and the number of hypotheses.
        settings: further settings of `generate()`; otherwise those of the model hold.
    """
    loaded = captioner._loaded
    inputs = handover.model_inputs(loaded, photos(), captioner._prompt)
    batch = opened(captioner, config)
    count = min(config.n_best, beams)
    with torch.no_grad():
        found = loaded.model.generate(
            **inputs,
            max_new_tokens=config.max_length,
            do_sample=False,
            num_beams=beams,
            num_return_sequences=count,
            length_penalty=config.length_penalty,
            early_stopping=config.early_stopping,
            return_dict_in_generate=True,
            output_scores=True,
            **settings,
        )
    ids = batch.ids.repeat_interleave(count, 0)
    prompt = ids.shape[1]
    # Some models return the prompt in front of the caption.
    lead = prompt if torch.equal(found.sequences[:, :prompt], ids) else 0
    rows = [_cut(row, batch.end_ids, config.max_length) for row in found.sequences[:, lead:].tolist()]
    scores = found.sequences_scores.tolist() if beams > 1 else _greedy_scores(found.scores, rows, config)
    pairs = list(zip(rows, scores, strict=True))
    # Where a beam has fewer candidates, generate() fills the list with scores of -1e9.
    return [[pair for pair in pairs[at : at + count] if pair[1] > -1e8] for at in range(0, len(pairs), count)]


def searched(captioner: HuggingFaceCaptioner, config: DecodingConfig) -> dict[int, Found]:
    """Return the hypotheses of `photos` by our search, beam size -> photo -> (tokens, score)."""
    read = [captioner.read(photo) for photo in photos()]
    found = captioner.caption(read, [str(number) for number in range(len(read))], config)
    return {size: [[(each.tokens, each.score) for each in image] for image in every] for size, every in found.items()}


def assert_equal(found: Found, expected: Found, where: object) -> None:
    """Fail unless tokens are equal and scores are, to the rounding of float32."""
    assert [[each[0] for each in image] for image in found] == [[each[0] for each in image] for image in expected], (
        where
    )
    for own, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(
            [each[1] for each in own], [each[1] for each in other], atol=2e-5, err_msg=f"{where}"
        )


def set_ends(captioner: HuggingFaceCaptioner, ends: Sequence[int]) -> None:
    """Let captions end at other tokens, wherever the family keeps them."""
    model, ids = captioner._loaded.model, list(ends)
    model.generation_config.eos_token_id = ids
    if model.config.model_type == "blip":
        (model.config.text_config.sep_token_id,) = ids
    if model.config.model_type == "blip-2":
        model.language_model.generation_config.eos_token_id = ids


def choose_ends(captioner: HuggingFaceCaptioner, longest: int, count: int) -> None:
    """Let captions of up to `longest` tokens end early and late, at `count` of the tokens that they have."""
    # Florence-2's forced end token would end nothing any more.
    captioner._loaded.model.generation_config.forced_eos_token_id = None
    set_ends(captioner, [10**6])  # none, to see what the model produces
    tokens = list(dict.fromkeys(token for image in _best(captioner, longest) for token in image))
    for start in range(len(tokens) - count + 1):
        set_ends(captioner, tokens[start : start + count])
        lengths = {len(each) for each in _best(captioner, longest)}
        if len(lengths) > 1 and min(lengths) < longest:
            return
    raise AssertionError(f"{captioner.name}: no {count} of the tokens {tokens} end captions at different lengths")


def _best(captioner: HuggingFaceCaptioner, longest: int) -> list[tuple[int, ...]]:
    found = searched(captioner, DecodingConfig(beam_sizes=(1, 5), max_length=longest))
    return [image[0][0] for size in (5, 1) for image in found[size]]


def _cut(tokens: list[int], ends: Sequence[int], longest: int) -> tuple[int, ...]:
    end = next((at for at, token in enumerate(tokens) if token in ends), longest - 1)
    return tuple(tokens[: end + 1])


def _greedy_scores(steps: Sequence[torch.Tensor], rows: list[tuple[int, ...]], config: DecodingConfig) -> list[float]:
    logprobs = [each.log_softmax(-1) for each in steps]
    sums = [sum(float(logprobs[at][row, token]) for at, token in enumerate(tokens)) for row, tokens in enumerate(rows)]
    return [total / len(tokens) ** config.length_penalty for total, tokens in zip(sums, rows, strict=True)]
