"""A list of cases as the Failures view shows it: run, beam size, order and filters.

In a module of its own, because Streamlit executes a view's file again for every interaction.
"""

from dataclasses import dataclass
from typing import Any

from dashboard.state.record import Run
from engine.store import queries


@dataclass(frozen=True)
class Listing:
    """The cases that are listed, and their order."""

    run: Run
    beam: int
    metrics: tuple[str, ...]  # that some case has a value of
    sort: str
    descending: bool
    selection: queries.Selection

    @property
    def arguments(self) -> tuple[Any, ...]:
        """Return the arguments that `queries.cases` and `queries.neighbours` share."""
        return self.run.name, self.beam, self.sort, self.descending, self.selection
