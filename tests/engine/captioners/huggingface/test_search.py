"""Every family against its own `generate()`: the same tokens and scores of all hypotheses at every beam size."""

from collections.abc import Callable

import pytest

from engine.captioners.huggingface import explainer
from engine.captioners.huggingface.pipeline import HuggingFaceCaptioner
from engine.config import DecodingConfig
from tests.support import tiny_transformers
from tests.support.generate_peer import assert_equal, choose_ends, generated, searched

LENGTH = 7
SIZES = (1, 3, 4, 5, 6, 7, 8, 9, 10, 15, 100)
FAMILIES = list(tiny_transformers.FAMILIES)


@pytest.fixture(scope="module")
def ending(folders) -> Callable[[str], HuggingFaceCaptioner]:
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
def test_every_hypothesis_of_a_sweep_equals_that_of_generate(ending, name):
    captioner = ending(name)
    config = DecodingConfig(beam_sizes=SIZES, max_length=LENGTH, n_best=3)
    found = searched(captioner, config)
    for size in SIZES:
        assert_equal(found[size], generated(captioner, size, config), (name, size))


CHANGES = [
    {"length_penalty": 0.0, "early_stopping": True, "repetition_penalty": 1.5},
    {"length_penalty": 0.7, "repetition_penalty": 0.8, "no_repeat_ngram": 2},
    {"length_penalty": 2.0, "early_stopping": True, "no_repeat_ngram": 1},
]


@pytest.mark.parametrize("name", FAMILIES)
def test_penalties_early_stopping_constraints_and_whole_n_best_lists_equal_generate(ending, name):
    captioner = ending(name)
    for change in CHANGES:
        config = DecodingConfig(beam_sizes=(1, 4), max_length=LENGTH, n_best=4, **change)
        found = searched(captioner, config)
        settings = {"repetition_penalty": config.repetition_penalty, "no_repeat_ngram_size": config.no_repeat_ngram}
        for size in config.beam_sizes:
            assert_equal(found[size], generated(captioner, size, config, **settings), (name, size, change))
