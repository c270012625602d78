"""Tables in memory: how much they hold and when they go."""

import pytest

from engine.store import database, queries
from engine.store.queries import Selection, case_tables, temporary_tables


def test_a_search_is_dropped_with_the_table_whose_rows_it_numbers(full_results, monkeypatch):
    monkeypatch.setattr(case_tables, "_SMALL", 0)
    monkeypatch.setattr(temporary_tables, "_MOST_ROWS", 45)  # the references, and the cases of one beam size and a half
    cursor = database.connect(full_results)[0].cursor()
    for beam in (1, 3, 5) * 2:
        found = queries.cases(cursor, "demo", beam, "cider", True, Selection(text="that is blue"))
        assert sorted(found.image_id) == ["scene_01", "scene_05", "scene_09"]
        tables = cursor.execute("SELECT table_name FROM duckdb_tables() WHERE table_name LIKE 'kept%'").fetchall()
        held = {name for (name,) in tables}
        searches = {name for name in held if name.count("_") == 2}
        assert searches and {name.rpartition("_")[0] for name in searches} <= held


@pytest.mark.parametrize("small", [0, 50_000])
def test_the_rows_in_memory_are_bounded(full_results, monkeypatch, small):
    monkeypatch.setattr(temporary_tables, "_MOST_ROWS", 30)
    monkeypatch.setattr(case_tables, "_SMALL", small)
    cursor = database.connect(full_results)[0].cursor()
    for beam in (1, 3, 5, 1):
        assert queries.case_count(cursor, "demo", beam).total[0] == 12
    held = "SELECT sum(estimated_size) FROM duckdb_tables() WHERE starts_with(table_name, 'kept_')"
    assert 12 <= cursor.execute(held).fetchone()[0] <= 30
