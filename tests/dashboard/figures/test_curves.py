"""Figures: own template, own colours, titles, units, and no markup from strangers."""

import pandas as pd
import plotly.io as pio
import pytest

from dashboard import theme
from dashboard.figures import curves, shares
from engine.store.published import REPORT


def by_beam(sizes: list[int]) -> pd.DataFrame:
    """A frame with every column that the figures over beam sizes read."""
    frame = pd.DataFrame({"beam_size": sizes, "value": 0.5, "low": 0.4, "high": 0.6, "seconds": 0.1})
    frame["distinct_words"] = 90
    for column in ("words", "changed", "unfinished"):
        frame[column], frame[f"{column}_low"], frame[f"{column}_high"] = 0.5, 0.4, 0.6
    return frame


def training() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "step": [0, 10, 10],
            "epoch": [0, 0, 0],
            "loss": [3.0, 2.0, None],
            "validation_cider": [None, None, 0.5],
            "validation_clipscore": [None, None, 0.6],
        }
    )


def accuracy(template: str = "a {object}") -> pd.DataFrame:
    row = {"template": template, "accuracy": 0.75, "low": 0.5, "high": 0.9, "right": 9, "known": 12}
    return pd.DataFrame([row])


def every_figure(template: str) -> dict[str, curves.go.Figure]:
    frame = by_beam([1, 3, 5])
    return {
        "metric": curves.metric_by_beam(frame, "cider", template),
        "words": curves.words_by_beam(frame, template),
        "shares": curves.shares_by_beam(frame, template),
        "distinct": curves.distinct_by_beam(frame, template),
        "seconds": curves.seconds_by_beam(frame, template),
        "oracle": curves.oracle_by_beam(frame.assign(chosen=1.0, average=0.9, best=1.2), "cider", template),
        "loss": curves.training_loss(training(), template),
        "validation": curves.training_validation(training(), template),
        "accuracy": shares.zero_shot_accuracy(accuracy(), template),
    }


@pytest.mark.parametrize("template", [theme.LIGHT, theme.DARK])
def test_every_figure_has_a_title_axes_and_colours_of_its_own(template):
    for name, figure in every_figure(template).items():
        assert figure.layout.title.text and figure.layout.xaxis.title.text, name
        assert figure.layout.template.layout.paper_bgcolor == pio.templates[template].layout.paper_bgcolor
        assert figure.layout.template.layout.colorway == pio.templates[template].layout.colorway


def test_a_changed_default_template_changes_no_figure(monkeypatch):
    before = {name: figure.to_json() for name, figure in every_figure(theme.LIGHT).items()}
    monkeypatch.setattr(pio.templates, "default", "plotly_dark")
    assert {name: figure.to_json() for name, figure in every_figure(theme.LIGHT).items()} == before


def test_the_band_goes_up_along_the_high_and_back_along_the_low_ends():
    band, line = curves.metric_by_beam(by_beam([1, 3]), "clipscore").data
    assert list(band.x) == [1, 3, 3, 1] and list(band.y) == [0.6, 0.6, 0.4, 0.4]
    assert list(line.y) == [0.5, 0.5]


def test_the_axis_names_the_unit_and_the_sizes_that_were_run():
    figure = curves.metric_by_beam(by_beam([1, 3, 5]), "clipscore")
    assert figure.layout.yaxis.title.text == "CLIPScore (0 to 2.5)"
    assert list(figure.layout.xaxis.ticktext) == ["1", "3", "5"]


def test_many_beam_sizes_have_a_logarithmic_axis():
    assert curves.words_by_beam(by_beam([1, 10, 100])).layout.xaxis.type == "log"


def test_names_of_close_beam_sizes_do_not_overlap():
    sizes = [1, 3, 4, 5, 6, 7, 8, 9, 10, 15, 100]
    axis = curves.words_by_beam(by_beam(sizes)).layout.xaxis
    assert list(axis.tickvals) == sizes
    assert list(axis.ticktext) == ["1", "3", "4", "5", "6", "", "8", "", "10", "15", "100"]


def test_the_studys_figures_are_dashed_behind_ours_and_named():
    published = pd.DataFrame({"beam_size": [3, 5], "value": [0.94, 0.9], "source": "<the> study"})
    theirs, band, ours = curves.metric_by_beam(by_beam([1, 3]), "cider", published=published).data
    assert theirs.line.dash == "dash" and theirs.name == "&lt;the&gt; study" and list(theirs.y) == [0.94, 0.9]
    assert theirs.marker.symbol.endswith("-open") and ours.name == "this run" and ours.line.dash == "solid"


def test_a_published_curve_far_from_ours_has_a_panel_of_its_own():
    near = pd.DataFrame({"beam_size": [1, 3], "value": [0.5, 0.6], "source": REPORT})
    ours = by_beam([1, 3])
    shared = curves.metric_by_beam(ours, "cider", published=near)
    assert {trace.yaxis or "y" for trace in shared.data} == {"y"} and shared.data[0].name == "published (the study)"
    for figure in (
        curves.metric_by_beam(ours, "cider", published=near.assign(value=near.value + 5)),
        curves.metric_by_beam(ours, "cider", published=near, apart=True),
    ):
        theirs, *own = figure.data
        assert theirs.yaxis == "y2" and {trace.yaxis or "y" for trace in own} == {"y"}
        assert figure.layout.yaxis.domain[0] > figure.layout.yaxis2.domain[1]
        assert list(figure.layout.xaxis.tickvals) == [1, 3]


def test_a_published_figure_without_a_beam_size_is_a_level_line():
    published = pd.DataFrame({"beam_size": [None], "value": [0.94], "source": "study"})
    figure = curves.metric_by_beam(by_beam([1, 3]), "cider", published=published)
    assert list(figure.data[0].x) == [1, 3] and list(figure.data[0].y) == [0.94, 0.94]
    assert list(figure.layout.xaxis.tickvals) == [1, 3]


def test_a_single_imported_setting_is_named_and_not_drawn_at_beam_size_zero():
    figure = curves.metric_by_beam(by_beam([0]), "cider")
    assert list(figure.layout.xaxis.ticktext) == ["imported"]


def test_a_share_that_is_not_known_is_left_out():
    frame = by_beam([1, 3])
    for unknown in (None, 0.0):
        frame["unfinished"] = unknown
        drawn = curves.shares_by_beam(frame)
        names = {trace.name for trace in drawn.data if trace.name}
        assert names == {"changed vs. the next smaller beam size"}
        assert drawn.layout.title.text == "Changed captions by beam size"
    assert curves.shares_title(frame.assign(changed=0.0)) == ""


def test_sources_with_the_same_beginning_differ_in_the_legend():
    sources = ["the study " * 8 + end for end in ("one", "two")]
    published = pd.DataFrame({"beam_size": [3, 3], "value": [0.9, 0.8], "source": sources})
    first, second, *_ = curves.metric_by_beam(by_beam([1, 3]), "cider", published=published).data
    assert first.name != second.name


def test_few_distinct_words_are_counted_whole():
    frame = pd.DataFrame({"beam_size": [1, 3], "distinct_words": [13, 14]})
    assert curves.distinct_by_beam(frame).layout.yaxis.dtick == 1
    assert curves.distinct_by_beam(frame.assign(distinct_words=[13, 140])).layout.yaxis.dtick is None


def test_imported_captions_are_a_level_line_beside_beam_sizes():
    searched = pd.DataFrame({"beam_size": [1, 100], "value": [0.8, 0.9], "low": [0.7, 0.8], "high": [0.9, 1.0]})
    imported = pd.DataFrame({"beam_size": [0], "value": [0.5], "low": [0.4], "high": [0.6]})
    figure = curves.metric_by_run({"ours": searched, "theirs": imported}, "cider")
    line = next(trace for trace in figure.data if trace.name == "theirs")
    assert list(line.x) == [1, 100] and list(line.y) == [0.5, 0.5] and figure.layout.xaxis.type == "log"
    alone = curves.metric_by_run({"theirs": imported}, "cider")
    assert [list(trace.x) for trace in alone.data if trace.name == "theirs"] == [[0]]
