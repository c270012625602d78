"""The judge against what is known: references are right, and a swapped word is wrong."""

from random import Random

import pytest

from engine.demo import judge
from engine.demo.language import swap
from engine.demo.scenes import Group, Scene, Thing, compose, describe


def scene(*groups: Group, place: str = "beach") -> Scene:
    things = [
        Thing(group.kind, group.role, group.colour, group.pose, 50, 200, 60, False, 1, number, True)
        for number, group in enumerate(groups)
        for _ in range(group.count)
    ]
    return Scene(1, place, "day", 100, 120, groups, "next to", len(groups) > 1, False, tuple(things), ())


MAN = Group("person", "man", "red", "standing", 1)
DOGS = Group("dog", "", "brown", "sitting", 2)


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a man in a red shirt stands next to two brown dogs on the beach.", []),
        ("a person with two dogs.", []),
        ("a woman on the sand.", [("gender", "woman")]),
        ("a man and a cat.", [("noun", "cat")]),
        ("three dogs on the beach.", [("count", "three dogs")]),
        ("a dog on the beach.", [("count", "a dog")]),
        ("two black dogs.", [("colour", "black dogs")]),
        ("a man in a blue shirt.", [("colour", "blue man")]),
        ("a man dressed in blue.", [("colour", "blue man")]),
        ("a man in the snow.", [("place", "snow")]),
        ("two dogs eating grass.", []),
        ("", []),
    ],
)
def test_each_aspect_has_its_mistake(caption, expected):
    found = judge.mistakes(scene(MAN, DOGS), caption)
    assert [(mistake.aspect, mistake.words) for mistake in found] == expected


def test_references_of_the_world_are_right():
    told = [(seed, text) for seed in range(5_000_000, 5_000_300) for text in describe(compose(seed), seed)]
    wrong = [(seed, text, found) for seed, text in told if (found := judge.mistakes(compose(seed), text))]
    assert len(wrong) <= 0.005 * len(told), wrong[:5]


@pytest.mark.parametrize(("what", "least"), [("noun", 0.95), ("colour", 0.9), ("count", 0.85)])
def test_a_swapped_word_is_found(what, least):
    found = tried = 0
    for seed in range(5_000_000, 5_000_300):
        for text in describe(compose(seed), seed):
            changed = swap(text, what, Random(seed))
            if changed is not None:
                tried += 1
                found += bool(judge.mistakes(compose(seed), changed))
    assert tried > 200
    assert found >= least * tried, (found, tried)
