"""Further columns of a list of images and captions, such as camera or city, as conditions of the images."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

MOST_VALUES = 20
"""Different texts up to which a column divides the images into groups; with more it is a text or a name."""

_LONGEST = 60
"""Characters of a name or value; longer ones are texts."""

Columns = Mapping[str, Sequence[Any]]
"""Column -> the values that it has for one image."""


def conditions(images: Sequence[Columns]) -> list[tuple[str, ...]]:
    """Return what the further columns state about each image, such as "camera: phone".

    A column of at most MOST_VALUES different values gives one condition per value. A column of more numbers gives two:
    the lowest and the highest fifth. Other columns give none, and neither do values that only one image has.
    """
    found: list[list[str]] = [[] for _ in images]
    for name in sorted({name for columns in images for name in columns if 0 < len(name) <= _LONGEST}):
        values = [list(filter(None, map(_text, columns.get(name, ())))) for columns in images]
        for own, stated in zip(found, _of_column(name, values), strict=True):
            own += stated
    return [tuple(each) for each in found]


def _of_column(name: str, values: Sequence[Sequence[str]]) -> Iterable[Sequence[str]]:
    """Return the conditions of each image by one column."""
    counts: dict[str, int] = {}
    for own in values:
        for value in set(own):
            counts[value] = counts.get(value, 0) + 1
    if len(counts) <= MOST_VALUES:
        shared = {value for value, count in counts.items() if count > 1 and len(value) <= _LONGEST}
        return [sorted({f"{name}: {value}" for value in own if value in shared}) for own in values]
    try:
        numbers = [[float(value) for value in own] for own in values]
    except ValueError:
        return [()] * len(values)
    return _of_numbers(name, np.array([np.mean(own) if own else np.nan for own in numbers]))


def _of_numbers(name: str, values: np.ndarray) -> list[tuple[str, ...]]:
    known = values[np.isfinite(values)]
    if not len(known):
        return [()] * len(values)
    low, high = np.quantile(known, [0.2, 0.8])
    below, above = (f"{name} at most {low:.4g}",), (f"{name} at least {high:.4g}",)
    return [below if value <= low else above if value >= high else () for value in values]


def _text(value: Any) -> str:
    """Return a value as text, "" if it is a list, an object or missing."""
    return " ".join(str(value).split()) if isinstance(value, str | int | float) else ""
