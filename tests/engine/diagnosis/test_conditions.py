import numpy as np

from engine.data.dataset import Box
from engine.diagnosis.conditions import Conditions, ImageFacts, conditions_of


def rows_of(found: Conditions, name: str) -> list[int]:
    return np.flatnonzero(found.members[:, found.names.index(name)]).tolist()


def test_an_image_meets_the_conditions_that_its_annotations_state():
    cup, person = Box("cup", 0, 40, 10, 10), Box("person", 70, 35, 20, 30)
    every = [
        ImageFacts(["a man with a red cup"], [cup, person, person], 100, 100, 0.1, 0.2, ("night",)),
        ImageFacts(["two cups"], [cup, cup], 100, 100, 0.5, 0.2),
        ImageFacts(["a street"], [], 50, 100, 0.9, 0.2),
    ]
    found = conditions_of(every, least=1)
    assert found.names[0] == "night" and found.own == 1
    assert rows_of(found, "night") == [0] and "shows person" not in found.names  # the same images: one name is kept
    assert rows_of(found, "shows cup") == [0, 1]
    assert rows_of(found, "at least 2 x cup") == [1]
    assert rows_of(found, "no annotated object") == [2]
    assert "references say night" not in found.names


def test_places_brightness_words_and_kinds_of_facts_are_conditions():
    left, right = Box("cup", 0, 40, 10, 10), Box("cup", 90, 40, 10, 10)
    every = [
        ImageFacts(["a green cup of tea"], [left if row % 2 else right], 100, 100, row / 40, 0.1) for row in range(40)
    ]
    every += [ImageFacts(["two dogs run fast", "dogs"], [left, left], 100, 100, 0.5, 0.1) for _ in range(10)]
    found = conditions_of(every)
    assert rows_of(found, "main object at the right") == list(range(0, 40, 2))
    assert rows_of(found, "brightness at most 0.245") == list(range(10))
    assert rows_of(found, "at least 2 objects") == list(range(40, 50))
    assert "references say of" not in found.names and "references say a" not in found.names


def test_conditions_of_too_few_or_nearly_all_images_are_left_out():
    every = [ImageFacts(["a dog"], conditions=("rare",) if row < 3 else ()) for row in range(40)]
    assert conditions_of(every).names == ()
    assert conditions_of([]).members.shape == (0, 0)


def test_references_that_say_the_same_agree():
    alike, different = ["a dog runs", "a dog runs"], ["a dog runs", "two cats sleep"]
    every = [ImageFacts(alike if row < 10 else different) for row in range(50)]
    found = conditions_of(every)
    # All images with the same references have the same conditions: one name is left for each of the two groups.
    assert sorted(map(len, (rows_of(found, name) for name in found.names))) == [10, 40]
