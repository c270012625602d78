"""Small runs are kept whole, large ones by beam size."""

import pandas as pd

from engine.store import database, queries
from engine.store.queries import case_tables


def test_a_run_kept_whole_has_the_answers_of_one_kept_by_beam_size(full_results, monkeypatch):
    def answers() -> list:
        cursor = database.connect(full_results)[0].cursor()
        found = [queries.cases(cursor, "demo", beam, "cider", True) for beam in (1, 3, 5)]
        found.append(queries.case_captions(cursor, "demo", "scene_03"))
        return [frame.drop(columns=["tags", "references", "conditions"], errors="ignore") for frame in found]

    whole = answers()
    monkeypatch.setattr(case_tables, "_SMALL", 0)
    for one, other in zip(whole, answers(), strict=True):
        pd.testing.assert_frame_equal(one, other)
