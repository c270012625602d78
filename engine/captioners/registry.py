"""Load captioners by name: the folder of a trained captioner, a model of Hugging Face, or a plugin."""

import json
from collections.abc import Mapping
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
    model: str | None = None,
    cache: Path = Path(".cache"),
    device_map: str | None = None,
) -> Captioner:
    """Load a captioner.

    Args:
        name: a folder made by `engine train` or by the study's code; `hf:` and a model of Hugging Face; `openai:` and a
            URL; an installed plugin, or `package.module:factory`.
        tokenizer: the tokenizer file, instead of the folder's own.
        fallback: the tokenizer file if the folder has none, such as the dataset's.
        device, precision: for our own captioners and Hugging Face's; plugins choose theirs.
        prompt: the text that a model of Hugging Face continues, or an endpoint is asked, instead of the usual one.
        model: the model of an endpoint.
        cache: folder in which the answers of an endpoint are kept.
        device_map: `auto` spreads a model of Hugging Face over all devices.

    Raises:
        CheckpointError, TokenizerError, HuggingFaceError: the folder or name is not a captioner.
        PluginError: the plugin cannot be loaded or used.
    """
    _check_options(name, tokenizer, prompt, model)
    if device_map is not None and not is_hugging_face(name):
        raise PluginError(f"--device-map {device_map}: only models of Hugging Face are spread; remove --device-map")
    # torch, timm and transformers take seconds to load.
    if is_endpoint(name):
        from engine.captioners.endpoint import EndpointCaptioner

        return EndpointCaptioner(name, model, prompt, cache / "endpoints")
    if is_hugging_face(name):
        from engine.captioners.huggingface import explainer

        return explainer.load(name, device, precision, prompt, device_map)
    if is_plugin(name):
        return _plugin(name)
    from engine.captioners.native.pipeline import NativeCaptioner

    return NativeCaptioner.load(Path(name), tokenizer, fallback, device, precision)


def _check_options(name: str, tokenizer: Path | None, prompt: str | None, model: str | None) -> None:
    """Raise `PluginError` for an option that a captioner of this kind does not have."""
    is_other = is_endpoint(name) or is_hugging_face(name)
    if tokenizer is not None and (is_other or is_plugin(name)):
        raise PluginError(f"--tokenizer {tokenizer}: {name} has its own tokenizer; remove --tokenizer")
    if prompt is not None and not is_other:
        raise PluginError(
            f"--prompt {quoted(prompt)}: only models of Hugging Face and endpoints take one; remove --prompt"
        )
    if model is not None and not is_endpoint(name):
        raise PluginError(f"--model {quoted(model)}: only endpoints (openai:URL) have models; remove --model")


def _plugin(name: str) -> Captioner:
    captioner = protocols.plugin("captioners", name)
    for part in ("name", "fingerprint"):
        if not isinstance(getattr(captioner, part), str):
            raise PluginError(f"captioner {name!r}: {part} is {getattr(captioner, part)!r}, expected text")
    try:
        json.dumps(dict(captioner.metadata))
    except (TypeError, ValueError) as error:
        raise PluginError(f"captioner {name!r}: metadata is {captioner.metadata!r}, expected JSON values") from error
    return captioner


def is_endpoint(name: str) -> bool:
    """Return whether `name` is an endpoint of the OpenAI chat API."""
    return name.startswith("openai:")


def is_hugging_face(name: str) -> bool:
    """Return whether `name` is a model of Hugging Face."""
    return name.startswith("hf:")


def decoding_defaults(name: str) -> dict[str, Any]:
    """Return the search settings that a captioner brings, as fields of `DecodingConfig`.

    Raises:
        HuggingFaceError: the model is missing, or asks for a search that is not supported.
    """
    if is_endpoint(name):
        from engine.captioners import endpoint

        return endpoint.defaults()
    if not is_hugging_face(name):
        return {}
    from engine.captioners.huggingface import settings

    return settings.decoding_defaults(name)


def check_search(name: str, settings: Mapping[str, Any]) -> None:
    """Check the search settings that were given for a captioner: field of `DecodingConfig` -> value.

    Raises:
        EndpointError: an endpoint does not have one of them.
    """
    if is_endpoint(name):
        from engine.captioners import endpoint

        endpoint.check_search(name, settings)


def is_plugin(name: str) -> bool:
    """Return whether `name` is a plugin: it looks like one, and no folder of that name exists."""
    if is_endpoint(name) or is_hugging_face(name):
        return False
    return not Path(name).exists() and (":" in name or name in protocols.installed("captioners"))
