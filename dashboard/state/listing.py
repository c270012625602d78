"""A list of cases as the Failures view shows it: of which run and beam size, in which order, which of them.

Knows queries by what they are asked. A module of its own, because a view's file is run anew for every interaction.
"""

from dataclasses import dataclass
from typing import Any

from dashboard.state.record import Run
from engine.store import queries


@dataclass(frozen=True)
class Listing:
    """Which cases are listed, and in which order."""

    run: Run
    beam: int
    metrics: tuple[str, ...]  # those that some case has
    sort: str
    descending: bool
    selection: queries.Selection

    @property
    def arguments(self) -> tuple[Any, ...]:
        """The arguments that `queries.cases` and `queries.neighbours` share."""
        return self.run.name, self.beam, self.sort, self.descending, self.selection
