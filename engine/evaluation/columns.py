"""Columns of numbers that grow block by block and are read whole, on disk in between."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np


class Columns:
    """float64[N, C] by name and setting, such as the statistics of a metric at a beam size."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._widths: dict[str, int] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._widths

    def append(self, name: str, by_setting: Mapping[int, np.ndarray]) -> None:
        """Append the rows of a block float64[n, C] for every setting."""
        for setting, rows in by_setting.items():
            self._widths[name] = rows.shape[1]
            with open(self._file(name, setting), "ab") as handle:
                np.asarray(rows, dtype=np.float64).tofile(handle)

    def drop(self, name: str) -> None:
        """Forget a column, if there is one."""
        self._widths.pop(name, None)

    def read(self, name: str, setting: int) -> np.ndarray:
        """Return all rows of a column, float64[N, C]."""
        return np.fromfile(self._file(name, setting)).reshape(-1, self._widths[name])

    def _file(self, name: str, setting: int) -> Path:
        return self._folder / f"{name}-{setting}.f8"
