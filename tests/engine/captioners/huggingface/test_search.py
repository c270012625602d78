"""Every family against its own `generate()`: the same tokens and scores of all hypotheses at every beam size."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from engine.captioners.huggingface import explainer
from engine.captioners.huggingface.pipeline import HuggingFaceCaptioner
from engine.config import DecodingConfig
from tests.support import tiny_transformers
from tests.support.generate_peer import assert_equal, choose_ends, generated, searched

LENGTH = 8
SIZES = (1, 3, 4, 5, 6, 7, 8, 9, 10, 15, 100)
FAMILIES = list(tiny_transformers.FAMILIES)


@pytest.fixture(scope="module")
def captioners(folders) -> Callable[[str], HuggingFaceCaptioner]:
    """Captioners whose captions end early and late, at one to three end tokens."""
    made: dict[str, HuggingFaceCaptioner] = {}

    def captioner(name: str) -> HuggingFaceCaptioner:
        if name not in made:
            made[name] = explainer.load(f"hf:{folders(name)}")
            choose_ends(
                made[name], LENGTH, 1 if name == "blip" else 1 + FAMILIES.index(name) % 3
            )  # BLIP can have only one
        return made[name]

    return captioner


@pytest.mark.parametrize("name", FAMILIES)
def test_every_hypothesis_of_a_sweep_equals_that_of_generate(captioners, name):
    captioner = captioners(name)
    config = DecodingConfig(beam_sizes=SIZES, max_length=LENGTH, n_best=3)
    found = searched(captioner, config)
    for size in SIZES:
        assert_equal(found[size], generated(captioner, size, config), (name, size))


@pytest.mark.parametrize("name", FAMILIES)
def test_length_penalties_early_stopping_and_whole_n_best_lists_equal_generate(captioners, name):
    captioner = captioners(name)
    base = DecodingConfig(beam_sizes=(1, 4), max_length=LENGTH, n_best=4)
    for penalty, early in ((0.0, True), (0.7, False), (2.0, True)):
        config = replace(base, length_penalty=penalty, early_stopping=early)
        found = searched(captioner, config)
        for size in config.beam_sizes:
            assert_equal(found[size], generated(captioner, size, config), (name, size, penalty, early))


@pytest.mark.parametrize("name", FAMILIES)
def test_repetition_constraints_of_the_command_equal_those_of_generate(captioners, name):
    captioner = captioners(name)
    plain = DecodingConfig(beam_sizes=(1, 4), max_length=LENGTH, n_best=2)
    for penalty, size in ((1.5, 0), (0.8, 2), (1.0, 1)):
        config = replace(plain, repetition_penalty=penalty, no_repeat_ngram=size)
        found = searched(captioner, config)
        settings = {"repetition_penalty": penalty} | ({"no_repeat_ngram_size": size} if size else {})
        for beams in config.beam_sizes:
            expected = generated(captioner, beams, plain, **settings)
            assert_equal(found[beams], expected, (name, beams, penalty, size))
