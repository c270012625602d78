"""Attention grounding: the best layer and head, in words and as figures."""

import pandas as pd
import pytest

from dashboard.figures import grounding
from dashboard.report import archive, strips
from dashboard.state.record import Run
from tests.support import runs

COLUMNS = ["layer", "head", "nouns", "images", "hit", "tested", "own", "chance", "gain", "low", "high", "lift"]
UNKNOWN = float("nan")
HEADS = pd.DataFrame(
    [
        (0, -1, 1200, 900, 0.81, 1000, 0.8, 0.5, 0.3, 0.28, 0.33, 3.0),
        (0, 0, 1200, 900, 0.9, 1000, 0.9, 0.85, 0.05, 0.01, 0.09, 3.0),
        (1, -1, 1200, 900, 0.69, 1000, 0.7, 0.2, 0.5, 0.47, 0.52, 4.0),
        (1, 0, 1200, 900, 0.1, 1000, 0.1, 0.2, -0.1, -0.12, -0.09, 0.5),
    ],
    columns=COLUMNS,
).assign(compared=900, differing=500)
UNTESTED = HEADS.assign(tested=0, own=UNKNOWN, chance=UNKNOWN, gain=UNKNOWN, low=UNKNOWN, high=UNKNOWN)


def test_the_best_lies_furthest_above_chance_or_hits_most_where_there_is_none():
    assert grounding.best(HEADS) == (1, -1)
    assert grounding.best(UNTESTED) == (0, 0)


MANY = pd.concat([HEADS.assign(low=0.05)] * 40)


def test_the_sentence_says_what_chance_gives():
    assert grounding.sentence(Run("r", {}), 3, HEADS) == (
        "At beam size 3, the best of 4 maps is layer 2, averaged over heads: its brightest patch is inside a box of "
        "the named object for 700 of 1,000 nouns (70.0 %). Chance (the boxes of the same label in another image) is "
        "20.0 %. Difference: +50.0 points (95 % CI 47.0 to 52.0)."
    )
    alone = grounding.sentence(Run("r", {}), 3, UNTESTED)
    assert "layer 1, head 1" in alone and "1,080 of 1,200 nouns (90.0 %). Chance is not known" in alone


@pytest.mark.parametrize(
    ("heads", "doubt", "answer"),
    [
        (HEADS, "52.0).", "Maps point at the named objects"),
        (HEADS.assign(low=-0.1), "52.0). The difference is not significant.", "It is not shown"),
        (HEADS.assign(tested=2), "52.0). Fewer than 10 nouns are weak evidence.", "It is not shown"),
        (HEADS.assign(differing=7), "52.0). Too few images differ to tell whether that is more than chance.", "It is"),
        (MANY, "52.0). It is not significant after correction for 160 maps.", "It is not shown"),
        (UNTESTED, "no other image has a box of the same label.", "It is not known whether maps point"),
    ],
)
def test_a_result_that_may_be_chance_is_no_answer(heads, doubt, answer):
    assert grounding.sentence(Run("r", {}), 3, heads).endswith(doubt)
    assert grounding.answer(heads).startswith(answer)


def test_a_cell_is_a_layer_and_a_head_with_the_mean_first():
    figure = grounding.by_head(HEADS)
    cells = figure.data[0]
    assert cells.z.tolist() == [[30, 5], [50, -10]] and cells.zmid == 0
    assert figure.layout.xaxis.ticktext == ("mean", "1") and figure.layout.yaxis.ticktext == ("1", "2")
    assert list(cells.customdata[1][0]) == ["mean", 69, 4.0, "2"]
    assert [*map(list, cells.text)] == [["+30", "+5"], ["+50", "-10"]]
    assert grounding.by_head(UNTESTED).data[0].z.tolist() == [[81, 90], [69, 10]]
    assert [*map(list, grounding.by_head(UNTESTED).data[0].text)] == [["81", "90"], ["69", "10"]]


def test_a_gain_that_rounds_to_nothing_has_no_sign():
    gains = [-0.004, 0.004, float("nan"), 0.006]
    found = grounding.by_head(HEADS.assign(gain=gains)).data[0].text
    assert [*map(list, found)] == [["0", "0"], ["", "+1"]]


def test_a_line_is_a_layer_over_the_words_around_the_noun():
    rows = [(0, -1, 10, 0.5, 0.4, 0.7), (0, 0, 12, 0.8, 0.7, 0.9), (1, 0, 12, 0.6, 0.5, 0.7)]
    first, second = grounding.by_offset(
        pd.DataFrame(rows, columns=["layer", "offset", "nouns", "hit", "low", "high"])
    ).data
    assert (first.name, list(first.x), list(first.y)) == ("layer 1", [-1, 0], [50, 80])
    assert list(first.error_y.array) == pytest.approx([20, 10])
    assert list(first.error_y.arrayminus) == pytest.approx([10, 10])
    assert (second.name, list(second.customdata)) == ("layer 2", [12])


def test_many_layers_have_different_marks_and_a_legend_beside_the_axes():
    rows = [(layer, 0, 12, 0.8, 0.7, 0.9) for layer in range(12)]
    figure = grounding.by_offset(pd.DataFrame(rows, columns=["layer", "offset", "nouns", "hit", "low", "high"]))
    assert len({(line.line.color, line.line.dash, line.marker.symbol) for line in figure.data}) == 12
    assert figure.layout.legend.orientation == "v" and figure.layout.height > 400


def test_the_report_has_the_chapter_where_images_have_boxes(tmp_path):
    folder = runs.captioner_run(tmp_path / "results")
    source = archive.open_source(tmp_path / "results", "demo", beam=1)[0]
    assert strips.attention_grounding(source) == []
    runs.add_grounding(folder)
    source = archive.open_source(tmp_path / "results", "demo", beam=1)[0]
    (chapter,) = strips.attention_grounding(source)
    heads, offsets, table, labels = chapter.items
    assert table.shown.iloc[0].tolist()[:5] == ["1", "mean", "3", "66.7 %", "33.3 %"]
    assert labels.title == "Hit rate by label (layer 1, mean of heads)"
    assert labels.shown.iloc[0].tolist()[:2] == ["triangle", "0 of 1 (0.0 %, 95 % CI 0.0-79.3)"]
    assert labels.shown.iloc[0].tolist()[-2:] == ["scene_02", "a green triangle on the grass"]
    assert len(heads.draw().data) == 1 and len(offsets.draw().data) == 2
    assert strips.attention_grounding(archive.open_source(tmp_path / "results", "demo", beam=3)[0]) == []
