"""What the shared options name, loaded: the dataset, the metrics and the CLIP that scores."""

import argparse
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from engine.config import ConfigError

if TYPE_CHECKING:  # loading these takes seconds
    from engine.data.dataset import Dataset
    from engine.data.other_splits import OtherSplits
    from engine.diagnosis.alarm import Alarm
    from engine.evaluation.clip_settings import ClipSettings

T = TypeVar("T")

_OTHER_SPLITS = ("test", "train", "restval", "all")


def dataset(options: argparse.Namespace, split: str | None = None) -> "Dataset":
    """Return the dataset of `--data`, `--format`, `--split` and `--hold-out`; some of its photos exist.

    Args:
        split: the split if `--split` is not given.

    Raises:
        DatasetError: it cannot be read.
    """
    from engine.data import placement, registry

    found = registry.load(options.data, options.format, options.split or split, options.hold_out)
    placement.check_photos(found)
    print_remarks(found)
    return found


def dataset_for(options: argparse.Namespace, fit: "Callable[[Dataset], T]", source: Path) -> "tuple[Dataset, T]":
    """Return the dataset that a file of captions was made for, and what `fit` returns for it; it needs no photos.

    Without `--split` this is the default split, else the first split that has the images of the file.

    Args:
        fit: matches the file with a dataset; raises ValueError if the images differ.
        source: the file, for the message that names the split.

    Raises:
        DatasetError, ValueError: of the default split, if no split fits.
    """
    from engine.data import registry

    try:
        found = registry.load(options.data, options.format, options.split, options.hold_out)
        fitted = fit(found)
    except ValueError as error:
        other = next(_fitting(options, fit), None)
        if other is None:
            raise
        if options.split is not None:
            raise type(error)(
                f"{error}; split {other[0].split!r} has the images of {source}: choose it with --split"
            ) from error
        found, fitted = other
        print(f"split {found.split}: it has the images of {source}")
    print_remarks(found)
    return found, fitted


def _fitting(options: argparse.Namespace, fit: "Callable[[Dataset], T]") -> "Iterator[tuple[Dataset, T]]":
    """Yield the splits other than that of `--split` that have the images of a file, and what `fit` returns for them."""
    from engine.data import registry

    for name in _OTHER_SPLITS if options.split is None else ("val", *_OTHER_SPLITS[:-1]):
        with suppress(ValueError):
            found = registry.load(options.data, options.format, name, options.hold_out)
            yield found, fit(found)


def other_splits(options: argparse.Namespace, dataset: "Dataset") -> "OtherSplits":
    """Return the other splits of the dataset of `--data`."""
    from engine.data.other_splits import OtherSplits

    return OtherSplits(dataset.path, options.format or dataset.format, dataset.split, options.hold_out)


def only(dataset: "Dataset", named: Sequence[str] | None) -> "Dataset":
    """Return the dataset with the images of --only, or all if the option is not given.

    Raises:
        ConfigError: a file of ids cannot be read or is empty.
        DatasetError: an image is not in the split.
    """
    if not named:
        return dataset
    ids = [each for text in named for each in (_ids_of(Path(text[1:])) if text.startswith("@") else [text])]
    return dataset.chosen(ids)


def _ids_of(file: Path) -> list[str]:
    """Return the ids of a file, one per line."""
    from engine.reading import read_text

    ids = [line.strip() for line in read_text(file, ConfigError).split("\n") if line.strip()]
    if not ids:
        raise ConfigError(f"--only @{file}: the file is empty, expected one image id per line")
    return ids


def print_remarks(dataset: "Dataset") -> None:
    """Print what the reader of a dataset left out."""
    for remark in dataset.remarks:
        print(f"{dataset.path}: {remark}", file=sys.stderr)


def metrics(names: Sequence[str] | None, dataset: "Dataset") -> tuple[str, ...]:
    """Return the caption metrics of `--metrics`, in the order in which they are computed.

    Raises:
        MetricError: an unknown metric.
        PluginError: other people's metric that cannot be used.
        ConfigError: the dataset has no references for it.
    """
    from engine.metrics import registry

    if names is None:
        labels = {box.label for example in dataset.examples for box in (*example.objects, *example.crowds)}
        return registry.by_default(labels)
    needing = [metric for metric in registry.named(names) if "references" in metric.needs]
    if needing and not any(example.references for example in dataset.examples):
        raise ConfigError(f"--metrics {needing[0].key}: {dataset.path} has no reference captions; leave --metrics out")
    known = [name for name in registry.available() if name in names]
    return (*known, *(name for name in dict.fromkeys(names) if name not in known))


def clip_settings(options: argparse.Namespace, dataset: "Dataset") -> "ClipSettings | None":
    """Return the CLIP of `--clip` with its prefix, or None without one: then neither torch nor a device is needed.

    Raises:
        ConfigError: CLIP is given and the dataset has no photo.
    """
    if options.clip is None:
        return None
    if not any(dataset.photo(example).is_file() for example in dataset.examples):
        raise ConfigError(
            f"--clip {options.clip}: CLIPScore needs photos, and none is in {dataset.root}; add them there"
        )
    from engine.evaluation.clip_settings import ClipSettings
    from engine.models import clip, device

    return ClipSettings(clip.load(options.clip, device.prepare(options.device)), options.clip_prefix)


def command_line() -> str:
    """Return the command as it was typed, for the run's record."""
    return shlex.join(["python", "-m", "engine", *sys.argv[1:]])


def alarms(name: str | None, results: Path) -> "dict[str, Alarm]":
    """Return the alarms of `--alarm`: kind of claim -> alarm of a run, or of the demo; {} without the option.

    Raises:
        ConfigError: the run does not exist, is not finished or has no alarm.
    """
    if name is None:
        return {}
    from engine.diagnosis import alarm
    from engine.reading import read_object
    from engine.store import records

    if name == "demo":
        found = read_object(_DEMO_ALARM, ConfigError)
    else:
        record = records.read_record(records.run_folder(results, name))
        found = {} if record is None else record.get("alarm")
    if not isinstance(found, dict) or not found:
        raise ConfigError(f"--alarm {name}: expected a finished run in {results} with an alarm, or demo")
    smallest = found[min(found, key=int)]  # of greedy search, if it has one
    try:
        return {kind: alarm.from_json(own) for kind, own in smallest.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise ConfigError(f"--alarm {name}: its alarm is damaged ({error}); run its command again") from error


_DEMO_ALARM = Path(__file__).parents[1] / "demo" / "alarm.json"
"""The alarm of the demo's captioner on 2,000 generated scenes, greedy search."""
