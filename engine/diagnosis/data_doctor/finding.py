"""Finding: one defect of the data, with its remedy."""

from dataclasses import asdict, dataclass
from typing import Any

ORDER = (
    "list_as_text",
    "other_split",
    "shifted_ids",
    "one_caption",
    "markdown",
    "prompt_echo",
    "language",
    "length",
    "clip_cut",
    "training_images",
    "duplicates",
    "missing_photos",
    "cider_zero",
)
"""Keys of findings; what changes the most scores comes first."""

_LONGEST = 80


@dataclass(frozen=True)
class Finding:
    """One defect: what is wrong and how often, and what to do about it."""

    key: str
    """One of ORDER."""
    title: str
    """A sentence without a full stop, with the numbers and an example."""
    remedy: str
    """A sentence without a full stop that says what to do."""
    image_ids: tuple[str, ...] = ()
    """A few images that show it."""

    def as_json(self) -> dict[str, Any]:
        """Return the finding as a JSON object."""
        return {**asdict(self), "image_ids": list(self.image_ids)}


def ordered(findings: list[Finding]) -> list[Finding]:
    """Return the findings, the most important first."""
    return sorted(findings, key=lambda each: ORDER.index(each.key))


def quote(text: str) -> str:
    """Return a text in quotation marks, shortened."""
    return f'"{text}"' if len(text) <= _LONGEST else f'"{text[:_LONGEST].rstrip()} ..."'


def some(ids: list[str]) -> tuple[str, ...]:
    """Return the first few of `ids`."""
    return tuple(ids[:3])
