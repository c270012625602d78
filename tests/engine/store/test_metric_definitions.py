"""Metrics that run records define: registered before views are created, and refused where they are not sound."""

import json

import pytest

from engine.store import database, metric_definitions, queries, records, schema, tables
from engine.store.queries import Selection
from engine.store.schema import METRICS, MetricDefinition

WER = MetricDefinition("wer", "WER", "0 to 1", "mean", "word error rate", digits=2, higher_is_better=False)


@pytest.fixture(autouse=True)
def own_metrics():
    """Leave METRICS as it was."""
    before = dict(METRICS)
    yield
    METRICS.clear()
    METRICS.update(before)


def write_run(results, run="theirs", definitions=None, column="wer"):
    """Write a run with a column of a metric that is not registered when it is read."""
    folder = records.run_folder(results, run)
    before = dict(METRICS)
    METRICS.setdefault(column, MetricDefinition(column, column, "", "mean", ""))
    key = {"image_id": "a", "beam_size": 1}
    tables.write_table(folder, "images", tables.table_of("images", [{"image_id": "a"}]))
    tables.write_table(folder, "captions", tables.table_of("captions", [{**key, "caption": "x"}]))
    tables.write_table(folder, "scores", tables.table_of("scores", [{**key, column: 0.25}], [column]))
    corpus = {"beam_size": 1, "metric": column, "value": 0.25}
    tables.write_table(folder, "corpus_scores", tables.table_of("corpus_scores", [corpus]))
    METRICS.clear()
    METRICS.update(before)
    record = {"schema_version": schema.VERSION, "run": run, "metric_definitions": definitions}
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def test_a_run_is_read_without_the_plugin_of_its_metric(tmp_path):
    write_run(tmp_path, definitions={"wer": metric_definitions.definition(WER)})
    connection, problems = database.connect(tmp_path)
    cursor = connection.cursor()
    assert problems == [] and METRICS["wer"] == WER
    assert queries.corpus_scores(cursor, "theirs").metric.tolist() == ["wer"]
    assert queries.cases(cursor, "theirs", 1, "wer", True).wer.tolist() == [0.25]
    assert queries.case_metrics(cursor, "theirs", 1, "a")[["metric", "rank"]].values.tolist() == [["wer", 1]]
    assert queries.selection_scores(cursor, "theirs", 1, Selection()).metric.tolist() == ["wer"]


def test_the_same_definition_in_two_runs_is_one_metric(tmp_path):
    for run in ("one", "two"):
        write_run(tmp_path, run, {"wer": metric_definitions.definition(WER)})
    connection, problems = database.connect(tmp_path)
    assert problems == [] and list(METRICS).count("wer") == 1
    assert database.connect(tmp_path)[1] == []
    assert connection.execute("SELECT count(wer) FROM scores").fetchone() == (2,)


def test_of_two_definitions_the_first_is_kept_and_the_other_run_named(tmp_path):
    write_run(tmp_path, "one", {"wer": metric_definitions.definition(WER)})
    folder = write_run(tmp_path, "two", {"wer": {**metric_definitions.definition(WER), "higher_is_better": True}})
    (problem,) = database.connect(tmp_path)[1]
    assert problem.path == folder / "run.json"
    assert "run 'two': metric 'wer' has another definition already (word error rate)" in problem.reason
    assert METRICS["wer"] == WER


def test_a_built_in_metric_is_never_replaced(tmp_path):
    before = METRICS["cider"]
    other = metric_definitions.definition(before) | {"higher_is_better": False}
    write_run(tmp_path, "one", {"cider": metric_definitions.definition(before)}, "cider")
    write_run(tmp_path, "two", {"cider": other}, "cider")
    (problem,) = database.connect(tmp_path)[1]
    assert "run 'two': metric 'cider' is built in" in problem.reason and METRICS["cider"] is before
    with pytest.raises(ValueError, match="is built in"):
        schema.register(MetricDefinition("cider", "My CIDEr", "0 to 1", "mean", "other"))


GOOD = metric_definitions.definition(WER)


@pytest.mark.parametrize(
    ("definitions", "message"),
    [
        ("wer", "expected an object of definitions"),
        (7, "expected an object of definitions"),
        ([GOOD], "is a list, expected an object of definitions"),
        ({"wer": None}, "definition of metric 'wer' is None, expected an object"),
        ({"wer": [GOOD]}, "is a list, expected an object"),
        ({"wer": {}}, "title of metric 'wer' is None, expected one line of 1 to 80 characters"),
        ({"wer": GOOD | {"title": 7}}, "title of metric 'wer' is 7"),
        ({"wer": GOOD | {"title": " "}}, "title of metric 'wer' is ' '"),
        ({"wer": GOOD | {"title": "W" * 81}}, "title of metric 'wer' is 'WWW"),
        ({"wer": GOOD | {"unit": "a\nb"}}, "unit of metric 'wer'"),
        ({"wer": GOOD | {"corpus": "median"}}, "corpus of metric 'wer' is 'median', expected one of mean, pooled"),
        ({"wer": GOOD | {"digits": True}}, "digits of metric 'wer' is True, expected a whole number"),
        ({"wer": GOOD | {"digits": "3"}}, "digits of metric 'wer' is '3'"),
        ({"wer": GOOD | {"digits": 10**9}}, "expected 0 to 9"),
        ({"wer": GOOD | {"digits": -1}}, "expected 0 to 9"),
        (
            {"wer": GOOD | {"higher_is_better": "no"}},
            "higher_is_better of metric 'wer' is 'no', expected true",
        ),
        ({"wer": GOOD | {"higher_is_better": 0}}, "higher_is_better of metric 'wer' is 0"),
        ({'wer" FROM scores; --': GOOD}, "expected a letter, then letters"),
        ({"WER": GOOD}, "metric key 'WER': expected a letter, then letters"),
        ({"_wer": GOOD}, "metric key '_wer'"),
        ({"": GOOD}, "metric key ''"),
        ({"w" * 10_000: GOOD}, "metric key 'wwww"),
        *[({name: GOOD}, "is the name of a column") for name in ("image_id", "beam_size", "tags", "run", "filename")],
        *[({name: GOOD}, "is the name of a column") for name in ("caption", "draw", "rank", "scored", "rowid")],
        ({f"m{n}": GOOD for n in range(101)}, "has 101 entries, expected at most 100"),
    ],
)
def test_a_hostile_record_is_a_problem_and_every_query_still_answers(tmp_path, definitions, message):
    before = dict(METRICS)
    folder = write_run(tmp_path, definitions=definitions)
    connection, problems = database.connect(tmp_path)
    cursor = connection.cursor()
    assert problems and all(problem.path == folder / "run.json" for problem in problems)
    assert message in problems[0].reason and problems[0].reason.startswith("run 'theirs': ")
    assert len(problems[0].reason) < 250 and before == METRICS
    assert (
        queries.runs(cursor).run.tolist() == ["theirs"] and len(queries.cases(cursor, "theirs", 1, "cider", True)) == 1
    )


def test_fields_of_later_versions_are_ignored_and_defaults_are_those_of_the_contract(tmp_path):
    values = {"title": "T", "unit": "0 to 1", "corpus": "mean", "definition": "d", "later": {"x": [1]}}
    write_run(tmp_path, definitions={"wer": values})
    assert database.connect(tmp_path)[1] == []
    assert (METRICS["wer"].digits, METRICS["wer"].higher_is_better) == (3, True)


def test_a_definition_is_json():
    assert json.loads(json.dumps(GOOD)) == GOOD
