"""Two things against each other: the right side wins, and nobody needs colours to see it."""

import pandas as pd
import plotly.io as pio
import pytest

from dashboard import theme
from dashboard.figures import comparisons


def pairs() -> pd.DataFrame:
    return pd.DataFrame(
        {"image_id": ["<a>", "b", "c", "d"], "left": [2.0, 1.0, 1.0, 3.0], "right": [1.0, 2.0, 1.0, 0.0]}
    )


def changes() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "label": ["dog", "<cat>", "cow"],
            "images": [9, 9, 9],
            "left": [9, 1, 5],
            "right": [4, 3, 5],
            "change": [5, -2, 0],
        }
    )


def confused() -> pd.DataFrame:
    return pd.DataFrame({"label": ["a", "a", "b"], "predicted": ["a", "b", "b"], "images": [3, 1, 2]})


def outcome() -> pd.DataFrame:
    return pd.DataFrame(
        {"metric": ["cider", "bleu_4"], "images": [4, 4], "wins": [2, 1], "ties": [1, 2], "losses": [1, 1]}
    )


def every_figure(template: str) -> list:
    return [
        comparisons.scatter(pairs(), "cider", "left", "right", template),
        comparisons.outcomes(outcome(), template),
        comparisons.class_changes(changes(), "l", "r", template),
        comparisons.confusion(confused(), template),
    ]


@pytest.mark.parametrize("template", [theme.LIGHT, theme.DARK])
def test_every_figure_has_a_title_an_axis_and_a_template_of_its_own(template):
    for figure in every_figure(template):
        assert figure.layout.title.text and figure.layout.xaxis.title.text
        assert figure.layout.template.layout.paper_bgcolor == pio.templates[template].layout.paper_bgcolor


def test_sides_of_the_diagonal_differ_in_their_mark_and_are_counted():
    _, left, right, equal = comparisons.scatter(pairs(), "cider", "l", "r").data
    assert [trace.name for trace in (left, right, equal)] == ["left is better (2)", "right is better (1)", "equal (1)"]
    assert len({trace.marker.symbol for trace in (left, right, equal)}) == 3
    assert left.customdata[0] == "&lt;a&gt;"


def test_outcomes_are_shares_and_losses_are_hatched():
    wins, ties, losses = comparisons.outcomes(outcome()).data
    assert list(wins.x) == [25, 50] and list(wins.y) == ["BLEU-4", "CIDEr"]
    assert losses.marker.pattern.shape == "/" and not wins.marker.pattern.shape


def test_classes_that_stay_are_left_out_and_names_are_no_markup():
    gained, lost = comparisons.class_changes(changes(), "l", "r").data
    axis = comparisons.class_changes(changes(), "l", "r").layout.yaxis
    named = dict(zip(axis.tickvals, axis.ticktext, strict=True))
    assert [named[y] for y in gained.y] == ["dog"] and [named[y] for y in lost.y] == ["&lt;cat&gt;"]


LONG = [f"an extremely long class name number {number}" for number in ("one", "two", "three")]


def test_classes_whose_long_names_begin_alike_have_a_bar_each_and_look_different():
    frame = pd.DataFrame({"label": LONG, "images": 5, "left": [3, 2, 1], "right": 2, "change": [3, -1, 1]})
    figure = comparisons.class_changes(frame, "l", "r")
    assert sorted(y for trace in figure.data for y in trace.y) == [0, 1, 2]
    assert len(set(figure.layout.yaxis.ticktext)) == 3
    assert {told[0] for trace in figure.data for told in trace.customdata} == set(LONG)


def test_the_matrix_has_a_row_and_a_column_for_every_class_however_long_its_name():
    frame = pd.DataFrame({"label": LONG, "predicted": [LONG[1], *LONG[1:]], "images": 2})
    figure = comparisons.confusion(frame)
    heat, axes = figure.data[0], (figure.layout.xaxis, figure.layout.yaxis)
    assert heat.z.shape == (3, 3) and heat.x is None
    for axis in axes:
        assert list(axis.tickvals) == [0, 1, 2] and len(set(axis.ticktext)) == 3
    assert heat.customdata[0][2][:2] == [LONG[0], LONG[1]]


def test_two_sides_with_long_names_have_axes_that_look_different():
    layout = comparisons.scatter(pairs(), "cider", "run" * 30 + " 1", "run" * 30 + " 2").layout
    assert layout.xaxis.title.text != layout.yaxis.title.text


@pytest.mark.parametrize(("change", "step"), [(1, 1), (4, 1), (5, None), (60, None)])
def test_a_small_axis_of_counted_images_has_no_ticks_between_whole_ones(change, step):
    frame = changes().assign(change=[change, -1, 0])
    assert comparisons.class_changes(frame, "l", "r").layout.xaxis.dtick == step


def test_confusions_are_shares_of_the_true_class():
    heat = comparisons.confusion(confused()).data[0]
    assert heat.z.tolist() == [[75, 25], [0, 100]]


def test_of_many_classes_those_most_confused_are_shown():
    frame = pd.DataFrame(
        [{"label": f"c{i}", "predicted": f"c{i}", "images": 10} for i in range(80)]
        + [{"label": f"c{i}", "predicted": "c0", "images": 1} for i in range(40, 80)]
    )
    kept = comparisons.most_confused(frame)
    assert len(kept) == 50 and {"c0", "c40", "c79"} <= set(kept)
    assert comparisons.confusion_part(frame).startswith("Shown: the 50 most confused of 80 classes")
    assert comparisons.confusion_part(confused()) == ""


def test_many_equal_changes_keep_the_proportion_of_gains_and_losses():
    change = [2] * 60 + [-2] * 30 + [3]
    frame = pd.DataFrame({"label": [f"c{i}" for i in range(91)], "images": 5, "left": 3, "right": 1, "change": change})
    figure = comparisons.class_changes(frame, "l", "r")
    gained, lost = (sorted(bar.x) for bar in figure.data)
    assert gained == [2] * 19 + [3] and lost == [-2] * 10
    assert figure.layout.title.text == "Classes gained and lost: the 30 largest of 91 changes"
    assert comparisons.class_changes(changes(), "l", "r").layout.title.text == "Classes gained and lost"
