"""Methods ranked by what causes a word."""

import numpy as np
import pytest

from engine.captioners.native.pipeline import NativeCaptioner
from engine.demo import causes
from engine.demo.causes import COVERED, WITHOUT, Effect, effects, ranked
from engine.demo.world import CATEGORIES, FIRST_SEED
from engine.diagnosis.lexicon import Mentions
from tests.conftest import ROOT


def made_up(claims: dict[str, float], change: float, seed: int) -> Effect:
    return Effect(seed, "dog", "cat", change, claims)


def test_a_method_that_claims_the_true_order_has_correlation_one():
    changes = np.random.default_rng(0).random(40)
    found = [
        made_up({"right": change**3, "reverse": -change, "noise": float(at % 7)}, change, at // 4)
        for at, change in enumerate(changes)
    ]
    first, second, third = ranked(found)
    assert (first.method, first.correlation, first.low) == ("right", pytest.approx(1), pytest.approx(1))
    assert second.method == "noise"
    assert second.low < second.correlation < second.high
    assert (third.method, third.correlation) == ("reverse", pytest.approx(-1))


def test_removing_the_object_of_a_noun_changes_it_most():
    captioner = NativeCaptioner.load(ROOT / "engine" / "demo" / "captioner")
    seed = FIRST_SEED["test"]
    found: list[Effect] = []
    while len(found) < 30:
        found += effects(captioner, seed, ["attention"])
        seed += 1
    assert all(set(each.claims) == {"attention", COVERED, WITHOUT} for each in found)
    assert all(0 <= each.claims["attention"] <= 1 + 1e-6 for each in found)
    named = [set(Mentions(CATEGORIES).find(each.word)) for each in found]
    own = [each.change for each, labels in zip(found, named, strict=True) if each.removed in labels]
    others = [each.change for each, labels in zip(found, named, strict=True) if each.removed not in labels]
    assert np.mean(own) > np.mean(others) + 0.3


@pytest.mark.parametrize("text", ["0", "-3"])
def test_a_number_of_scenes_that_is_not_above_0_is_one_sentence(text):
    with pytest.raises(SystemExit, match=f"error: --scenes {text}: expected a number above 0"):
        causes.main(["--scenes", text])
