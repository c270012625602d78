"""Compute the agreement of metrics with human ratings of captions."""

from collections.abc import Sequence

import numpy as np

from engine.data.dataset import Dataset
from engine.data.split import Split
from engine.evaluation.scoring import IMPORTED, MetricSettings, keys_of
from engine.metrics.human_ratings import Agreement, Rating, RatingsError, agreement


def rated(ratings: Sequence[Rating], dataset: Dataset, wanted: MetricSettings) -> dict[str, Agreement]:
    """Return the agreement of each metric with human ratings; CLIP metrics use only captions whose photo exists.

    Raises:
        RatingsError: the dataset does not have a rated image, or has no references for it.
    """
    examples = {example.image_id: example for example in dataset.examples if example.references}
    unknown = next((each.image_id for each in ratings if each.image_id not in examples), None)
    if unknown is not None:
        raise RatingsError(
            f"the rated image {unknown!r} has no references in {dataset.path}; pass the dataset that contains these "
            "images as --data"
        )
    found = [examples[each.image_id] for each in ratings]
    photos = {each.image_id: path if (path := dataset.photo(each)).is_file() else None for each in found}
    split = Split(
        tuple(each.image_id for each in ratings),
        tuple(tuple(each.references) for each in found),
        tuple(photos[each.image_id] for each in ratings),
        fingerprint=dataset.fingerprint,
    )
    captions = {IMPORTED: [each.caption for each in ratings]}
    scores, _, _ = wanted.measure(captions, split)
    people = np.array([each.rating for each in ratings])
    return {name: agreement(scores[IMPORTED].per_image[name], people) for name in keys_of(scores)}
