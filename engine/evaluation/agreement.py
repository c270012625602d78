"""Compute the agreement of metrics with human ratings of captions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.data.dataset import Dataset, Example
from engine.data.image_names import ImageNames
from engine.data.split import Split
from engine.evaluation.scoring import IMPORTED, MetricSettings, keys_of
from engine.metrics.human_ratings import Agreement, Rating, RatingsError, agreement
from engine.reading import quoted


def rated_examples(ratings: Sequence[Rating], dataset: Dataset, source: Path) -> list[Example]:
    """Return the example of each rating.

    Args:
        source: the file of the ratings, for messages.

    Raises:
        RatingsError: the dataset does not have a rated image, or has no references for it.
    """
    names = ImageNames(dataset, source, RatingsError)
    examples = {example.image_id: example for example in dataset.examples}
    ids = {each: names.find(each) for each in dict.fromkeys(each.image for each in ratings)}
    bare = next((image for image, image_id in ids.items() if not examples[image_id].references), None)
    if bare is not None:
        raise RatingsError(
            f"the rated image {quoted(bare)} has no references in {dataset.path}; pass data that has them as --data"
        )
    return [examples[ids[each.image]] for each in ratings]


def rated(
    ratings: Sequence[Rating], examples: Sequence[Example], dataset: Dataset, wanted: MetricSettings
) -> dict[str | None, dict[str, Agreement]]:
    """Return the agreement of each metric with human ratings, by group; the key None is all ratings together.

    CLIP metrics use only captions whose photo exists.

    Raises:
        RatingsError: a group has fewer than two rated captions, or only equal ratings.
    """
    photos = {each: path if (path := dataset.photo(each)).is_file() else None for each in examples}
    split = Split(
        tuple(each.image_id for each in examples),
        tuple(each.references for each in examples),
        tuple(photos[each] for each in examples),
        fingerprint=dataset.fingerprint,
    )
    scores, _, _ = wanted.measure({IMPORTED: [each.caption for each in ratings]}, split)
    found = scores[IMPORTED].per_image
    people = np.array([each.rating for each in ratings])
    rows: dict[str | None, list[int]] = {None: list(range(len(ratings)))}
    for row, each in enumerate(ratings):
        if each.group is not None:
            rows.setdefault(each.group, []).append(row)
    return {
        group: {name: _agreement(group, found[name][some], people[some]) for name in keys_of(scores)}
        for group, some in rows.items()
    }


def _agreement(group: str | None, values: np.ndarray, people: np.ndarray) -> Agreement:
    try:
        return agreement(values, people)
    except RatingsError as error:
        if group is None:
            raise
        raise RatingsError(f"group {quoted(group)}: {error}") from error
