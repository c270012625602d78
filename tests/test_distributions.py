"""How scores lie, drawn for print."""

import pandas as pd

from dashboard import distributions


def test_the_selection_stands_over_the_whole_in_every_histogram():
    edges = [("cider", 0.0, 2.0), ("clipscore", 0.0, 1.0)]
    whole = pd.DataFrame({"metric": ["cider", "cider", "clipscore"], "bin": [0, 3, 1], "cases": [5, 2, 7]})
    figure = distributions.histograms(edges, whole, whole.head(1), bins=4)
    assert [trace.name for trace in figure.data] == ["all cases", "selected"] * 2
    assert list(figure.data[0].x) == [0.25, 1.75] and list(figure.data[1].y) == [5]
    assert [note.text for note in figure.layout.annotations] == ["CIDEr", "CLIPScore"]


def test_selected_points_differ_by_more_than_their_colour():
    points = pd.DataFrame({"x": [1.0, 2.0], "y": [0.5, 0.6], "selected": [True, False]})
    figure = distributions.quadrant(points, "cider", "clipscore", (1.5, 0.55), [(0, 0), (1, 0), (1, 1)])
    symbols = {trace.name: trace.marker.symbol for trace in figure.data[:2]}
    assert symbols == {"selected": "circle", "not selected": "circle-open"}
    assert list(figure.data[2].x) == [0, 1, 1, 0] and len(figure.layout.shapes) == 2
