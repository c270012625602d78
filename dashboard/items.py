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

    `draw` gives it in the light template, when it is asked for: an export nobody wants costs nothing.
    """

    name: str  # of its file, without an ending
    title: str
    draw: Callable[[], go.Figure]
    note: str = ""  # small print: the run, and how the numbers were computed
    signatures: tuple[str, ...] = ()  # of the numbers: small print too, but numbered footnotes in a report

    @property
    def small_print(self) -> str:
        """The small print with the signatures, for a figure that is exported alone."""
        return "\n".join(filter(None, [self.note, *self.signatures]))


@dataclass(frozen=True)
class Table:
    """A table that can be exported: as people read it, and its numbers as they are for CSV."""

    name: str
    title: str
    shown: pd.DataFrame
    values: pd.DataFrame | None = None
    note: str = ""
    signatures: tuple[str, ...] = ()
    heads: Mapping[str, str] = field(default_factory=dict)  # short names of columns, for LaTeX tables without room

    @property
    def small_print(self) -> str:
        """The small print with the signatures, for a table that is exported alone."""
        return "\n".join(filter(None, [self.note, *self.signatures]))
