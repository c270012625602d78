"""What is known about a word, as text."""

import math
from types import SimpleNamespace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.text import evidence

NOTHING = pd.DataFrame({"source": [], "number": [], "caption": [], "agrees": []})


def word(**known):
    names = "label verdict fact evidence alarm agreement logprob region_effect object_effect gain_grey gain_other rank"
    return SimpleNamespace(**(dict.fromkeys([*names.split(), "entropy"], math.nan) | known))


@given(st.floats(-20, 0), st.floats(-30, 30))
def test_a_probability_after_covering_is_one(logprob, effect):
    after = evidence.after(logprob, effect)
    assert 0 <= after <= 1
    assert (after <= math.exp(logprob)) == (effect >= 0) or after == pytest.approx(math.exp(logprob))


def test_what_is_not_known_is_left_out():
    assert evidence.facts(word(), NOTHING) == []
    assert evidence.facts(word(agreement=0.5), NOTHING) == [("Agreement", "0.50 of the samples say the same")]


def test_agreement_names_what_was_compared():
    said = pd.DataFrame(
        {"source": ["n-best"] * 2, "number": [2, 3], "caption": ["a cat", "a dog"], "agrees": [False, True]}
    )
    assert ("Agreement", "1 of 2 hypotheses contain the word") in evidence.facts(word(), said)
    assert ("Agreement", "1 of 2 hypotheses name the same object") in evidence.facts(word(label="dog"), said)
    assert evidence.disagreeing(said) == ["a cat (hypothesis 2)"]
