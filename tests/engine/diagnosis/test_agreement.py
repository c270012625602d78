"""Agreement of words with other captions of the same image."""

import pytest

from engine.diagnosis.agreement import Agreement
from engine.diagnosis.lexicon import Mentions

CAPTIONS = ["A man rides a brown horse.", "a boy on a pony", "a dog's bone"]


@pytest.mark.parametrize(
    ("word", "label", "share"),
    [
        ("horse", "horse", 2 / 3),  # a pony is a horse
        ("woman", "person", 2 / 3),
        ("brown", None, 1 / 3),
        ("Brown", None, 1 / 3),
        ("dog", "dog", 1 / 3),
        ("cat", "cat", 0),
        ("purple", None, 0),
        (".", None, None),
    ],
)
def test_an_object_agrees_by_any_of_its_names_and_other_words_by_themselves(word, label, share):
    found = Agreement(CAPTIONS, Mentions(["person", "horse", "dog", "cat"])).of(word, label)
    assert found == (None if share is None else pytest.approx(share))


def test_without_captions_agreement_is_not_known():
    assert Agreement([], None).of("dog", "dog") is None
