import errno
import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.store import atomic, database, locks, parts, records
from engine.store import tables as store
from engine.store.errors import ResultsError
from engine.store.schema import METRICS, SCORED, TABLES, VERSION
from tests.conftest import ROOT


def images(*names: str) -> pa.Table:
    return store.table_of("images", [{"image_id": name, "file_name": f"{name}.jpg"} for name in names])


def finished(results, name: str, tables: dict[str, pa.Table]):
    folder = records.run_folder(results, name)
    for table, rows in tables.items():
        store.write_table(folder, table, rows)
    records.write_record(folder, {"run": name})
    return folder


def test_the_same_rows_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        store.write_table(tmp_path / name, "images", images("x", "y"))
    assert len({(tmp_path / name / "images.parquet").read_bytes() for name in ("a", "b")}) == 1


@given(st.lists(st.integers(1, 400), min_size=1, max_size=40), st.data())
@settings(max_examples=25, deadline=None)
def test_maps_give_the_same_bytes_however_they_are_divided(sizes, data):
    numbers = np.random.default_rng(len(sizes))
    rows = store.table_of(
        "attention",
        [
            {"image_id": f"{at:03d}", "beam_size": 1, "weights": numbers.bytes(1024 * size)}
            for at, size in enumerate(sizes)
        ],
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sizes)), max_size=6)))
    bounds = [0, *cuts, len(sizes)]
    parts = [rows.slice(start, stop - start) for start, stop in zip(bounds, bounds[1:], strict=False)]
    with tempfile.TemporaryDirectory() as folder:
        store.write_table(Path(folder, "a"), "attention", rows)
        store.write_rows(Path(folder, "b"), "attention", iter(parts))
        whole, found = (Path(folder, name, "attention.parquet") for name in ("a", "b"))
        assert found.read_bytes() == whole.read_bytes()
        groups = pq.ParquetFile(found).metadata
        assert store.read_table(found.parent, "attention").equals(rows)
        held = [sum(sizes[: groups.row_group(0).num_rows])] if groups.num_row_groups > 1 else []
        assert all(4096 <= each < 4096 + 400 for each in held)


def test_a_file_that_cannot_be_completed_leaves_the_one_before(tmp_path):
    store.write_table(tmp_path, "images", images("x"))
    before = (tmp_path / "images.parquet").read_bytes()

    def parts():
        yield images("y")
        raise ResultsError("damaged")

    with pytest.raises(ResultsError, match="damaged"):
        store.write_rows(tmp_path, "images", parts())
    assert (tmp_path / "images.parquet").read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["images.parquet"]


def test_no_parts_are_an_empty_table(tmp_path):
    store.write_rows(tmp_path, "grounding", iter([]))
    assert store.read_table(tmp_path, "grounding").schema.equals(TABLES["grounding"])


def test_a_table_keeps_its_types_and_values(tmp_path):
    row = {"image_id": "x", "file_name": "x.jpg", "references": ["a dog"], "objects": [{"label": "dog", "x": 1.0}]}
    store.write_table(tmp_path, "images", store.table_of("images", [row]))
    read = store.read_table(tmp_path, "images")
    assert read.schema.equals(TABLES["images"])
    assert read.to_pylist()[0]["objects"][0] == {"label": "dog", "x": 1.0, "y": None, "width": None, "height": None}


def test_a_column_that_is_not_of_the_contract_is_refused(tmp_path):
    with pytest.raises(ResultsError, match="no column 'colour'"):
        store.table_of("images", [{"colour": "red"}])
    with pytest.raises(ResultsError, match="expected"):
        store.write_table(tmp_path, "images", pa.table({"image_id": ["x"]}))


def test_a_run_without_its_record_is_unfinished_and_says_so(tmp_path):
    store.write_table(records.run_folder(tmp_path, "half"), "images", images("x"))
    runs, problems = records.find_runs(tmp_path)
    assert runs == []
    assert "'half' is unfinished; where it was stopped, run its command again" in problems[0].reason


def test_a_half_written_file_is_left_out_and_the_others_stay_usable(tmp_path):
    finished(tmp_path, "good", {"images": images("x")})
    broken = finished(tmp_path, "bad", {"images": images("y")}) / "images.parquet"
    broken.write_bytes(broken.read_bytes()[:100])
    connection, problems = database.connect(tmp_path)
    assert connection.execute("SELECT run, image_id FROM images").fetchall() == [("good", "x")]
    assert problems[0].path.name == "images.parquet"
    assert "not a whole Parquet file" in problems[0].reason


def test_a_file_of_an_older_contract_names_the_missing_column(tmp_path):
    folder = finished(tmp_path, "old", {})
    pa.parquet.write_table(pa.table({"image_id": ["x"]}), folder / "images.parquet")
    assert "no column 'file_name'" in database.connect(tmp_path)[1][0].reason


def test_a_record_that_is_no_json_leaves_only_that_run_out(tmp_path):
    finished(tmp_path, "good", {"images": images("x")})
    (finished(tmp_path, "bad", {}) / "run.json").write_text("{")
    runs, problems = records.find_runs(tmp_path)
    assert [run.name for run in runs] == ["good"]
    assert "not JSON" in problems[0].reason


def test_runs_with_different_metrics_are_read_together(tmp_path):
    row = {"image_id": "x", "beam_size": 1}
    finished(tmp_path, "a", {"scores": store.table_of("scores", [{**row, "cider": 1.0}], ["cider"])})
    finished(tmp_path, "b", {"scores": store.table_of("scores", [{**row, "rouge_l": 0.5}], ["rouge_l"])})
    connection, _ = database.connect(tmp_path)
    found = connection.cursor().execute("SELECT run, cider, rouge_l, meteor FROM scores ORDER BY run").fetchall()
    assert found == [("a", 1.0, None, None), ("b", None, 0.5, None)]


def test_an_empty_results_folder_has_every_view_with_every_column(tmp_path):
    connection, problems = database.connect(tmp_path)
    assert problems == []
    for table, schema in TABLES.items():
        columns = [name for name, *_ in connection.execute(f"DESCRIBE {table}").fetchall()]
        expected = set(schema.names) | {"run"} | (set(METRICS) if table in SCORED else set())
        assert set(columns) == expected


def test_sql_reads_nothing_outside_the_results(tmp_path):
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    (tmp_path / "results").mkdir()
    connection, _ = database.connect(tmp_path / "results")
    with pytest.raises(Exception, match="disabled by configuration"):
        connection.execute(f"SELECT * FROM read_csv('{secret}')")


def test_a_quote_in_a_folder_name_does_no_harm(tmp_path):
    results = tmp_path / "o'brien"
    finished(results, "a", {"images": images("x")})
    assert database.connect(results)[0].execute("SELECT run FROM images").fetchall() == [("a",)]


@pytest.mark.parametrize("name", ["", "../evil", "a/b", ".hidden", "x" * 81, "a b"])
def test_a_run_name_is_a_plain_name(tmp_path, name):
    with pytest.raises(ResultsError, match="choose another with --run"):
        records.run_folder(tmp_path, name)


def test_a_part_is_there_whole_or_not_at_all(tmp_path):
    assert not parts.is_part(tmp_path, "captions", 0, ["images"])
    found = {"images": images("x"), "skipped": store.table_of("skipped", [])}
    parts.write_part(tmp_path, "captions", 0, found, {"node": "here"})
    assert not parts.is_part(tmp_path, "captions", 0, ["images", "attention"])
    assert parts.is_part(tmp_path, "captions", 0, ["images", "skipped"])
    assert parts.read_part_table(tmp_path, "captions", 0, "images").to_pylist()[0]["image_id"] == "x"
    assert parts.read_part_record(tmp_path, "captions", 0) == {"node": "here"}
    parts.drop_parts(tmp_path)
    assert not parts.is_part(tmp_path, "captions", 0, ["images"])
    assert parts.read_part_record(tmp_path, "captions", 0) == {}


def test_a_part_that_several_processes_write_is_the_first_ones_and_leaves_no_other_file(tmp_path):
    for name in ("x", "y"):
        parts.write_part(tmp_path, "captions", 0, {"images": images(name)})
    assert parts.read_part_table(tmp_path, "captions", 0, "images").to_pylist()[0]["image_id"] == "x"
    assert [path.name for path in (tmp_path / ".parts" / "captions").iterdir()] == ["000000"]
    next(tmp_path.rglob("images.parquet")).write_bytes(b"")  # an incomplete one is replaced
    parts.write_part(tmp_path, "captions", 0, {"images": images("z")})
    assert parts.read_part_table(tmp_path, "captions", 0, "images").to_pylist()[0]["image_id"] == "z"


def test_a_record_says_the_version_of_the_contract(tmp_path):
    records.write_record(tmp_path, {"run": "a"})
    assert json.loads((tmp_path / "run.json").read_text()) == {"run": "a", "schema_version": VERSION}


def test_a_file_from_before_a_column_was_added_is_read_with_nulls_in_its_place(tmp_path):
    rows = [{"image_id": "a", "beam_size": 1, "cider": 0.5, "tags": []}]
    finished(tmp_path, "old", {"scores": store.table_of("scores", rows, ["cider"])})
    path = records.run_folder(tmp_path, "old") / "scores.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["bleu_counts", "meteor_counts", "chair_counts"]), path)
    connection, problems = database.connect(tmp_path)
    assert not problems
    assert connection.sql("SELECT cider, bleu_counts FROM scores").fetchall() == [(0.5, None)]


def attention_rows(**more):
    maps = {"shape": [2, 1, 1, 1], "weights": b"\xff\xff", "scale": [0.5, 0.25], "grid_height": 1, "grid_width": 1}
    return [{"image_id": "a", "beam_size": 1, "words": ["dog", "<end>"], **maps, **more}]


def test_the_share_of_each_word_can_be_queried_and_is_null_in_older_runs(tmp_path):
    for name, more in (("new", {"share": [0.5, 0.25]}), ("old", {})):
        finished(tmp_path, name, {"attention": store.table_of("attention", attention_rows(**more))})
    path = records.run_folder(tmp_path, "old") / "attention.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["share"]), path)
    connection, problems = database.connect(tmp_path)
    assert not problems
    found = connection.sql("SELECT unnest(words), unnest(share) FROM attention WHERE run = 'new'").fetchall()
    assert found == [("dog", 0.5), ("<end>", 0.25)]
    assert connection.sql("SELECT share FROM attention WHERE run = 'old'").fetchall() == [(None,)]


def test_a_part_from_before_a_column_was_added_is_computed_again(tmp_path):
    parts.write_part(tmp_path, "captions", 0, {"attention": store.table_of("attention", attention_rows())})
    assert parts.is_part(tmp_path, "captions", 0, ["attention"])
    path = next(tmp_path.rglob("attention.parquet"))
    pq.write_table(pq.read_table(path).drop_columns(["share"]), path)
    assert not parts.is_part(tmp_path, "captions", 0, ["attention"])


def test_an_unfinished_run_is_dropped_and_a_finished_one_is_not(tmp_path):
    folder = records.run_folder(tmp_path, "r")
    atomic.write_json(folder / ".parts" / "plan.json", {})
    records.drop_run(folder)
    assert not folder.exists()
    records.write_record(folder, {"run": "r"})
    with pytest.raises(ValueError, match="finished run"):
        records.drop_run(folder)
    assert records.read_record(folder)["run"] == "r"


def test_two_writers_of_the_same_arrays_do_not_meet(tmp_path):
    path, rows = tmp_path / "cache" / "x.npy", np.arange(128_000, dtype=np.float32).reshape(2000, 64)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: atomic.write_rows(path, 2000, [rows[:7], rows[7:7], rows[7:]]), range(80)))
    np.testing.assert_array_equal(atomic.read_rows(path, 2000), rows)
    assert [each.name for each in path.parent.iterdir()] == ["x.npy"]


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY torn", b"PK\x03\x04 torn", b"no array"])
def test_arrays_that_cannot_be_read_are_none(tmp_path, content):
    path = tmp_path / "x.npy"
    assert atomic.read_rows(path, 4) is None
    path.write_bytes(content)
    assert atomic.read_rows(path, 4) is None
    atomic.write_rows(path, 4, [np.zeros((4, 100), np.float32)])
    assert atomic.read_rows(path, 5) is None
    path.write_bytes(path.read_bytes()[:-1000])
    assert atomic.read_rows(path, 4) is None


def test_a_linked_run_is_a_run_by_its_links_name_and_hinders_no_other(tmp_path):
    elsewhere = finished(tmp_path / "elsewhere", "other", {"images": images("far")})
    own = finished(tmp_path / "results", "own", {"images": images("near")})
    (own.parent / "outside").symlink_to(elsewhere)
    (own.parent / "inside").symlink_to(own)
    connection, problems = database.connect(tmp_path / "results")
    found = connection.execute("SELECT run, image_id FROM images ORDER BY run").fetchall()
    assert (found, problems) == ([("inside", "near"), ("outside", "far"), ("own", "near")], [])


@pytest.mark.parametrize(
    "query",
    [
        "COPY (SELECT 1) TO '{}'",
        "SELECT 1; EXPLAIN ANALYZE COPY (SELECT 1) TO '{}'",
        "PREPARE p AS COPY (SELECT 1) TO '{}'; EXECUTE p",
        "EXPORT DATABASE '{}'",
        "ATTACH '{}' AS x",
        "IMPORT DATABASE '{}'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "UPDATE EXTENSIONS",
        "DETACH x",
        "COPY runs FROM '{}'",
        "COPY FROM DATABASE memory TO x",
        "COPY (PIVOT runs ON run) TO '{}'",
        "EXPLAIN ANALYZE COPY (PIVOT runs ON run) TO '{}'",
        "EXPLAIN /* */ ANALYZE COPY (SELECT 1) TO '{}'",
        "EXPLAIN (FORMAT json) COPY (SELECT 1) TO '{}'",
        "EXPLAIN (ANALYZE) COPY (SELECT 1) TO '{}'",
        "EXPLAIN ANALYZE INSERT INTO runs VALUES ('a', 'b')",
        "EXPLAIN ANALYZE CREATE TABLE x AS SELECT 1",
        "PRAGMA database_list",
        "PRAGMA enable_profiling='json'",
        "SET threads = 1",
        "SET VARIABLE a = 1",
        "RESET threads",
        "CALL checkpoint()",
        "CHECKPOINT",
        "CREATE TABLE x AS SELECT 1",
        "CREATE SECRET s (TYPE s3)",
        "CREATE MACRO f(x) AS x",
        "INSERT INTO runs VALUES ('a', 'b')",
        "WITH a AS (SELECT 1) INSERT INTO runs SELECT 'a', 'b'",
        "UPDATE runs SET run = 'a'",
        "DELETE FROM runs",
        "MERGE INTO runs USING runs AS s ON true WHEN MATCHED THEN DELETE",
        "DROP VIEW scores",
        "ALTER VIEW scores RENAME TO x",
        "VACUUM",
        "BEGIN",
        "USE memory",
        "SELECT 1; COPY (SELECT 1) TO '{}'",
    ],
)
def test_a_query_that_may_write_files_is_none_that_reads(tmp_path, query):
    connection, _ = database.connect(tmp_path)
    with pytest.raises(ResultsError, match="may write files, expected only SELECT or EXPLAIN of a SELECT") as raised:
        database.readers(connection, query.format(tmp_path / "file"))
    assert len(str(raised.value)) < 400
    assert not (tmp_path / "file").exists()


def test_readers_are_the_statements_of_a_query(tmp_path):
    connection, _ = database.connect(tmp_path)
    query = "WITH x AS (SELECT 1) FROM x; EXPLAIN FROM runs; PIVOT (SELECT 1 AS a) ON a USING sum(a); DESCRIBE runs"
    query += (
        "; EXPLAIN ANALYZE SELECT 1; EXPLAIN (FORMAT json) SELECT 1; SHOW TABLES; SUMMARIZE runs; SELECT 'a;b' -- done"
    )
    assert len(database.readers(connection, query)) == 9
    for statement in database.readers(connection, query):
        connection.sql(statement).fetchall()
    for empty in ("", " ; ", "-- nothing"):
        with pytest.raises(ResultsError, match="expected SQL such as SELECT"):
            database.readers(connection, empty)


@pytest.mark.skipif(sys.platform == "win32", reason="no such locks there")
def test_a_folder_has_one_writer_and_is_left_as_it_was(tmp_path):
    folder = tmp_path / "captioner"
    code = "from pathlib import Path\nfrom engine.store import locks\n"
    code += f"with locks.alone(Path({str(folder)!r})): print('alone')"

    def other() -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)

    with locks.alone(folder):
        assert f"{folder} is being written by another process; wait" in other().stderr
    assert not folder.exists()
    assert other().stdout == "alone\n"
    with locks.alone(folder):
        (folder / "model").touch()
    assert [path.name for path in folder.iterdir()] == ["model"]


def test_the_mark_of_a_killed_process_is_deleted_and_that_of_a_living_one_is_not(tmp_path):
    (tmp_path / ".held").touch()
    locks.drop_mark(tmp_path)
    assert not list(tmp_path.iterdir())
    locks.drop_mark(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
    code = "from pathlib import Path\nfrom engine.store import locks\n"
    code += f"locks.drop_mark(Path({str(tmp_path)!r})); print(Path({str(tmp_path / '.held')!r}).exists())"
    with locks.alone(tmp_path):
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


@pytest.mark.parametrize("refusal", [OSError(errno.ENOLCK, "No locks available"), NotImplementedError("no flock here")])
def test_on_a_disk_without_locks_nobody_is_kept_out(tmp_path, monkeypatch, refusal):
    def refuse(*args: object, **named: object) -> None:
        raise refusal

    monkeypatch.setattr(locks.FileLock, "acquire", refuse)
    with locks.alone(tmp_path / "one"), locks.alone(tmp_path / "one"):
        (tmp_path / "one" / "file").write_text("kept")
    assert (tmp_path / "one" / "file").read_text() == "kept"


def test_a_lock_survives_another_handle_on_its_file(tmp_path):
    """A POSIX record lock ends when any handle of the process on the file is closed."""
    folder = tmp_path / "run"
    held = locks.hold(folder / "held", "run 'mine'", "choose another --run")
    open(folder / "held").close()
    code = "from pathlib import Path\nfrom engine.store import locks\n"
    code += f"locks.hold(Path({str(folder / 'held')!r}), 'it', 'wait')"
    refused = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    held.release(force=True)
    assert refused.returncode and "is being written by another process" in refused.stderr


def test_an_older_run_is_read_by_the_names_of_now(tmp_path):
    folder = records.run_folder(tmp_path, "older")
    tags = [{"tag": "invented object", "evidence": "cat"}, {"tag": "generic", "evidence": "3 images"}]
    row = {"image_id": "a", "beam_size": 1, "tags": tags}
    store.write_table(folder, "scores", store.table_of("scores", [row]))
    skipped = [{"image_id": "b", "file_name": "b.jpg", "reason": "the file is empty"}]
    store.write_table(folder, "skipped", store.table_of("skipped", skipped))
    (folder / "skipped.parquet").rename(folder / "set_aside.parquet")
    record = {"schema_version": 2, "set_aside": 1, "tables": ["scores", "set_aside"]}
    atomic.write_json(folder / "run.json", record)
    now = {**row, "image_id": "c", "tags": [{"tag": "ranking error", "evidence": "rank 2"}]}
    newer = records.run_folder(tmp_path, "newer")
    store.write_table(newer, "scores", store.table_of("scores", [now]))
    records.write_record(newer, {"tables": ["scores"]})

    read = records.read_record(folder)
    assert (read["skipped"], read["tables"], "set_aside" in read) == (1, ["scores", "skipped"], False)
    assert store.read_table(folder, "skipped").to_pylist() == skipped
    assert records.lost_tables(folder, read["tables"]) == []
    connection, problems = database.connect(tmp_path)
    assert not problems
    assert connection.execute("SELECT run, image_id FROM skipped").fetchall() == [("older", "b")]
    found = dict(connection.execute("SELECT run, list_transform(tags, lambda x: x.tag) FROM scores").fetchall())
    assert found == {"older": ["hallucinated object", "generic"], "newer": ["ranking error"]}


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_text('{outside}')",
        "SELECT * FROM read_csv('{outside}')",
        "SELECT * FROM read_blob('{outside}')",
        "SELECT * FROM read_text('{results}/link/secret.txt')",
        "SELECT * FROM read_text('{results}/../outside/secret.txt')",
        "SELECT * FROM glob('{outside}')",
        "SELECT * FROM read_json('http://127.0.0.1:9/x')",
        "SELECT * FROM 's3://bucket/x.parquet'",
        "SELECT * FROM enable_logging(storage='file', storage_config={{'path': '{results}/log'}})",
    ],
)
def test_a_query_reads_nothing_outside_the_results_and_configures_nothing(tmp_path, query):
    results, outside = tmp_path / "results", tmp_path / "outside" / "secret.txt"
    outside.parent.mkdir()
    outside.write_text("secret")
    finished(results, "own", {"images": images("near")})
    (results / "link").symlink_to(outside.parent)
    connection, _ = database.connect(results)
    (statement,) = database.readers(connection, query.format(results=results, outside=outside))
    with pytest.raises(duckdb.Error):
        connection.sql(statement).fetchall()
    assert not (results / "log").exists()


def test_a_query_may_read_other_files_of_the_results(tmp_path):
    finished(tmp_path, "own", {"images": images("near")})
    (tmp_path / "note.txt").write_text("kept")
    connection, _ = database.connect(tmp_path)
    assert connection.sql(f"SELECT content FROM read_text('{tmp_path}/note.txt')").fetchall() == [("kept",)]
