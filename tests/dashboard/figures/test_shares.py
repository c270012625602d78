"""Shares with their intervals: failure tags and prompt templates."""

import pandas as pd
import pytest

from dashboard.figures import shares
from tests.dashboard.figures.test_curves import accuracy


def test_tags_have_their_share_of_all_captions_with_an_interval_and_the_most_frequent_is_on_top():
    frame = pd.DataFrame({"tag": ["<b>one</b>", "two"], "images": [30, 3]})
    bars = shares.tag_shares(frame, 120).data[0]
    assert list(bars.x) == [2.5, 25.0] and bars.error_x.array[1] == pytest.approx(8.4, abs=0.05)
    assert shares.tag_shares(frame, 120).layout.yaxis.ticktext == ("two", "&lt;b&gt;one&lt;/b&gt;")


def test_markup_in_a_template_stays_text():
    figure = shares.zero_shot_accuracy(accuracy("<a href='x'>{object}</a> & co"))
    assert figure.layout.yaxis.ticktext[0].replace("<br>", " ") == "&lt;a href='x'&gt;{object}&lt;/a&gt; &amp; co"


def test_templates_that_begin_alike_have_a_row_each_and_their_whole_text_under_the_mouse():
    names = [f"A blurry black and white photograph taken at night that shows one {word}" for word in ("big", "small")]
    figure = shares.zero_shot_accuracy(pd.concat([accuracy(name) for name in names]))
    assert list(figure.data[0].y) == [0, 1] and len(set(figure.layout.yaxis.ticktext)) == 2
    assert max(len(line) for name in figure.layout.yaxis.ticktext for line in name.split("<br>")) <= 28
    assert [told[2].replace("<br>", " ") for told in figure.data[0].customdata] == names[::-1]


def test_the_axis_of_accuracies_holds_every_interval_and_little_else():
    shown = shares.zero_shot_accuracy(accuracy()).layout.xaxis.range  # 50 to 90 %
    assert 40 < shown[0] < 50 and 90 < shown[1] < 100
