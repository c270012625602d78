"""Attention grounding."""

import pytest

from engine.statistics import bootstrap_mean_interval, wilson_interval
from engine.store import queries, records
from engine.store import tables as store


def test_layers_and_heads_are_compared_with_chance(grounded):
    found = queries.grounding_heads(grounded, "demo", 1).set_index(["layer", "head"])
    assert list(found.index) == [(0, -1), (0, 0), (1, -1), (1, 0)]
    row = found.loc[0, -1]
    assert (row.nouns, row.images, row.hit, row.lift) == (4, 4, 0.75, 4.0)
    assert (row.tested, row.own, row.chance, row.gain) == (3, *map(pytest.approx, (2 / 3, 1 / 3, 1 / 3)))
    assert (row.low, row.high) == pytest.approx(bootstrap_mean_interval([1, 0, 0]))
    assert found.loc[1, -1].gain == 0 and found.loc[1, -1].hit == 0.25
    assert queries.grounding_heads(grounded, "demo", 3).empty


def test_maps_around_a_noun_and_labels_are_counted(grounded):
    offsets = queries.grounding_offsets(grounded, "demo", 1)
    assert offsets[["layer", "offset", "nouns", "hit"]].values.tolist() == [
        [0, -1, 4, 0.75], [0, 0, 4, 0.75], [1, 0, 4, 0.25], [1, 1, 4, 0.25],
    ]  # fmt: skip
    labels = queries.grounding_labels(grounded, "demo", 1, 0, -1)
    assert labels[["label", "nouns", "hit", "image_id", "word_index"]].values.tolist() == [
        ["triangle", 1, 0, "scene_02", 2], ["circle", 2, 1, "scene_00", 2], ["square", 1, 1, "scene_01", 2],
    ]  # fmt: skip
    assert (labels.low[1], labels.high[1]) == wilson_interval(2, 2) and labels.chance.tolist() == [0, 0, 1]
    assert queries.grounding_labels(grounded, "demo", 3, 0, -1).empty


def test_the_nouns_and_boxes_of_a_case(grounded, tmp_path):
    found = queries.case_grounding(grounded, "demo", 1, "scene_00")
    assert found[["word_index", "layer", "head", "hit"]].values.tolist() == [
        [2, 0, -1, True], [2, 0, 0, True], [2, 1, -1, False], [2, 1, 0, False],
    ]  # fmt: skip
    boxes = queries.boxes(grounded, "demo", "scene_00")
    box = store.read_table(records.run_folder(tmp_path / "results", "demo"), "images")["objects"][0].as_py()[0]
    assert boxes.to_dict("records") == [box]
