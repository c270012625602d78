"""Two settings: their names, whether their numbers are comparable, and the verdict."""

from types import SimpleNamespace

import pandas as pd
import pyarrow.compute as pc
import pytest

from dashboard.report import archive, comparison, other_runs
from dashboard.report.comparison import Sides
from dashboard.state.record import Run
from engine.cli import compare
from engine.store import queries, records, tables
from tests.support import runs


def sides(left: str = "a", left_beam: int = 3, right: str = "a", right_beam: int = 1) -> Sides:
    return Sides(Run(left, {}), left_beam, Run(right, {}), right_beam)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (sides(), ("beam size 3", "beam size 1 (greedy)")),
        (sides(right="b", right_beam=3), ("a", "b")),
        (sides(right="b", right_beam=0), ("a, beam size 3", "b, imported")),
    ],
)
def test_names_are_as_short_as_tells_the_two_apart(given, names):
    assert given.names == names


@pytest.mark.parametrize(
    ("p", "difference", "said"),
    [(0.2, 1, "not significant"), (0.01, 1, "left is better"), (0.01, -1, "right is better")],
)
def test_the_verdict_rests_on_the_corrected_p(p, difference, said):
    row = SimpleNamespace(metric="cider", p_holm=p, difference=difference, p_reachable=0.001, images=12, differing=12)
    assert comparison.verdict(row) == said


@pytest.mark.parametrize(
    ("images", "differing", "said"),
    [(5, 5, "too few images to tell"), (900, 3, "too few images differ to tell"), (900, 0, "equal on every image")],
)
def test_where_no_result_could_be_significant_there_is_no_verdict(images, differing, said):
    row = SimpleNamespace(metric="cider", p_holm=0.07, p_bootstrap=0.001, p_reachable=0.0625, difference=1.0)
    row.images, row.differing = images, differing
    assert comparison.verdict(row) == said and comparison.bootstrapped(row) == "–"


def test_five_shared_images_are_too_few_on_the_page_in_the_report_and_on_the_terminal(tmp_path):
    runs.captioner_run(tmp_path)
    runs.partial_run(tmp_path)
    assert "\nCIDEr: too few images to tell (no result could give" in compare.text(tmp_path, "demo:3", "partial:0")
    source, _ = archive.open_source(tmp_path, "demo")
    by_name = {run.name: run for run in source.runs}
    sides = Sides(by_name["demo"], 3, by_name["partial"], 0)
    found = source.query(queries.comparison, *sides.arguments)
    assert found.images.tolist() == [5] and found.p_reachable.item() == 0.0625 <= found.p_holm.item()
    sentence = other_runs._sentence(source, sides, found)
    assert "too few images to tell" in sentence and "significant" not in sentence
    shown = comparison.table(source.query, sides, found).shown
    assert shown.Verdict.tolist() == ["too few images to tell"] and shown["p bootstrap"].tolist() == ["–"]


def test_a_resampled_p_is_never_zero():
    assert comparison.resampled(1 / 1001) == "≤ 0.001" and comparison.resampled(0.0519) == "0.052"


def test_one_image_has_neither_interval_nor_bootstrap(tmp_path):
    results = tmp_path / "results"
    folder = runs.captioner_run(results)
    for table in ("images", "captions", "scores"):
        rows = tables.read_table(folder, table)
        tables.write_table(folder, table, rows.filter(pc.equal(rows["image_id"], "scene_03")))
    source = archive.open_source(results, "demo")[0]
    pair = Sides(source.run, 3, source.run, 1)
    found = source.query(queries.comparison, *pair.arguments)
    shown = comparison.table(source.query, pair, found).shown
    assert set(shown["95 % interval"]) == set(shown["p bootstrap"]) == {"–"} and set(shown["p Holm"]) == {"1.000"}
    printed = compare.text(results, "demo:3", "demo:1")
    assert "nan" not in printed


def test_metrics_that_were_not_measured_alike_are_marked_in_the_table(tmp_path):
    results = tmp_path / "results"
    runs.captioner_run(results)
    runs.partial_run(results)
    source = archive.open_source(results, "demo")[0]
    other = next(run for run in source.runs if run.name == "partial")
    pair = Sides(source.run, 3, other, 0)
    found = source.query(queries.comparison, *pair.arguments)
    assert comparison.table(source.query, pair, found).shown["Measured alike"].tolist() == ["no: n"]
    assert [str(each) for each in comparison.terms(source.query, pair)["cider"]] == ["n: 12 vs. 6"]
    same = Sides(source.run, 3, source.run, 1)
    found = source.query(queries.comparison, *same.arguments)
    assert "Measured alike" not in comparison.table(source.query, same, found).shown


def test_a_number_without_a_signature_on_either_side_is_not_known_to_be_alike():
    nothing = pd.DataFrame(columns=["beam_size", "metric", "signature"])
    found = comparison.terms(lambda function, *arguments: nothing, sides())["cider"]
    assert [str(each) for each in found] == ["signature: not kept vs. not kept"]


def test_everything_that_compare_shows_can_be_exported(full_results):
    source = archive.open_source(full_results, "demo")[0]
    pair = Sides(source.run, 3, source.run, 1)
    found = source.query(queries.comparison, *pair.arguments)
    changes = {"gains": source.query(queries.paired_cases, *pair.arguments, "cider", True), "losses": pd.DataFrame()}
    items = comparison.items(source.query, pair, "cider", found, changes)
    assert [item.name for item in items] == ["scatter_cider", "outcomes", "comparison", "gains_cider", "gains_cider"]
    assert items[0].note.startswith("Left: run demo, beam size 3. Right: run demo, beam size 1 (greedy).")
    assert items[0].signatures == ("Left: cider|tok:ptb|n:12|v:0.1", "Right: cider|tok:ptb|n:12|v:0.1")
    assert len(items[2].signatures) == 2 * len(runs.METRICS)


def test_prompts_that_differ_are_shown_as_text(tmp_path):
    for name, prompt, digest in (("one", "Say what | is: there", "a" * 16), ("two", "Describe it", "b" * 16)):
        folder = runs.captioner_run(tmp_path, name)
        corpus = tables.read_table(folder, "corpus_scores")
        signed = [f"CIDEr-D|tok:ptb|rule:standard|prompt:{digest}" for _ in range(len(corpus))]
        place = corpus.column_names.index("signature")
        tables.write_table(folder, "corpus_scores", corpus.set_column(place, "signature", [signed]))
        record = records.read_record(folder)
        records.write_record(folder, record | {"captioner": {"prompt": prompt}})
    source, _ = archive.open_source(tmp_path, "one")
    by_name = {run.name: run for run in source.runs}
    found = comparison.terms(source.query, Sides(by_name["one"], 1, by_name["two"], 1))["cider"]
    assert [str(each) for each in found] == ["prompt: Say what | is: there vs. Describe it"]
    assert found[0].search
