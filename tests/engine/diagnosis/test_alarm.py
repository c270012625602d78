"""The alarm on made-up signals whose truth is known."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from engine.diagnosis import alarm

NAMES = ("agreement", "gain")


def words(count: int = 4_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Signals float64[N, 2], whether each word is wrong, drawn with the probability that is returned third."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(count, 2)) * [1.0, 3.0] + [0.5, 2.0]
    probability = expit(-2.0 - 1.5 * (values[:, 0] - 0.5) + 0.1 * (values[:, 1] - 2))
    return values, random.random(count) < probability, probability


def test_the_fit_finds_the_probabilities_that_the_words_were_drawn_with():
    values, wrong, probability = words()
    found = alarm.fit(NAMES, values, wrong).probability(values)
    assert np.abs(found - probability).mean() < 0.02
    assert found.mean() == pytest.approx(wrong.mean(), abs=1e-3)  # the bias has no penalty


def test_the_fit_is_that_of_scipy_on_the_same_loss():
    values, wrong, _ = words(300)
    found = alarm.fit(NAMES, values, wrong)
    z = (np.clip(values, found.low, found.high) - found.mean) / found.scale

    def loss(weights):
        margins = np.where(wrong, 1, -1) * (z @ weights[1:] + weights[0])
        return np.logaddexp(0, -margins).sum() + 0.5 * (weights[1:] ** 2).sum()

    own = np.array([found.bias, *found.weights])
    steps = np.random.default_rng(0).normal(size=(200, 3)) * 0.01
    assert all(loss(own) <= loss(own + step) + 1e-9 for step in steps)


def test_words_are_judged_by_a_fit_that_has_not_seen_their_image():
    values, wrong, _ = words(500)
    folds = np.arange(500) % alarm.FOLDS
    first = alarm.cross_fitted(NAMES, values, wrong, folds)
    changed = wrong.copy()
    changed[folds == 2] = ~changed[folds == 2]
    second = alarm.cross_fitted(NAMES, values, changed, folds)
    assert first[2].weights.tolist() == second[2].weights.tolist()
    assert first[1].weights.tolist() != second[1].weights.tolist()


def test_an_outlier_does_not_decide():
    values, wrong, _ = words(500)
    far = values.copy()
    far[0] = 1e9
    assert alarm.fit(NAMES, far, wrong).probability(values) == pytest.approx(
        alarm.fit(NAMES, values, wrong).probability(values), abs=0.02
    )


def test_the_alarm_survives_json():
    values, wrong, _ = words(200)
    found = alarm.fit(NAMES, values, wrong)
    again = alarm.from_json(json.loads(json.dumps(found.as_json())))
    assert again.probability(values).tolist() == found.probability(values).tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"signals": "agreement"}, "'signals'"),
        ({"weights": [1.0]}, "'weights', a list of 2 numbers"),
        ({"scale": [1.0, float("nan")]}, "'scale'"),
        ({"bias": None}, "'bias'"),
    ],
)
def test_damaged_coefficients_are_refused(change, message):
    values, wrong, _ = words(200)
    with pytest.raises(ValueError, match=message):
        alarm.from_json(alarm.fit(NAMES, values, wrong).as_json() | change)


def test_a_fit_needs_both_kinds_of_words():
    values, wrong, _ = words(50)
    with pytest.raises(ValueError, match="both right and wrong"):
        alarm.fit(NAMES, values, np.zeros_like(wrong))
    assert alarm.cross_fitted(NAMES, values, np.zeros_like(wrong), np.arange(50) % alarm.FOLDS) == {}


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=30))
def test_the_auroc_is_the_share_of_ordered_pairs(pairs):
    values, wrong = np.array([value for value, _ in pairs], float), np.array([each for _, each in pairs])
    found = alarm.auroc(values, wrong)
    both = [(a > b) + (a == b) / 2 for a in values[wrong] for b in values[~wrong]]
    assert math.isnan(found) if not both else found == pytest.approx(np.mean(both))
