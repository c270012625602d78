"""The memory that decoding a photo with a transformers model takes, known before it is taken."""

from dataclasses import dataclass
from typing import Any

import torch

from engine.captioners.huggingface.handover import Batch
from engine.captioners.huggingface.steps import TransformersSteps


@dataclass(frozen=True)
class Sizes:
    """Sizes of a model and of what it keeps of one photo and its prompt."""

    tokens: int
    """Tokens of photo and prompt."""
    prompt: int
    """Bytes of their keys and values in all layers."""
    token: int
    """Bytes of the keys and values of one token of a caption."""
    layers: int
    width: int
    """Numbers per token in a layer: states and the inner layer of the feed-forward block."""
    heads: int
    vocabulary: int
    item: int
    """Bytes per number."""


def sizes_of(batch: Batch) -> Sizes:
    """Return the sizes for the photo of a batch, which is used up: its first step fills the cache."""
    steps = TransformersSteps(batch)
    with torch.inference_mode():
        steps.step(batch.ids[:, -1])
    own, crossed = _layers(steps.cache)
    filled = [*own, *crossed]  # none, if the model keeps something else than keys and values
    text = batch.model.config.get_text_config(decoder=True)
    inner = getattr(text, "intermediate_size", None) or 4 * text.hidden_size
    return Sizes(
        tokens=max([batch.ids.shape[1], *(each.keys.shape[2] for each in filled)]),
        prompt=sum(each.keys.nbytes + each.values.nbytes for each in filled),
        layers=max(len(own), 1),
        token=sum((each.keys.nbytes + each.values.nbytes) // each.keys.shape[2] for each in own),
        width=6 * text.hidden_size + 3 * inner,
        heads=text.num_attention_heads,
        vocabulary=text.vocab_size,
        item=batch.model.dtype.itemsize,
    )


def _layers(cache: Any) -> tuple[list[Any], list[Any]]:
    """Return the filled layers of self-attention and of cross-attention."""
    own = getattr(cache, "self_attention_cache", cache)
    crossed = getattr(cache, "cross_attention_cache", None)
    found = (list(each.layers) if each is not None else [] for each in (own, crossed))
    layers, cross = ([each for each in some if getattr(each, "keys", None) is not None] for some in found)
    return layers, cross


def bytes_per_image(sizes: Sizes, beams: int, steps: int, is_shared: bool) -> int:
    """Return the bytes of decoding one photo with `beams` prefixes of at most `steps` tokens.

    They are the keys and values of photo and prompt, once or per prefix; those of the prefixes, with a spare layer and
    half as much again for buffers that grow (see `decoding.prefix_tokens`); the states of the first pass; and per
    prefix attention over all tokens and the scores of the vocabulary: logits, log-probabilities and two copies.
    """
    copied = beams * (steps * sizes.token + (0 if is_shared else sizes.prompt)) * (sizes.layers + 1) // sizes.layers
    first = sizes.tokens * sizes.width * sizes.item
    scores = beams * (3 * 4 * sizes.heads * (sizes.tokens + steps) + (sizes.item + 3 * 4) * sizes.vocabulary)
    return sizes.prompt + copied * 3 // 2 + first + scores
