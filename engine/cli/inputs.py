"""What the shared options name, loaded: the dataset, the metrics and the CLIP that scores."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.config import ConfigError

if TYPE_CHECKING:  # loading these takes seconds
    from engine.data.registry import Dataset
    from engine.evaluation.scoring import ClipSettings


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
        ConfigError: an unknown metric, or the dataset has no references for it.
    """
    from engine.metrics import base

    if names is None:
        return base.CAPTION_METRICS
    known = (*base.CAPTION_METRICS, *base.ON_REQUEST)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(f"--metrics {unknown[0]}: expected some of {', '.join(known)}")
    if not any(example.references for example in dataset.examples):
        raise ConfigError(f"--metrics {names[0]}: {dataset.path} has no reference captions; leave --metrics out")
    return tuple(name for name in known if name in names)


def clip_settings(options: argparse.Namespace) -> "ClipSettings | None":
    """Return the CLIP of `--clip` with its prefix, or None without one: then neither torch nor a device is needed."""
    if options.clip is None:
        return None
    from engine.cli import device
    from engine.evaluation import scoring
    from engine.models import clip

    return scoring.ClipSettings(clip.load(options.clip, device.prepare(options.device)), options.clip_prefix)


def command_line() -> str:
    """Return the command as it was typed, for the run's record."""
    return shlex.join(["python", "-m", "engine", *sys.argv[1:]])
