"""Certificates of made-up measurements."""

import pytest

from engine.explain.certificate import BASE, RANDOM, NounMeasure, certify, recommended


def rows(hits: list[bool], deletion: float, insertion: float, chance: float = 0.1) -> list[NounMeasure]:
    return [
        NounMeasure(f"image {at // 2}", hit, chance, deletion + 0.001 * (at % 3), insertion, 0.25)
        for at, hit in enumerate(hits)
    ]


def measured(**changes):
    found = {
        RANDOM: rows([at % 10 == 0 for at in range(60)], 0.35, 0.35),
        BASE: rows([at % 10 != 0 for at in range(60)], 0.2, 0.4),
    }
    return found | changes


def test_a_method_that_points_and_is_faithful_is_certified():
    random, base = certify(measured())
    assert not random.is_certified
    assert base.is_certified
    assert base.hit.value == pytest.approx(0.9)
    assert base.hit.low < 0.9 < base.hit.high
    assert (base.nouns, base.images, base.chance, base.seconds) == (60, 30, pytest.approx(0.1), 0.25)
    assert base.hit_over_base is None


def test_a_method_that_points_by_chance_is_refused():
    by_chance = rows([at % 10 == 3 for at in range(60)], 0.2, 0.4)
    assert not certify(measured(gradient=by_chance))[2].is_certified


def test_a_method_that_is_no_more_faithful_than_a_random_order_is_refused():
    unfaithful = rows([True] * 60, 0.35, 0.35)
    assert not certify(measured(gradient=unfaithful))[2].is_certified


def test_differences_from_attention_are_paired():
    better = rows([at % 10 != 0 for at in range(60)], 0.15, 0.45)
    found = certify(measured(guided=better))[2]
    assert found.hit_over_base is not None
    assert (found.hit_over_base.low, found.hit_over_base.high) == (0, 0)
    assert found.deletion_over_base.value == pytest.approx(-0.05)
    assert found.insertion_over_base.low == pytest.approx(0.05)


def test_the_recommended_method_is_the_best_certified_one():
    better = rows([at % 10 != 0 for at in range(60)], 0.15, 0.45)
    assert recommended(certify(measured(guided=better))).method == "guided"
    nothing = {name: measured()[RANDOM] for name in (RANDOM, BASE)}
    assert recommended(certify(nothing)) is None


def test_methods_must_be_measured_on_the_same_nouns():
    with pytest.raises(ValueError, match="different nouns"):
        certify(measured(gradient=rows([True] * 10, 0.2, 0.4)))
    with pytest.raises(ValueError, match="'attention'"):
        certify({RANDOM: measured()[RANDOM]})
