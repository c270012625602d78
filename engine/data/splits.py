"""Choose the split of a dataset: one that its files define, or one made by hashing the image ids."""

import hashlib
from dataclasses import replace
from pathlib import Path

from engine.data.checks import named_as_on_disk
from engine.data.dataset import Dataset, DatasetError
from engine.reading import some_of

HOLD_OUT = 100
"""Photos that are held out as `val` if a dataset has no splits."""


def choose_split(files: dict[str, Path], split: str, path: Path) -> str:
    """Return the split's full name: `split` itself, or the only name that begins with it (`val` -> `val2017`)."""
    if split in files:
        return split
    close = [name for name in files if name.startswith(split)]
    if len(close) != 1:
        raise DatasetError(
            f"{path}: there is no split {split!r}; it has {some_of(list(files))}; choose one with --split, or add "
            f"captions_{split}.json (training needs val)"
        )
    return close[0]


def listed_split(dataset: Dataset, lists: dict[str, set[str]], split: str | None) -> Dataset:
    """Return a split that is defined by lists of file names; None takes `val`, and `train+restval` takes both."""
    name = split or "val"
    if name == "all":
        return dataset
    parts = name.split("+")
    unknown = next((part for part in parts if part not in lists), None)
    if unknown is not None:
        raise DatasetError(f"{dataset.path}: there is no split {unknown!r}; it has {some_of(list(lists))} and all")
    chosen, wanted = replace(dataset, split=name), set().union(*(lists[part] for part in parts))
    return chosen.subset(example for example in dataset.examples if example.file_name in wanted)


def hashed_split(dataset: Dataset, split: str | None, hold_out: int) -> Dataset:
    """Return a split of the photos on disk, made by hashing the image ids so that a new photo moves few others."""
    if split in (None, "all"):
        return dataset
    if split not in ("train", "val"):
        raise DatasetError(
            f"{dataset.path}: there is no split {split!r}; without split files it has train, val and all"
        )
    here = named_as_on_disk(dataset).on_disk()
    count = len(here.examples)
    if count < 2:
        raise DatasetError(f"{dataset.path}: photos on disk: {count}; train and val need two, choose --split all")
    if not 0 < hold_out < count:
        raise DatasetError(
            f"--hold-out {hold_out}: expected 1 to {count - 1}, because {dataset.path} has {count} photos"
        )
    ranked = sorted(here.examples, key=lambda example: hashlib.sha256(example.image_id.encode()).digest())
    held = {example.image_id for example in ranked[:hold_out]}
    chosen = replace(here, split=split)
    return chosen.subset(example for example in here.examples if (example.image_id in held) == (split == "val"))
