"""Metrics by their protocol: families, pooled statistics, images that lack what a metric needs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.split import Split
from engine.metrics import registry
from engine.metrics.base import MetricError, PerImage, is_mean, with_ones
from engine.metrics.measure import measure, score_captions
from engine.protocols import Metric, PluginError

REFERENCES = (("a dog runs", "the dog is running"), (), ("two cats", "cats on a sofa"))
SPLIT = Split(("a", "b", "c"), REFERENCES, (None, None, None))


class Length(PerImage):
    key, title, unit, definition, tool = "length", "Length", "words", "words of the caption", "length-1"
    higher_is_better = False
    digits = 1
    needs = frozenset()

    def scores(self, captions, split):
        return np.array([len(caption.split()) for caption in captions], dtype=float)


class NewWords:
    """The share of words that no reference has, pooled over the split."""

    key, title, unit, definition, tool = "new_words", "New words", "0 to 1", "words in no reference", "new-1"
    higher_is_better = False
    digits = 3
    needs = frozenset({"references"})

    def statistics(self, captions, split):
        rows = []
        for caption, texts in zip(captions, split.references, strict=True):
            known = {word for text in texts for word in text.split()}
            words = caption.split()
            rows.append([sum(word not in known for word in words), len(words)])
        return np.array(rows, dtype=float)

    def value(self, sums):
        return np.divide(sums[..., 0], sums[..., 1], out=np.zeros_like(sums[..., 0]), where=sums[..., 1] > 0)


def test_a_pooled_metric_is_computed_from_the_sums_of_images_that_have_what_it_needs():
    assert isinstance(NewWords(), Metric)
    found = measure({1: ["a dog sleeps here", "ignored", "two"]}, SPLIT, [NewWords()])[1]
    assert found.corpus["new_words"].value == 2 / 5
    assert found.per_image["new_words"].tolist()[::2] == [0.5, 0.0] and np.isnan(found.per_image["new_words"][1])
    assert found.counts["new_words_counts"][::2].tolist() == [[2, 4], [0, 1]]


def test_a_mean_keeps_no_counts_and_needs_nothing_it_does_not_name():
    found = measure({1: ["a b", "c", "d e f"], 3: ["", "x", "y z"]}, SPLIT, [Length()])
    assert found[1].per_image["length"].tolist() == [2, 1, 3] and found[3].corpus["length"].value == 1
    assert not found[1].counts


def test_metrics_of_one_split_may_need_different_things():
    found = measure({1: ["a dog runs", "x", "two cats"]}, SPLIT, [*registry.named(["cider", "bleu_1"]), Length()])[1]
    assert np.isnan(found.per_image["cider"][1]) and found.per_image["length"][1] == 1
    alone = score_captions({1: ["a dog runs", "two cats"]}, REFERENCES[::2], ["cider", "bleu_1"])[1]
    assert found.per_image["cider"][[0, 2]].tolist() == alone.per_image["cider"].tolist()
    assert found.corpus["bleu_1"] == alone.corpus["bleu_1"]


def test_a_metric_that_no_image_can_have_is_missing():
    bare = Split(("a",), ((),))
    found = measure({1: ["a dog"]}, bare, [*registry.named(["cider"]), NewWords()])[1]
    assert not found.per_image


def test_statistics_of_the_wrong_shape_are_one_sentence():
    class Broken(Length):
        def statistics(self, captions, split):
            return np.ones(len(captions))

    with pytest.raises(MetricError, match=r"'length' returned statistics of shape \(3,\), expected \(3, 2\)"):
        measure({1: ["a", "b", "c"]}, SPLIT, [Broken()])


@settings(deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=2, max_size=20), st.data())
def test_any_partition_of_the_images_gives_the_same_corpus_value(values, data):
    rows = with_ones(np.array(values))
    cut = data.draw(st.integers(1, len(values) - 1))
    sums = rows[:cut].sum(0) + rows[cut:].sum(0)
    assert Length().value(sums) == pytest.approx(np.mean(values), abs=1e-12)
    assert is_mean(Length()) and not is_mean(NewWords())


def plugin(**changes) -> type:
    return type("Changed", (Length,), changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"key": "cider"}, "is built in"),
        ({"key": "image_id"}, "is the name of a column"),
        ({"key": "Upper Case"}, "expected a letter"),
        ({"title": ""}, "title is '', expected one line"),
        ({"title": "a\nb"}, "title is 'a\\\\nb', expected one line"),
        ({"digits": 2.5}, "digits is 2.5, expected a whole number"),
        ({"digits": 99}, "expected 0 to 9"),
        ({"key": "tag"}, "is the name of a column"),
        ({"key": "my_counts"}, "is the name of a column"),
        ({"title": "CIDEr"}, "which is that of metric 'cider'"),
        ({"needs": "photos"}, "needs is 'photos', expected a set"),
        ({"needs": None}, "needs is None, expected a set"),
        ({"tool": "a|beam:9"}, "tool is 'a|beam:9', expected"),
        ({"signature": "abc"}, "signature is 'abc', expected a dictionary"),
        ({"signature": {"beam": "9"}}, "signature has the entry 'beam'"),
        ({"signature": {"mine": object()}}, r"signature\['mine'\] is .*, expected text"),
        ({"higher_is_better": "yes"}, "higher_is_better is 'yes', expected True or False"),
        ({"needs": {"captions"}}, "needs is {'captions'}, expected a set of references, photos, objects"),
    ],
)
def test_a_plugin_is_checked_before_anything_is_computed(monkeypatch, changes, sentence):
    monkeypatch.setattr(registry.protocols, "plugin", lambda group, name: plugin(**changes)())
    registry._plugin.cache_clear()
    with pytest.raises(PluginError, match=sentence):
        registry.named([f"{sorted(changes)}:Changed"])


def test_two_metrics_of_one_key_are_refused(monkeypatch):
    monkeypatch.setattr(registry.protocols, "plugin", lambda group, name: Length())
    registry._plugin.cache_clear()
    with pytest.raises(MetricError, match="two metrics have the key 'length'"):
        registry.named(["one:Length", "two:Length"])


@pytest.mark.parametrize(
    ("part", "returned", "sentence"),
    [
        ("statistics", [["a", "b"]] * 3, "returned statistics that are not an array of numbers"),
        ("statistics", [[1], [1, 2], [1]], "returned statistics that are not an array of numbers"),
        ("statistics", np.ones((3, 0)), r"returned statistics of shape \(3, 0\)"),
        ("value", 0.5, r"returned values of shape \(\), expected \(3,\)"),
        ("value", None, "returned values that are not an array of numbers"),
    ],
)
def test_what_a_plugin_returns_is_checked(part, returned, sentence):
    metric = NewWords()
    setattr(metric, part, lambda *args: returned)
    split = Split.of_references([["a"], ["b"], ["c"]])
    with pytest.raises(MetricError, match=sentence):
        measure({1: ["a", "b", "c"]}, split, [metric])


def test_other_peoples_metrics_come_after_ours_in_the_order_of_their_keys():
    assert registry.ordered(["zeta", "cider", "alpha", "bleu_1"]) == ["cider", "bleu_1", "alpha", "zeta"]
