"""Load captioners by name: the folder of a trained captioner, or a plugin."""

import json
from pathlib import Path

from engine import protocols
from engine.protocols import Captioner, PluginError


def load(
    name: str,
    tokenizer: Path | None = None,
    fallback: Path | None = None,
    device: str = "cpu",
    precision: str = "float32",
) -> Captioner:
    """Load a captioner.

    Args:
        name: a folder made by `engine train` or by the study's code, an installed plugin, or `package.module:factory`.
        tokenizer: the tokenizer file, instead of the folder's own.
        fallback: the tokenizer file if the folder has none, such as the dataset's.
        device, precision: for our own captioners; plugins choose theirs.

    Raises:
        CheckpointError, TokenizerError: the folder is not a captioner.
        PluginError: the plugin cannot be loaded or used.
    """
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


def is_plugin(name: str) -> bool:
    """Return whether `name` is a plugin: it looks like one, and no folder of that name exists."""
    return not Path(name).exists() and (":" in name or name in protocols.installed("captioners"))
