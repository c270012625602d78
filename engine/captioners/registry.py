"""Captioners by name: a folder of a trained captioner, or other people's code."""

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
        fallback: the tokenizer file where the folder has none, such as the dataset's.
        device, precision: of our own captioners; others choose theirs.

    Raises:
        CheckpointError, TokenizerError: a folder that is not a captioner.
        PluginError: a plugin that cannot be loaded or used.
    """
    if not is_plugin(name):
        from engine.captioners.native.pipeline import NativeCaptioner  # torch and timm take seconds to load

        return NativeCaptioner.load(Path(name), tokenizer, fallback, device, precision)
    if tokenizer is not None:
        raise PluginError(f"--tokenizer {tokenizer}: the plugin {name!r} brings its own")
    return protocols.plugin("captioners", name)


def is_plugin(name: str) -> bool:
    """Return whether `name` is other people's code: no folder of that name exists, and it looks like a plugin."""
    return not Path(name).exists() and (":" in name or name in protocols.installed("captioners"))
