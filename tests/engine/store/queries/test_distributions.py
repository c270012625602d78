"""Ranges, histograms, scatter plots and quadrants."""

import numpy as np

from engine.store import queries
from engine.store.queries import Selection
from tests.engine.store.queries.stored_values import scored, values_of


def test_histograms_count_every_case_once_between_the_ends_of_its_metric(cursor):
    ranges = queries.metric_ranges(cursor, "demo", 1)
    edges = tuple((row.metric, row.low, row.high) for row in ranges.itertuples())
    found = queries.histograms(cursor, "demo", 1, edges, bins=6)
    assert found.groupby("metric").cases.sum().eq(12).all()
    values = np.array(list(scored(cursor, "cider").values()))
    expected, _ = np.histogram(values, 6, (values.min(), values.max()))
    mine = found[found.metric == "cider"].set_index("bin").cases
    assert [mine.get(place, 0) for place in range(6)] == expected.tolist()
    some = queries.histograms(cursor, "demo", 1, edges, Selection(condition="dark"), bins=6)
    assert some.groupby("metric").cases.sum().eq(4).all()


def test_a_scatter_has_as_many_of_the_selection_as_of_the_rest(cursor):
    found = queries.scattered(cursor, "demo", 1, "cider", "clipscore", Selection(condition="dark"), limit=3)
    assert found.selected.tolist() == [False] * 3 + [True] * 3 and found.matching.tolist() == [8] * 3 + [4] * 3
    whole = queries.scattered(cursor, "demo", 1, "cider", "clipscore")
    assert {row.image_id: (row.x, row.y) for row in whole.itertuples()} == values_of(cursor, "cider", "clipscore")
    assert whole.selected.all()


def test_quadrants_split_the_cases_at_two_values(cursor):
    points = np.array(list(values_of(cursor, "cider", "clipscore").values()))
    middle = tuple(np.median(points, axis=0))
    found = queries.quadrants(cursor, "demo", 1, "cider", "clipscore", middle)
    assert found.cases.sum() == 12
    over = points > middle
    for row in found.itertuples():
        assert row.cases == np.sum((over[:, 0] == row.right) & (over[:, 1] == row.above))
