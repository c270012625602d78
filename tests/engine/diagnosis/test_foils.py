"""Captions with one wrong word: the share that facts catch, and false alarms on correct captions.

The seeds were not used while the reader was written.
"""

from functools import cache

import pytest

from engine.demo.scenes import compose, describe
from engine.demo.world import CATEGORIES
from engine.diagnosis.facts.image import ImageFacts
from engine.diagnosis.facts.judge import judge
from engine.diagnosis.facts.reader import mentions_of
from engine.diagnosis.lexicon import split
from tests.support.foils import foils, scene_labels

SEEDS = range(9_700_000, 9_701_000)
LEAST = {"noun": 0.97, "colour": 0.95, "count": 0.95, "relation": 0.90}
FEWEST = 400
"""Foils per kind, so that a rate means something."""


@cache
def vocabulary_mentions():
    return mentions_of(frozenset(CATEGORIES))


def is_caught(caption: str, references: list[str], labels: list[str]) -> bool:
    image = ImageFacts(labels, (), references, vocabulary_mentions(), True)
    return any(each.verdict == "wrong" for each in judge(split(caption), image))


@pytest.mark.parametrize("kind", LEAST)
def test_one_wrong_word_is_caught(kind):
    caught = [is_caught(foil, references, scene_labels(scene)) for scene, references, _, foil in foils(kind, SEEDS)]
    assert len(caught) >= FEWEST
    assert sum(caught) / len(caught) >= LEAST[kind]


def test_references_judged_by_annotations_and_the_other_references_give_no_false_alarm():
    alarms = 0
    for seed in SEEDS:
        scene = compose(seed)
        references = describe(scene, seed)
        for number, caption in enumerate(references):
            others = references[:number] + references[number + 1 :]
            alarms += is_caught(caption, others, scene_labels(scene))
    assert alarms / (5 * len(SEEDS)) <= 0.01
