"""What `generate` hands to a decoding method: a batch that is ready for its first step.

`generate(custom_generate=...)` does everything that differs between families: it runs the encoder, makes the cache, the
prompt, positions and masks, collects the rules of the model's generation settings, and passes BLIP and BLIP-2 on to
their inner language model.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from engine.captioners.huggingface import settings
from engine.captioners.huggingface.errors import HuggingFaceError
from engine.captioners.huggingface.families import UNKNOWN
from engine.captioners.huggingface.loading import Loaded
from engine.config import DecodingConfig
from engine.reading import first_line, quoted

_RULES = frozenset(
    {
        *("RepetitionPenaltyLogitsProcessor", "NoRepeatNGramLogitsProcessor", "NoBadWordsLogitsProcessor"),
        *("MinLengthLogitsProcessor", "MinNewTokensLengthLogitsProcessor", "ForcedBOSTokenLogitsProcessor"),
        *("ForcedEOSTokenLogitsProcessor", "SuppressTokensLogitsProcessor", "SuppressTokensAtBeginLogitsProcessor"),
        *("SequenceBiasLogitsProcessor", "InfNanRemoveLogitsProcessor", "ExponentialDecayLengthPenalty"),
        "LogitNormalization",
    }
)
"""Rules of transformers that depend on a prefix alone, so that they hold for prefixes that searches share."""


CACHES = ("cache", "past_key_values")
"""Names of the key-value cache among a model's inputs, by version of transformers; the second is an alias."""


@dataclass(frozen=True)
class Batch:
    """A batch of B photos, ready for the first step."""

    model: Any
    """The model that computes logits."""
    ids: Tensor
    """int64[B, T]: the prompt of a decoder, or the start token."""
    inputs: dict[str, Any]
    """The model's inputs besides the ids; every search changes a copy."""
    rules: Sequence[Any]
    """The rules of the generation settings: functions of (ids, scores)."""
    end_ids: tuple[int, ...]
    pad_id: int

    def copied(self) -> "Batch":
        """Return the same unused batch with a cache of its own; what an encoder returned is not computed again."""
        caches = {name: copy.deepcopy(self.inputs[name]) for name in CACHES if name in self.inputs}
        return replace(self, inputs=self.inputs | caches)


def prompt_text(loaded: Loaded, prompt: str | None) -> str | None:
    """Return the text that goes to the processor with each photo, or None.

    Args:
        prompt: instead of the family's own prompt.

    Raises:
        HuggingFaceError: the model takes no prompt.
    """
    family = loaded.family
    if loaded.processor is None and prompt is not None:
        raise HuggingFaceError(f"hf:{loaded.name}: this model takes no prompt; remove --prompt")
    wanted = prompt if prompt is not None else family.prompt
    if has_template(loaded):
        return _applied(loaded, wanted)
    if family.is_chat and family is not UNKNOWN and prompt is None:
        raise HuggingFaceError(
            f"hf:{loaded.name}: the model has no chat template, so that its prompt is not known; copy "
            "chat_template.jinja into its folder, or pass the whole prompt, with the token of the image, as --prompt"
        )
    return wanted if prompt is not None or not family.is_chat else None


def _applied(loaded: Loaded, wanted: str | None) -> str:
    """Return a prompt within the chat template, which is a program of other people."""
    try:
        content = [{"type": "image"}, {"type": "text", "text": wanted}]
        message = [{"role": "user", "content": content}]
        return loaded.processor.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
    except Exception as error:
        raise HuggingFaceError(
            f"hf:{loaded.name}: the chat template fails ({type(error).__name__}: {quoted(first_line(error))}); copy "
            "chat_template.jinja again"
        ) from error


def has_template(loaded: Loaded) -> bool:
    """Return whether the prompt goes through a chat template of the processor."""
    return loaded.family.is_chat and bool(getattr(loaded.processor, "chat_template", None))


def model_inputs(loaded: Loaded, photos: Sequence[Image.Image], text: str | None) -> dict[str, Any]:
    """Return the inputs of the model for a batch of photos, on its device."""
    dtype, device = loaded.model.dtype, loaded.device
    return {
        name: value.to(device, dtype if value.is_floating_point() else value.dtype)
        if isinstance(value, Tensor)
        else value
        for name, value in processed(loaded, photos, text).items()
    }


def processed(loaded: Loaded, photos: Sequence[Any], text: str | None) -> dict[str, Any]:
    """Return what the processor makes of a batch of photos and the text."""
    if loaded.processor is None:
        return dict(loaded.image_processor(images=list(photos), return_tensors="pt"))
    given = [[photo] for photo in photos] if loaded.family.is_nested else list(photos)
    more = {} if text is None else {"text": [text] * len(photos), "padding": True}
    return dict(loaded.processor(images=given, return_tensors="pt", **more))


def open_batch(loaded: Loaded, inputs: dict[str, Any], config: DecodingConfig) -> Batch:
    """Run `generate` up to its first step.

    Raises:
        HuggingFaceError: the generation settings of the model have a rule that is not supported.
    """
    taken: list[Batch] = []

    def take(model, input_ids, logits_processor, stopping_criteria, generation_config, **kwargs):
        kwargs.pop("output_attentions", None)
        ends = generation_config._eos_token_tensor
        end_ids = () if ends is None else tuple(ends.flatten().tolist())
        pad = generation_config._pad_token_tensor
        pad_id = int(pad.flatten()[0]) if pad is not None else 0
        taken.append(Batch(model, input_ids, kwargs, list(logits_processor), end_ids, pad_id))
        return input_ids

    copied = {name: value.clone() if isinstance(value, Tensor) else value for name, value in inputs.items()}
    with torch.inference_mode():
        loaded.model.generate(
            **copied,
            custom_generate=take,
            max_new_tokens=config.max_length,
            **settings.REPLACED,
            **settings.rules(loaded.model.generation_config) | _constraints(config),
        )
    batch = taken[0]
    _check(loaded, batch)
    return batch


def _constraints(config: DecodingConfig) -> dict[str, Any]:
    """Return the constraints that were asked for; otherwise those of the model's generation settings hold."""
    found: dict[str, Any] = {}
    if config.repetition_penalty != 1.0:
        found["repetition_penalty"] = float(config.repetition_penalty)
    if config.no_repeat_ngram:
        found["no_repeat_ngram_size"] = config.no_repeat_ngram
    return found


def _check(loaded: Loaded, batch: Batch) -> None:
    names = [type(rule).__name__ for rule in batch.rules]
    unknown = next((name for name in names if name not in _RULES), None)
    if unknown is not None:
        raise HuggingFaceError(
            f"hf:{loaded.name}: generation_config.json asks for {unknown}, which is not supported; remove the setting"
        )
    if not batch.end_ids:
        raise HuggingFaceError(f"hf:{loaded.name}: no end token is known; add eos_token_id to generation_config.json")
