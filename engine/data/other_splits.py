"""The other splits of a dataset, read only when a check needs them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.data import registry
from engine.data.dataset import Dataset
from engine.data.splits import HOLD_OUT
from engine.protocols import PluginError

_NAMES = ("val", "test", "train", "restval")
_LARGE = 64 * 2**20
"""Bytes of annotation files that take about a second to read."""
_FOLDERS = ("", "annotations", "p2_data")
_SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".txt", ".token")


@dataclass(frozen=True)
class OtherSplits:
    """Where the other splits of a dataset are, and how they are read."""

    path: Path
    format: str
    own: str
    """The split that is in use."""
    hold_out: int = HOLD_OUT

    @classmethod
    def of(cls, dataset: Dataset, hold_out: int = HOLD_OUT) -> "OtherSplits":
        """Return the other splits of a dataset."""
        return cls(dataset.path, dataset.format, dataset.split, hold_out)

    @property
    def are_small(self) -> bool:
        """Whether the annotation files are so small that they can be read in passing."""
        if self.path.is_file():
            folders = [self.path.parent]
        else:
            folders = [folder for name in _FOLDERS if (folder := self.path / name).is_dir()]
        files = (file for folder in folders for file in folder.iterdir() if file.suffix.lower() in _SUFFIXES)
        return sum(file.stat().st_size for file in files) <= _LARGE

    def train(self) -> Dataset | None:
        """Return the training split; None if there is none, or if the split in use contains it."""
        return None if self.own == "all" or "train" in self.own else self._read("train")

    def others(self) -> Iterator[Dataset]:
        """Yield the other splits that exist."""
        for name in _NAMES if self.own != "all" else ():
            if not self.own.startswith(name) and (found := self._read(name)) is not None:
                yield found

    def _read(self, name: str) -> Dataset | None:
        try:
            found = registry.load(self.path, self.format, name, self.hold_out)
        except (ValueError, PluginError, OSError):
            return None
        return None if found.split == self.own else found
