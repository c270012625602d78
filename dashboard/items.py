"""What can be exported: a figure or a table with its title and its small print.

Knows no file format (`report.exports` writes files) and no run.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pandas as pd
import plotly.graph_objects as go


@dataclass(frozen=True)
class Figure:
    """A figure that can be exported.

    `draw` makes it in the light template only when a file is needed, so that an unused export costs nothing.
    """

    name: str  # of its file, without extension
    title: str
    draw: Callable[[], go.Figure]
    note: str = ""  # small print: the run, and how the numbers were computed
    signatures: tuple[str, ...] = ()  # of the numbers; numbered footnotes in a report

    @property
    def small_print(self) -> str:
        """Return the small print with the signatures, for a figure that is exported by itself."""
        return "\n".join(filter(None, [self.note, *self.signatures]))


@dataclass(frozen=True)
class Table:
    """A table that can be exported: formatted for reading, and with full numbers for CSV."""

    name: str
    title: str
    shown: pd.DataFrame
    values: pd.DataFrame | None = None
    note: str = ""
    signatures: tuple[str, ...] = ()
    heads: Mapping[str, str] = field(default_factory=dict)  # short column names for narrow LaTeX tables

    @property
    def small_print(self) -> str:
        """Return the small print with the signatures, for a table that is exported by itself."""
        return "\n".join(filter(None, [self.note, *self.signatures]))
