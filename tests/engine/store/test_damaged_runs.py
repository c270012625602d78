"""One damaged run is one sentence, and all other runs stay usable."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.store import database, parts, queries, records, tables
from engine.store.errors import ResultsError
from tests.support import runs


@pytest.fixture
def results(tmp_path):
    runs.captioner_run(tmp_path, "good")
    runs.captioner_run(tmp_path, "bad")
    return tmp_path


def problem_of(results) -> str:
    """Return the only problem of the results after checking that the good run answers every kind of query."""
    connection, problems = database.connect(results)
    cursor = connection.cursor()
    assert "good" in set(queries.runs(cursor).run)
    for table in ("images", "captions", "scores", "corpus_scores", "attention"):
        assert cursor.execute(f"SELECT count(*) FROM {table} WHERE run = 'good'").fetchone()[0] > 0
        cursor.execute(f"SELECT bit_xor(hash(t)) FROM {table} t").fetchall()
    assert len(problems) == 1
    assert "\n" not in problems[0].reason and len(problems[0].reason) < 600
    return problems[0].reason


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"plan": ' + "9" * 5_000 + "}", "a number has 5,000 digits"),
        ('{"kind": NaN}', "expected a finite number"),
        ("", "not JSON"),
        ("[]", "expected a JSON object"),
        ('{"tables": null}', "tables is None, expected a list of texts"),
        ('{"tables": [1]}', "tables is [1], expected a list of texts"),
        ('{"plan": [1]}', "plan is [1], expected an object"),
        ('{"data": "x"}', "data is 'x', expected an object"),
        ('{"data": {"images": "x"}}', "data.images is 'x', expected a number"),
        ('{"captioner": []}', "captioner is [], expected an object"),
        ('{"beam_sizes": ["1"]}', "beam_sizes is ['1'], expected a list of whole numbers"),
        ('{"trained_on": "x"}', "trained_on is 'x', expected a number"),
        ('{"roots": "' + "x" * 70_000 + '"}', "roots is 'xxx"),
    ],
)
def test_a_damaged_record_leaves_out_its_run_only(results, content, expected):
    (results / "runs" / "bad" / "run.json").write_text(content)
    assert expected in problem_of(results)
    with pytest.raises(ResultsError, match="run the command again"):
        records.read_record(results / "runs" / "bad")


def test_a_record_without_permission_leaves_out_its_run_only(results, monkeypatch):
    stat = Path.stat

    def refused(path, **named):
        if path.parent.name == "bad":
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **named)

    monkeypatch.setattr(Path, "stat", refused)
    assert problem_of(results).endswith("run.json: Permission denied; make the file readable")


def test_a_record_that_is_a_pipe_is_not_waited_for(results):
    (results / "runs" / "bad" / "run.json").unlink()
    os.mkfifo(results / "runs" / "bad" / "run.json")
    assert "not a file, expected a text file" in problem_of(results)


def damage_pages(path) -> None:
    """Overwrite the pages in front of the footer, which stays valid."""
    content = bytearray(path.read_bytes())
    footer = int.from_bytes(content[-8:-4], "little") + 8
    content[4 : len(content) - footer] = b"\xff" * (len(content) - footer - 4)
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("table", ["captions", "scores", "corpus_scores", "images"])
def test_damaged_pages_leave_out_one_table_and_are_computed_again(results, table):
    folder = results / "runs" / "bad"
    damage_pages(folder / f"{table}.parquet")
    assert tables.check_table(folder, table) is None  # the footer is whole
    assert problem_of(results).startswith("damaged (")
    with pytest.raises(ResultsError, match=r"damaged \(.*restore the file, or delete it and run the command again"):
        tables.read_table(folder, table)
    assert records.lost_tables(folder, []) == [table]


def test_a_damaged_chunk_is_deleted_with_a_sentence_and_computed_again(tmp_path):
    rows = tables.table_of("skipped", [{"image_id": "a" * 100, "file_name": "b", "reason": "c"}])
    parts.write_part(tmp_path, "captions", 0, {"skipped": rows})
    assert parts.read_part_table(tmp_path, "captions", 0, "skipped").equals(rows)
    damage_pages(tmp_path / ".parts" / "captions" / "000000" / "skipped.parquet")
    with pytest.raises(ResultsError, match="chunk 0 of .* was damaged and has been deleted .* run the same command"):
        parts.read_part_table(tmp_path, "captions", 0, "skipped")
    assert not parts.is_part(tmp_path, "captions", 0, ["skipped"])


@pytest.mark.parametrize("table", ["corpus_scores", "captions", "images"])
def test_a_row_that_is_there_twice_leaves_out_the_table(results, table):
    path = results / "runs" / "bad" / f"{table}.parquet"
    rows = pq.read_table(path)
    pq.write_table(pa.concat_tables([rows, rows.slice(0, 1)]), path)
    assert problem_of(results).startswith("2 rows for ")


def test_a_folder_that_is_not_named_like_a_run_is_left_out(results):
    (results / "runs" / "bad").rename(results / "runs" / "\x1b[31m*?")
    assert "is not the name of a run" in problem_of(results)
    assert "\x1b" not in problem_of(results)
