"""Correlation of a metric with human ratings of captions: Kendall's tau, Spearman's rho and Pearson's r.

Ratings are read from JSON lines, one object with image, caption and human_mean per line; metric values are passed as an
array.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from engine.reading import parse_json, quoted, read_text


class RatingsError(ValueError):
    """A ratings file that cannot be used; the message names the file and the line."""


@dataclass(frozen=True)
class Rating:
    """The mean human rating of one caption of one image."""

    image: str
    """The image's file name or id, as in the file."""
    caption: str
    rating: float
    group: str | None = None
    """What the caption is grouped by, if a column was chosen."""


@dataclass(frozen=True)
class Agreement:
    """Correlation of a metric with human ratings over `pairs` rated captions; NaN if all have the same value."""

    tau_b: float
    tau_c: float
    """Stuart's tau-c, which the literature reports (times 100) for ratings with few levels."""
    rho: float
    """Spearman's rank correlation."""
    r: float
    """Pearson's correlation."""
    pairs: int


def read(path: Path, group: str | None = None) -> list[Rating]:
    """Read a ratings file.

    Args:
        group: the key of each object whose value groups the captions, if any.

    Raises:
        RatingsError: the file does not exist or is empty, or a line is not such an object.
    """
    if not path.is_file():
        raise RatingsError(f"{path}: there is no such file; expected JSON lines of image, caption and human_mean")
    lines = read_text(path, RatingsError).split("\n")
    found = [_rating(path, number, line, group) for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise RatingsError(f"{path}: contains no ratings")
    return found


def _rating(path: Path, number: int, line: str, group: str | None) -> Rating:
    entry = parse_json(line, f"{path}: line {number}", RatingsError)
    try:
        found = Rating(str(entry["image"]).strip(), str(entry["caption"]), float(entry["human_mean"]))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise RatingsError(
            f"{path}: line {number} is {quoted(line)}, expected an object with image, caption and human_mean"
        ) from error
    if not math.isfinite(found.rating):
        raise RatingsError(f"{path}: line {number} has the human_mean {found.rating}, expected a number")
    if group is None:
        return found
    if not isinstance(entry.get(group), str | int | float):
        keys = ", ".join(map(quoted, list(entry)[:8]))
        raise RatingsError(f"{path}: line {number} has no {quoted(group)} to group by; it has {keys}")
    return replace(found, group=str(entry[group]))


def agreement(values: np.ndarray, ratings: np.ndarray) -> Agreement:
    """Return the correlation of a metric's values float[N] with human ratings float[N]; NaN values are left out.

    Raises:
        RatingsError: fewer than two captions have a value, or all of those have the same rating.
    """
    from scipy import stats  # takes a second to import, and only `correlate` needs it

    known = np.isfinite(values)
    if known.sum() < 2:
        raise RatingsError(f"{int(known.sum())} rated captions have a value, expected at least two")
    pair = values[known], ratings[known]
    if (pair[1] == pair[1][0]).all():
        raise RatingsError(
            f"all {len(pair[1]):,} rated captions have the human_mean {pair[1][0]:g}; expected different ratings"
        )
    if (pair[0] == pair[0][0]).all():
        return Agreement(*(math.nan,) * 4, int(known.sum()))
    tau_b, tau_c = (float(stats.kendalltau(*pair, variant=variant).statistic) for variant in "bc")
    rho, r = float(stats.spearmanr(*pair).statistic), float(stats.pearsonr(*pair).statistic)
    return Agreement(tau_b, tau_c, rho, r, int(known.sum()))
