"""Tables that are too large to be read when the results are opened, or to be kept in memory."""

import duckdb
import pyarrow.parquet as pq
import pytest

from dashboard.state.answers import answer
from engine.store import database, queries, shards, tables
from engine.store.errors import ResultsError
from engine.store.queries import Selection, case_tables, temporary_tables
from tests.support import runs


def _spoil(file) -> None:
    """Overwrite the pages of a Parquet file, and leave its footer."""
    content = bytearray(file.read_bytes())
    end = len(content) - pq.read_metadata(file).serialized_size - 8
    content[4:end] = b"\xff" * (end - 4)
    file.write_bytes(content)


def test_pages_of_a_large_table_are_not_read_when_opened_and_damage_is_one_sentence(tmp_path, monkeypatch):
    folder = runs.captioner_run(tmp_path)
    _spoil(folder / "scores.parquet")
    assert len(database.connect(tmp_path)[1]) == 1
    monkeypatch.setattr(tables, "CHECKED", 1000)
    connection, problems = database.connect(tmp_path)
    database._checked.cache_clear()
    connection, problems = database.connect(tmp_path)
    assert problems == []
    with pytest.raises(ResultsError, match="restore the file from a copy") as raised:
        answer(connection, queries.comparison, "demo", 1, "demo", 3)
    assert "\n" not in str(raised.value)
    assert len(answer(connection, queries.beam_statistics, "demo")) == 3


def test_the_maps_of_a_caption_are_read_from_its_file_only(tmp_path, monkeypatch):
    folder = runs.captioner_run(tmp_path)
    before = database.connect(tmp_path)[0].cursor()
    expected = {image: queries.attention(before, "demo", 1, image) for image in runs.image_ids()}
    monkeypatch.setattr(shards, "BYTES", 1)
    monkeypatch.setitem(tables._GROUP_BYTES, "attention", ("weights", 1))
    rows = tables.read_table(folder, "attention")
    tables.write_rows(folder, "attention", (rows.slice(row, 1) for row in range(len(rows))), len(rows))
    files = shards.files_of(folder, "attention")
    assert len(files) > 2
    cursor = database.connect(tmp_path)[0].cursor()
    for image, found in expected.items():
        assert queries.attention(cursor, "demo", 1, image).equals(found) or found.empty
    for other in files[1:]:
        other.write_bytes(b"")
    (first,) = set(pq.read_table(files[0])["image_id"].to_pylist())
    assert len(queries.attention(cursor, "demo", 1, first)) == 1
    assert queries.attention(cursor, "demo", 1, "none").empty


def test_a_connection_with_little_memory_answers_and_leaves_no_folder(full_results, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    connection, problems = database.connect(full_results, "200MB")
    assert len(problems) == 1 and len(list(tmp_path.iterdir())) == 1  # one run is unfinished
    assert connection.execute("SELECT current_setting('memory_limit')").fetchone()[0].startswith("190")
    assert len(queries.beam_statistics(connection.cursor(), "demo")) == len(runs.BEAMS)
    with pytest.raises(duckdb.Error):
        connection.execute(f"SELECT * FROM read_text('{__file__}')")
    connection.close()
    del connection
    assert list(tmp_path.iterdir()) == []


def test_the_table_used_last_is_the_last_to_go(full_results, monkeypatch):
    monkeypatch.setattr(case_tables, "_SMALL", 0)
    monkeypatch.setattr(temporary_tables, "_MOST_ROWS", 30)
    cursor = database.connect(full_results)[0].cursor()
    names = {beam: case_tables.case_table(cursor, "demo", beam) for beam in (1, 3)}
    case_tables.case_table(cursor, "demo", 1)
    case_tables.case_table(cursor, "demo", 5)
    assert temporary_tables.exists(cursor, names[1]) and not temporary_tables.exists(cursor, names[3])


@pytest.mark.parametrize("few", [0, 200_000])
def test_photos_of_a_page_are_the_same_from_memory_and_from_the_file(full_results, monkeypatch, few):
    monkeypatch.setattr(case_tables, "_SMALL", 0)
    monkeypatch.setattr(case_tables, "_FEW_IMAGES", few)
    cursor = database.connect(full_results)[0].cursor()
    alone = queries.case(cursor, "demo", 1, "scene_05")
    page = queries.cases(cursor, "demo", 1, "cider", True, Selection(), 5, 2)
    assert page.file_name.tolist() == [f"{image}.png" for image in page.image_id]
    assert all(len(texts) for texts in page.references)
    found = queries.cases(cursor, "demo", 1, "cider", True, Selection(), 50)
    row = found[found.image_id == "scene_05"].iloc[0]
    assert alone.iloc[0].file_name == row.file_name and list(alone.iloc[0].references) == list(row.references)
    assert alone.iloc[0].cider == row.cider and len(alone) == 1
