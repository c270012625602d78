"""A metric of a plugin of which lower values are better: order, verdicts, wording and text from other users."""

from importlib.util import find_spec
from types import SimpleNamespace

import pandas as pd
import pytest

from dashboard import metrics
from dashboard.figures import comparisons, curves, nbest
from dashboard.report import archive, chapters, comparison, pairs, strips
from dashboard.state.record import Run
from dashboard.text import formatting
from engine.store import tables
from engine.store.schema import METRICS, MetricDefinition
from tests.dashboard.test_dashboard import cards, open_view, sent, words  # noqa: F401
from tests.support import runs

needs_engine = pytest.mark.skipif(
    find_spec("engine.store.metric_definitions") is None, reason="the queries have no columns for metrics of plugins"
)

TITLE = "<b>WER</b> of *words*"


@pytest.fixture(autouse=True)
def wer(monkeypatch):
    metric = MetricDefinition("wer", TITLE, "", "mean", "word error rate", digits=2, higher_is_better=False)
    monkeypatch.setitem(METRICS, "wer", metric)


def results_with_wer(results, others=("cider",)):
    """A captioner run whose word error rate is 1 - CIDEr / 2, and `others` of its metrics."""
    folder = runs.captioner_run(results)
    scores = [{**row, "wer": 1 - row["cider"] / 2} for row in tables.read_table(folder, "scores").to_pylist()]
    kept = [{key: row.get(key) for key in ("image_id", "beam_size", "tags", "wer", *others)} for row in scores]
    tables.write_table(folder, "scores", tables.table_of("scores", kept, ["wer", *others]))
    corpus = [row for row in tables.read_table(folder, "corpus_scores").to_pylist() if row["metric"] in others]
    for size in runs.BEAMS:
        values = [row["wer"] for row in scores if row["beam_size"] == size]
        corpus.append({"beam_size": size, "metric": "wer", "value": sum(values) / len(values), "images": len(values)})
    tables.write_table(folder, "corpus_scores", tables.table_of("corpus_scores", corpus))
    return results


def by_wer(results, beam=1):
    rows = [
        row for row in tables.read_table(results / "runs" / "demo", "scores").to_pylist() if row["beam_size"] == beam
    ]
    return [row["image_id"] for row in sorted(rows, key=lambda row: row["wer"])]


def test_headlines_are_cider_clipscore_and_the_metrics_of_plugins():
    assert metrics.headlines(["wer", "bleu_4", "clipscore", "nonsense"]) == ["clipscore", "wer"]
    assert metrics.ordered(["wer", "bleu_4", "cider"]) == ["cider", "wer", "bleu_4"]


@pytest.mark.parametrize(
    ("metric", "gain", "said"),
    [("cider", 2, ("highest", "lowest", "higher")), ("wer", -2, ("lowest", "highest", "lower"))],
)
def test_gain_and_words_follow_the_direction_of_a_metric(metric, gain, said):
    assert metrics.gain(metric, 2) == gain
    assert (metrics.best_word(metric), metrics.worst_word(metric), metrics.better_word(metric)) == said


@pytest.mark.parametrize(("difference", "verdict"), [(0.2, "right is better"), (-0.2, "left is better")])
def test_the_side_with_the_lower_value_is_better(difference, verdict):
    row = SimpleNamespace(metric="wer", p_holm=0.01, difference=difference, p_reachable=0.001, images=12, differing=12)
    assert comparison.verdict(row) == verdict


def test_a_scatter_plot_counts_lower_values_as_better():
    frame = pd.DataFrame({"image_id": ["a", "b", "c"], "left": [0.1, 0.2, 0.5], "right": [0.5, 0.5, 0.1]})
    figure = comparisons.scatter(frame, "wer", "x", "y")
    assert [trace.name for trace in figure.data[1:]] == ["left is better (2)", "right is better (1)", "equal (0)"]
    assert "<b>" not in figure.layout.title.text and "<b>" not in figure.layout.xaxis.title.text


def test_an_axis_of_a_metric_without_a_unit_has_no_brackets():
    frame = pd.DataFrame({"beam_size": [1, 3], "value": 0.5, "low": 0.4, "high": 0.6})
    assert curves.metric_by_beam(frame, "wer").layout.yaxis.title.text == "&lt;b&gt;WER&lt;/b&gt; of *words*"


def test_the_oracle_sentence_says_lower():
    row = {"metric": "wer", "beam_size": 3, "images": 12, "kept": 5.0, "average": 0.5, "best": 0.2, "chosen": 0.4}
    row |= {"better": 0.5, "lead_low": 0.1, "lead_high": 0.2, "lead_differing": 12}
    (sentence,) = nbest.sentences(Run("r", {}), 3, pd.DataFrame([row]))
    assert f"with a lower {formatting.markdown_title('wer')} than the caption" in sentence


def test_a_title_is_escaped_for_markdown_and_hyphens_stay():
    assert formatting.markdown_title("wer") == r"\<b\>WER\<\/b\> of \*words\*"
    assert formatting.markdown_title("bleu_4") == "BLEU-4"


@needs_engine
def test_failures_show_the_highest_error_first_and_the_best_on_the_left(open_view, tmp_path):  # noqa: F811
    results = results_with_wer(tmp_path / "results")
    ranked = by_wer(results)
    app = open_view("failures", results, sort="wer", beam=1, show="pairs")
    assert sent(app, "pairs_highest")["chosen"] == ranked[-1] == cards(app, "pairs_highest")[0]
    assert cards(app, "pairs_lowest") == [ranked[0]]
    keys = [element.key for element in app.main if getattr(element, "key", None) in ("pairs_lowest", "pairs_highest")]
    assert keys == ["pairs_lowest", "pairs_highest"]
    assert TITLE not in words(app)
    other = open_view("failures", results, sort="cider", beam=1, show="pairs")
    assert sent(other, "pairs_lowest")["chosen"] == cards(other, "pairs_lowest")[0]


@needs_engine
@pytest.mark.parametrize("view", ["overview", "beams", "compare", "export"])
def test_every_page_shows_the_metric_and_none_takes_its_title_for_markdown(open_view, tmp_path, view):  # noqa: F811
    app = open_view(view, results_with_wer(tmp_path / "results"), contrast="wer")
    assert TITLE not in words(app)
    if view == "overview":
        assert formatting.markdown_title("wer") in [each.label for each in app.metric]
    if view == "compare":
        assert "A negative difference means that the left one is better." in words(app)


@needs_engine
def test_the_best_pair_of_a_report_has_the_lowest_error_and_the_strips_go_from_good_to_bad(tmp_path):
    results = results_with_wer(tmp_path / "results", others=())
    source, _ = archive.open_source(results, "demo", beam=1)
    figure, table, *_ = pairs.pairs(source).items
    ranked = by_wer(results)
    assert table.shown["Best"][0] == ranked[0] and table.shown["Worst"][0] == ranked[-1]
    assert figure.title == f"Lowest and highest {TITLE}"
    spread = strips._spread(source, 1)
    assert [ranked.index(image) for image in spread] == sorted(ranked.index(image) for image in spread)


@needs_engine
def test_the_table_of_runs_and_the_curves_of_a_report_have_the_metric(tmp_path):
    source, _ = archive.open_source(results_with_wer(tmp_path / "results"), "demo")
    (runs_table,) = chapters.all_runs(source).items
    assert (runs_table.shown[TITLE][:3] != "").all()
    assert "wer_by_beam" in [item.name for item in chapters.beams(source).items]
    assert TITLE not in chapters.chapters(source)[0].lead
