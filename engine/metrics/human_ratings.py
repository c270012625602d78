"""Rank correlation (Kendall's tau) of a metric with human ratings of captions.

Ratings are read from JSON lines, one object with image, caption and human_mean per line; metric values are passed as an
array.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.reading import parse_json, quoted, read_text


class RatingsError(ValueError):
    """A ratings file that cannot be used; the message names the file and the line."""


@dataclass(frozen=True)
class Rating:
    """The mean human rating of one caption of one image."""

    image_id: str
    """The file name without extension."""
    caption: str
    rating: float


@dataclass(frozen=True)
class Agreement:
    """Rank correlation of a metric with human ratings over `pairs` rated captions."""

    tau_b: float
    """NaN if the metric has the same value for all captions."""
    tau_c: float
    """Stuart's tau-c, which the literature reports (times 100) for ratings with few levels."""
    pairs: int


def read(path: Path) -> list[Rating]:
    """Read a ratings file.

    Raises:
        RatingsError: the file does not exist or is empty, or a line is not such an object.
    """
    if not path.is_file():
        raise RatingsError(f"{path}: there is no such file; expected JSON lines of image, caption and human_mean")
    lines = read_text(path, RatingsError).split("\n")
    found = [_rating(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise RatingsError(f"{path}: contains no ratings")
    return found


def _rating(path: Path, number: int, line: str) -> Rating:
    entry = parse_json(line, f"{path}: line {number}", RatingsError)
    try:
        found = Rating(Path(str(entry["image"])).stem, str(entry["caption"]), float(entry["human_mean"]))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise RatingsError(
            f"{path}: line {number} is {quoted(line)}, expected an object with image, caption and human_mean"
        ) from error
    if not math.isfinite(found.rating):
        raise RatingsError(f"{path}: line {number} has the human_mean {found.rating}, expected a number")
    return found


def agreement(values: np.ndarray, ratings: np.ndarray) -> Agreement:
    """Return the rank correlation of a metric's values float[N] with human ratings float[N]; NaN values are left out.

    Raises:
        RatingsError: fewer than two captions have a value, or all of those have the same rating.
    """
    from scipy.stats import kendalltau  # takes a second to import, and only `correlate` needs it

    known = np.isfinite(values)
    if known.sum() < 2:
        raise RatingsError(f"{int(known.sum())} rated captions have a value, expected at least two")
    pair = values[known], ratings[known]
    if (pair[1] == pair[1][0]).all():
        raise RatingsError(
            f"all {len(pair[1]):,} rated captions have the human_mean {pair[1][0]:g}; expected different ratings"
        )
    tau_b, tau_c = (float(kendalltau(*pair, variant=variant).statistic) for variant in "bc")
    return Agreement(tau_b, tau_c, int(known.sum()))
