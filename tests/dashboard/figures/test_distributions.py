"""How scores lie, drawn for print."""

import pandas as pd
import pytest

from dashboard.figures import distributions
from engine.store.schema import METRICS


def test_every_histogram_shows_the_selection_over_all_cases():
    edges = [("cider", 0.0, 2.0), ("clipscore", 0.0, 1.0)]
    whole = pd.DataFrame({"metric": ["cider", "cider", "clipscore"], "bin": [0, 3, 1], "cases": [5, 2, 7]})
    figure = distributions.histograms(edges, whole, whole.head(1), bins=4)
    assert [trace.name for trace in figure.data] == ["all cases", "selected"] * 2
    assert list(figure.data[0].x) == [0.25, 1.75] and list(figure.data[1].y) == [5]
    assert [note.text for note in figure.layout.annotations] == ["CIDEr", "CLIPScore"]
    assert figure.layout.yaxis.title.text == "Cases"


@pytest.mark.parametrize("metrics", [1, 3, 4, 8])
def test_titles_of_histograms_do_not_overlap_legend_or_numbers(metrics):
    edges = [(metric, 0.0, 1.0) for metric in list(METRICS)[:metrics]]
    none = pd.DataFrame({"metric": [], "bin": [], "cases": []})
    layout = distributions.histograms(edges, none, none, bins=4).layout
    pixels = layout.height - layout.margin.t - layout.margin.b
    title = 22  # pixels of a line of 16 px type
    tops = {round(layout[name].domain[1] * pixels) for name in layout if str(name).startswith("yaxis")}
    bottoms = {round(layout[name].domain[0] * pixels) for name in layout if str(name).startswith("yaxis")}
    assert layout.legend.y * pixels >= pixels + title
    for top in tops - {max(tops)}:
        assert min(bottom for bottom in bottoms if bottom > top) - top >= title + 28  # a tick and its number
    assert layout.margin.t >= (layout.legend.y - 1) * pixels + 28 + 30  # the legend, and the figure's own title


def test_selected_points_differ_by_more_than_their_colour():
    points = pd.DataFrame({"x": [1.0, 2.0], "y": [0.5, 0.6], "selected": [True, False]})
    figure = distributions.quadrant(points, "cider", "clipscore", (1.5, 0.55), [(0, 0), (1, 0), (1, 1)])
    symbols = {trace.name: trace.marker.symbol for trace in figure.data[:2]}
    assert symbols == {"selected": "circle", "not selected": "circle-open"}
    assert list(figure.data[2].x) == [0, 1, 1, 0] and len(figure.layout.shapes) == 2
