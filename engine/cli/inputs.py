"""What the shared options name, loaded: the dataset, the metrics and the CLIP that scores."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.config import ConfigError

if TYPE_CHECKING:  # loading these takes seconds
    from engine.data.dataset import Dataset
    from engine.evaluation.clip_settings import ClipSettings


def dataset(options: argparse.Namespace, split: str | None = None) -> "Dataset":
    """Return the dataset of `--data`, `--format`, `--split` and `--hold-out`.

    Args:
        split: the split if `--split` is not given.

    Raises:
        DatasetError: it cannot be read.
    """
    from engine.data import registry

    return registry.load(options.data, options.format, options.split or split, options.hold_out)


def metrics(names: Sequence[str] | None, dataset: "Dataset") -> tuple[str, ...]:
    """Return the caption metrics of `--metrics`, in the order in which they are computed.

    Raises:
        MetricError: an unknown metric.
        PluginError: other people's metric that cannot be used.
        ConfigError: the dataset has no references for it.
    """
    from engine.metrics import registry

    if names is None:
        return registry.CAPTION_METRICS
    needing = [metric for metric in registry.named(names) if "references" in metric.needs]
    if needing and not any(example.references for example in dataset.examples):
        raise ConfigError(f"--metrics {needing[0].key}: {dataset.path} has no reference captions; leave --metrics out")
    known = [name for name in registry.available() if name in names]
    return (*known, *(name for name in dict.fromkeys(names) if name not in known))


def clip_settings(options: argparse.Namespace) -> "ClipSettings | None":
    """Return the CLIP of `--clip` with its prefix, or None without one: then neither torch nor a device is needed."""
    if options.clip is None:
        return None
    from engine.cli import device
    from engine.evaluation.clip_settings import ClipSettings
    from engine.models import clip

    return ClipSettings(clip.load(options.clip, device.prepare(options.device)), options.clip_prefix)


def command_line() -> str:
    """Return the command as it was typed, for the run's record."""
    return shlex.join(["python", "-m", "engine", *sys.argv[1:]])
