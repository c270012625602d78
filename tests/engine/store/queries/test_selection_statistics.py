"""The selected cases compared with the rest."""

import numpy as np
import pytest

from engine.statistics import bootstrap_mean_interval
from engine.store import queries
from engine.store.queries import Selection
from tests.engine.store.queries.stored_values import scored


def test_the_selection_is_compared_with_the_rest(cursor):
    selection = Selection(condition="dark")
    found = queries.selection_scores(cursor, "demo", 1, selection).set_index("metric")
    inside = queries.cases(cursor, "demo", 1, "cider", True, selection).image_id
    values = scored(cursor, "cider")
    mine = [values[image] for image in sorted(inside)]
    assert found.selected["cider"] == pytest.approx(np.mean(mine))
    assert (found.selected_low["cider"], found.selected_high["cider"]) == pytest.approx(bootstrap_mean_interval(mine))
    assert found.selected_cases["cider"] == 4 and found.rest_cases["cider"] == 8 and "meteor" not in found.index
    nobody = queries.selection_scores(cursor, "demo", 1, Selection(text="zebra"))
    assert nobody.selected.isna().all() and nobody.rest_cases.eq(12).all()


def test_what_the_selection_is_made_of(cursor):
    found = queries.selection_makeup(cursor, "demo", 1, Selection(condition="dark")).set_index("name")
    assert found.loc["dark", ["kind", "selected", "selected_cases", "rest", "rest_cases"]].tolist() == [
        "condition", 4, 4, 0, 8,
    ]  # fmt: skip
    assert found.index[0] == "dark" and found.loc["wrong colour", "selected"] + found.loc["wrong colour", "rest"] == 3
