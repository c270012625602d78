"""Load captioners by name: the folder of a trained captioner, or a plugin."""

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
    return protocols.plugin("captioners", name)


def is_plugin(name: str) -> bool:
    """Return whether `name` is a plugin: it looks like one, and no folder of that name exists."""
    return not Path(name).exists() and (":" in name or name in protocols.installed("captioners"))
