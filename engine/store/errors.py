"""What can be wrong with a results folder."""

from dataclasses import dataclass
from pathlib import Path


class ResultsError(ValueError):
    """Something in a results folder cannot be used; the message names it and says what to do."""


@dataclass(frozen=True)
class Problem:
    """A file or folder that was left out, and why, in one sentence."""

    path: Path
    reason: str
