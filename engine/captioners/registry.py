"""Load captioners by name: the folder of a trained captioner, a model of Hugging Face, or a plugin."""

import json
from pathlib import Path
from typing import Any

from engine import protocols
from engine.protocols import Captioner, PluginError
from engine.reading import quoted


def load(
    name: str,
    tokenizer: Path | None = None,
    fallback: Path | None = None,
    device: str = "cpu",
    precision: str = "float32",
    prompt: str | None = None,
) -> Captioner:
    """Load a captioner.

    Args:
        name: a folder made by `engine train` or by the study's code; `hf:` and a model of Hugging Face; an installed
            plugin, or `package.module:factory`.
        tokenizer: the tokenizer file, instead of the folder's own.
        fallback: the tokenizer file if the folder has none, such as the dataset's.
        device, precision: for our own captioners and Hugging Face's; plugins choose theirs.
        prompt: the text that a model of Hugging Face continues, instead of its family's.

    Raises:
        CheckpointError, TokenizerError, HuggingFaceError: the folder or name is not a captioner.
        PluginError: the plugin cannot be loaded or used.
    """
    if is_hugging_face(name):
        from engine.captioners.huggingface import explainer  # transformers takes seconds to load

        if tokenizer is not None:
            raise PluginError(f"--tokenizer {tokenizer}: {name} has its own tokenizer; remove --tokenizer")
        return explainer.load(name, device, precision, prompt)
    if prompt is not None:
        raise PluginError(f"--prompt {quoted(prompt)}: only models of Hugging Face take a prompt; remove --prompt")
    if not is_plugin(name):
        from engine.captioners.native.pipeline import NativeCaptioner  # torch and timm take seconds to load

        return NativeCaptioner.load(Path(name), tokenizer, fallback, device, precision)
    if tokenizer is not None:
        raise PluginError(f"--tokenizer {tokenizer}: the plugin {name!r} has its own tokenizer; remove --tokenizer")
    captioner = protocols.plugin("captioners", name)
    for part in ("name", "fingerprint"):
        if not isinstance(getattr(captioner, part), str):
            raise PluginError(f"captioner {name!r}: {part} is {getattr(captioner, part)!r}, expected text")
    try:
        json.dumps(dict(captioner.metadata))
    except (TypeError, ValueError) as error:
        raise PluginError(f"captioner {name!r}: metadata is {captioner.metadata!r}, expected JSON values") from error
    return captioner


def is_hugging_face(name: str) -> bool:
    """Return whether `name` is a model of Hugging Face."""
    return name.startswith("hf:")


def decoding_defaults(name: str) -> dict[str, Any]:
    """Return the search settings that a captioner brings, as fields of `DecodingConfig`.

    Raises:
        HuggingFaceError: the model is missing, or asks for a search that is not supported.
    """
    if not is_hugging_face(name):
        return {}
    from engine.captioners.huggingface import settings

    return settings.decoding_defaults(name)


def is_plugin(name: str) -> bool:
    """Return whether `name` is a plugin: it looks like one, and no folder of that name exists."""
    return not Path(name).exists() and (":" in name or name in protocols.installed("captioners"))
