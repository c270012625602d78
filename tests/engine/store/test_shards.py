"""Tables of several files: the same answers as from one file, and nothing is lost when a file is missing."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.store import database, queries, records, shards, tables
from engine.store.errors import ResultsError
from engine.store.schema import TABLES
from tests.support import runs


@pytest.fixture
def small(monkeypatch):
    """Row groups of a few rows, each a file of its own."""
    monkeypatch.setattr(tables, "_GROUP_ROWS", 2)
    monkeypatch.setattr(tables, "_GROUP_BYTES", {"attention": ("weights", 1)})
    monkeypatch.setattr(shards, "BYTES", 1)
    monkeypatch.setattr(shards, "MOST", 1_000)


def test_every_view_is_the_same_over_one_file_and_over_several(full_results, tmp_path, small):
    results = tmp_path / "results"
    runs.add_grounding(runs.captioner_run(results))
    runs.captioner_run(results, "demo_cnn", grid=7)
    runs.imported_run(results)
    folder = records.run_folder(results, "demo")
    assert len(shards.files_of(folder, "scores")) > 3 and len(shards.files_of(folder, "attention")) > 3
    one, several = database.connect(full_results)[0], database.connect(results)[0]
    for table in TABLES:
        select = f"SELECT * FROM {table} ORDER BY ALL"
        assert several.sql(select).fetchall() == one.sql(select).fetchall(), table
    for function in (queries.beam_statistics, queries.corpus_scores, queries.attention_beam_sizes):
        assert function(several.cursor(), "demo").equals(function(one.cursor(), "demo"))
    assert not records.lost_tables(folder, ["scores", "attention", "captions"])


def test_a_missing_shard_is_named_and_its_table_is_left_out(tmp_path, small):
    results = tmp_path / "results"
    runs.captioner_run(results)
    folder = records.run_folder(results, "demo")
    gone = shards.files_of(folder, "scores")[1]
    gone.unlink()
    connection, problems = database.connect(results)
    assert [(problem.path.name, problem.reason.split(";")[0]) for problem in problems] == [
        (gone.name, "the file is missing")
    ]
    assert connection.sql("SELECT count(*) FROM scores").fetchall() == [(0,)]
    assert records.lost_tables(folder, ["scores"]) == ["scores"]
    with pytest.raises(ResultsError, match=r"002-of-.*: the file is missing"):
        tables.read_table(folder, "scores")


def rows_of(count: int) -> pa.Table:
    rows = [{"image_id": f"{number:06d}", "file_name": "a.jpg", "reason": "x" * 50} for number in range(count)]
    return tables.table_of("skipped", rows)


@settings(max_examples=30, deadline=None)
@given(count=st.integers(0, 60), cuts=st.lists(st.integers(0, 60), max_size=5), known=st.booleans())
def test_any_division_of_the_rows_gives_the_same_files(tmp_path_factory, count, cuts, known):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tables, "_GROUP_ROWS", 3)
        patched.setattr(shards, "BYTES", 1_500)
        patched.setattr(shards, "MOST", 4)
        rows, bounds = rows_of(count), sorted({0, *(cut for cut in cuts if cut < count), count})
        pieces = [rows.slice(at, stop - at) for at, stop in zip(bounds, bounds[1:], strict=False)]
        found = []
        for made in ([rows], pieces or [rows]):
            folder = tmp_path_factory.mktemp("rows")
            tables.write_rows(folder, "skipped", made, count if known else None)
            found.append([path.read_bytes() for path in shards.files_of(folder, "skipped")])
            assert tables.read_table(folder, "skipped").equals(rows) and tables.count_rows(folder, "skipped") == count
        assert found[0] == found[1]


def test_shards_have_their_minimum_size_and_are_not_many(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_GROUP_ROWS", 10)
    monkeypatch.setattr(shards, "BYTES", 3_000)
    monkeypatch.setattr(shards, "MOST", 8)
    rows = rows_of(5_000)
    tables.write_rows(tmp_path / "known", "skipped", [rows], len(rows))
    tables.write_rows(tmp_path / "unknown", "skipped", [rows])
    for name, most in (("known", 10), ("unknown", 30)):
        files = shards.files_of(tmp_path / name, "skipped")
        assert 2 < len(files) <= most
        assert all(path.stat().st_size >= 3_000 for path in files[:-1])


def test_a_table_that_was_several_files_becomes_one_and_back(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_GROUP_ROWS", 2)
    for size, count in ((1, 4), (10**9, 1), (1, 4)):
        monkeypatch.setattr(shards, "BYTES", size)
        monkeypatch.setattr(shards, "MOST", 100)
        tables.write_table(tmp_path, "skipped", rows_of(8))
        assert len(shards.files_of(tmp_path, "skipped")) == count
        assert len(list(tmp_path.rglob("*.parquet"))) == count and not list(tmp_path.rglob("*.tmp"))


def test_an_error_midway_leaves_the_old_table_and_no_other_file(tmp_path):
    tables.write_table(tmp_path, "skipped", rows_of(3))

    def broken():
        yield rows_of(70_000)
        raise KeyError("in the middle")

    with pytest.raises(KeyError):
        tables.write_rows(tmp_path, "skipped", broken())
    assert [path.name for path in tmp_path.iterdir()] == ["skipped.parquet"]
    assert pq.read_metadata(tmp_path / "skipped.parquet").num_rows == 3
