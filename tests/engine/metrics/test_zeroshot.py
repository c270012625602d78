import numpy as np
import pytest

from engine.metrics import zeroshot
from engine.metrics.zeroshot import TemplateError


def test_the_slot_takes_each_label():
    assert zeroshot.prompts("No {object}, no score.", ["dog", "bus"]) == ["No dog, no score.", "No bus, no score."]


def test_a_template_without_the_slot_is_one_clear_error():
    with pytest.raises(TemplateError, match="expected {object}"):
        zeroshot.prompts("a photo", ["dog"])


def test_a_repeated_template_is_one_clear_error():
    zeroshot.check(zeroshot.TEMPLATES)
    with pytest.raises(TemplateError, match="template 'a {object}' is given twice"):
        zeroshot.check(["a {object}", "the {object}", "a {object}"])
    with pytest.raises(TemplateError, match="expected {object}"):
        zeroshot.check(["a {object}", "a photo"])


def test_probabilities_are_the_softmax_with_the_learned_scale():
    images = np.array([[1.0, 0.0]])
    texts = np.array([[0.6, 0.8], [0.8, 0.6], [0.0, 1.0]])
    found = zeroshot.classify(images, texts, ["dog", "bus", "cat"], logit_scale=10.0, top=2)[0]
    expected = np.exp([6, 8, 0]) / np.exp([6, 8, 0]).sum()
    assert found.label == "bus"
    assert [name for name, _ in found.top] == ["bus", "dog"]
    np.testing.assert_allclose([share for _, share in found.top], expected[[1, 0]])


def test_a_large_scale_overflows_nothing():
    found = zeroshot.classify(np.eye(2), np.eye(2), ["a", "b"], logit_scale=1e4)
    assert [each.label for each in found] == ["a", "b"]
    assert found[0].top[0][1] == pytest.approx(1.0)


def test_more_guesses_than_classes_are_all_of_them():
    assert len(zeroshot.classify(np.eye(2), np.eye(2), ["a", "b"], 1.0, top=5)[0].top) == 2
