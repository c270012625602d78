"""Views of a photo."""

import numpy as np
import pytest

from engine.explain.views import VIEWS, seen, unmirrored, views_of


def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)


def test_every_view_has_the_size_of_the_photo():
    assert all(seen(photo(), view).shape == photo().shape for view in VIEWS)
    assert len({seen(photo(), view).tobytes() for view in VIEWS}) == len(VIEWS)


def test_a_mirrored_view_mirrored_again_is_the_photo():
    mirrored = VIEWS[0]
    assert (seen(seen(photo(), mirrored), mirrored) == photo()).all()
    assert (seen(photo(), VIEWS[-1]) == photo()).all()


def test_captions_of_mirrored_views_exchange_left_and_right():
    assert unmirrored(["to", "the", "left", "of", "a", "right", "turn"]) == [
        "to",
        "the",
        "right",
        "of",
        "a",
        "left",
        "turn",
    ]


@pytest.mark.parametrize(("samples", "views"), [(0, 0), (1, 1), (5, 1), (10, 2), (12, 2), (40, 8), (100, 8)])
def test_samples_are_divided_among_views(samples, views):
    found = views_of(samples)
    assert len(found) == views
    assert sum(count for _, count in found) == samples
