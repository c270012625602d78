import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.diagnosis.facts import judge
from engine.diagnosis.facts.fact import Omitted
from engine.diagnosis.facts.image import ImageFacts
from engine.diagnosis.facts.reader import mentions_of, reading
from engine.diagnosis.lexicon import split

LABELS = frozenset(["person", "dog", "cat", "car", "bench", "horse", "bicycle", "surfboard", "sheep"])


def image_of(references, labels=(), crowds=(), annotated=True) -> ImageFacts:
    return ImageFacts(labels, crowds, references, mentions_of(LABELS if annotated else frozenset()), annotated)


def verdicts(caption: str, kind: str, image: ImageFacts) -> list[tuple[str, str]]:
    return [(each.verdict, each.evidence) for each in judge.judge(split(caption), image) if each.fact.kind == kind]


def verdict(caption: str, kind: str, *known, **options) -> str:
    return verdicts(caption, kind, image_of(*known, **options))[0][0]


def test_an_object_is_shown_by_boxes_or_by_references():
    image = image_of(["a pet", "a bench"], ["dog", "dog"])
    assert verdicts("a puppy", "object", image) == [("correct", "2 boxes of dog")]
    assert verdicts("a bench", "object", image) == [("correct", "1 of 2 references: bench")]
    assert verdicts("a cat", "object", image) == [("wrong", "no box, and none of 2 references names it")]
    assert verdicts("an animal", "object", image) == [("correct", "2 boxes of dog")]
    assert verdicts("a cat", "object", image_of(["a dog"], (), ["cat"])) == [("correct", "a region of several cat")]


def test_what_is_not_annotated_is_unknown_unless_references_contradict():
    assert verdict("a goat", "object", ["animals in a field"], []) == "unknown"
    assert verdict("a goat", "object", ["two sheep", "sheep"], []) == "wrong"
    assert verdict("a goat", "object", ["two sheep", "an animal"], []) == "unknown"
    assert verdict("a goat and a sheep", "object", ["two sheep", "sheep"], []) == "unknown"
    assert verdict("a cat", "object", ["a dog", "the dog"], annotated=False) == "wrong"
    assert verdict("a cat", "object", ["a dog", "a field"], annotated=False) == "unknown"


def test_a_loose_name_is_no_hallucination():
    assert verdict("a bike", "object", ["a road"], ["car"]) == "unknown"
    assert verdict("a bicycle", "object", ["a road"], ["car"]) == "wrong"


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a red car", "correct"),
        ("a green car", "wrong"),
        ("a maroon car", "unknown"),  # people call it red
        ("a red and green car", "unknown"),  # green may be a part
    ],
)
def test_a_colour_is_compared_with_that_of_the_same_noun(caption, expected):
    references = ["a red car", "a red car and a green bench", "a car"]
    found = [each for each, _ in verdicts(caption, "colour", image_of(references, ["car", "bench"]))]
    assert found[-1] == expected


def test_silence_about_a_colour_contradicts_nothing():
    image = image_of(["a red bench and a car"], ["car", "bench"])
    assert verdicts("a green car", "colour", image) == [("unknown", "no reference names a colour of car")]


def test_another_object_of_the_same_kind_may_have_another_colour():
    references = ["a red car", "the red car"]
    assert verdict("a green car", "colour", references, ["car"]) == "wrong"
    assert verdict("a green car", "colour", references, ["car", "car"]) == "unknown"
    assert verdict("a green car", "colour", references, [], ["car"]) == "unknown"
    assert verdict("a green car", "colour", ["a red car and a blue car"], ["car", "car"]) == "wrong"


def test_colours_that_people_confuse_need_two_references():
    assert verdict("an orange car", "colour", ["a red car", "a car"], ["car"]) == "unknown"
    assert verdict("an orange car", "colour", ["a red car", "the red car"], ["car"]) == "wrong"
    assert verdict("a red dog", "colour", ["a brown dog", "the brown dog"], ["dog"]) == "unknown"  # fur


@pytest.mark.parametrize(
    ("caption", "references", "labels", "expected"),
    [
        ("three dogs", ["two dogs"], ["dog"] * 2, "wrong"),
        ("three dogs", ["two dogs"], ["dog"] * 3, "correct"),
        ("three dogs", ["three dogs"], ["dog"] * 2, "correct"),  # a small one may have no box
        ("two dogs", ["two dogs"], ["dog"] * 5, "correct"),  # the others are in the background
        ("two dogs", ["some dogs"], ["dog"] * 5, "unknown"),
        ("two dogs", ["five dogs"], ["dog"] * 5, "wrong"),
        ("two dogs", ["a dog"], ["dog"], "wrong"),
        ("two dogs", ["dogs"], ["dog"], "unknown"),
        ("two white dogs and a black dog", ["three dogs"], ["dog"] * 3, "correct"),
        ("two dogs", ["three dogs", "three dogs"], [], "wrong"),
    ],
)
def test_a_count_is_wrong_only_if_references_agree_with_the_annotations(caption, references, labels, expected):
    assert verdict(caption, "count", references, labels) == expected


def test_a_region_of_several_objects_has_no_number():
    assert verdict("three dogs", "count", ["a dog"], ["dog"], ["dog"]) == "unknown"


def test_a_says_no_number_unless_all_agree_on_another():
    references = ["two dogs", "two dogs run"]
    assert verdicts("a dog", "count", image_of(references, ["dog"] * 2)) == [
        ("wrong", "2 boxes of dog; 2 of 2 references: 2")
    ]
    assert verdicts("a dog", "count", image_of(references, ["dog"] * 3)) == []
    assert verdicts("a dog", "count", image_of([*references, "a dog"], ["dog"] * 2)) == []
    assert verdicts("a dog and a white dog", "count", image_of(references, ["dog"] * 2)) == []


def test_the_converse_of_a_relation_is_the_same_relation():
    image = image_of(["a bench with a cat on it", "a dog to the left of a car"], ["cat", "bench", "dog", "car"])
    assert verdicts("a cat on a bench", "relation", image) == [("correct", "1 of 2 references: cat on bench")]
    assert verdicts("a cat under a bench", "relation", image) == [("wrong", "1 of 2 references: cat on bench")]
    assert verdicts("a car to the right of a dog", "relation", image)[0][0] == "correct"
    assert verdicts("a car to the left of a dog", "relation", image)[0][0] == "wrong"
    assert verdicts("a cat next to a bench", "relation", image)[0][0] == "unknown"
    assert verdicts("a cat under a car", "relation", image)[0][0] == "unknown"


def test_objects_of_one_kind_are_told_apart_by_colour():
    image = image_of(["a red car to the left of a blue car"], ["car", "car"])
    assert verdict("a blue car to the right of a red car", "relation", ["a red car to the left of a blue car"]) == (
        "correct"
    )
    assert verdicts("a blue car to the left of a red car", "relation", image)[0][0] == "wrong"
    assert verdicts("a car to the left of another car", "relation", image)[0][0] == "correct"


def test_another_subject_may_be_in_another_relation():
    references = ["a cat on a bench"]
    assert verdict("a cat under a bench", "relation", references, ["cat", "cat", "bench"]) == "unknown"


def test_riding_something_else_contradicts():
    references = ["a man riding a horse", "the man rides a horse"]
    assert verdict("a man riding a bicycle", "relation", references, ["person", "horse", "bicycle"]) == "wrong"
    assert verdict("a man riding a bicycle", "relation", references, ["person", "person", "horse"]) == "unknown"


@pytest.mark.parametrize(
    ("caption", "references", "expected"),
    [
        ("a man", ["a woman", "a lady"], "wrong"),
        ("a man", ["a woman"], "unknown"),  # one reference is not agreement
        ("a man", ["a woman", "a lady", "a man"], "correct"),
        ("a man", ["a woman", "a person"], "unknown"),
        ("a man", ["a skier", "a person"], "unknown"),
        ("a man", ["a man and a woman", "a woman"], "correct"),
        ("a boy", ["a man", "a guy", "a man"], "wrong"),
        ("a boy", ["a child", "a kid", "a child"], "unknown"),
        ("a young man", ["a boy", "the boy", "a boy"], "unknown"),
        ("a child", ["a boy", "a girl"], "unknown"),
    ],
)
def test_a_person_is_called_what_references_call_it(caption, references, expected):
    assert verdict(caption, "person", references, ["person"]) == expected


def test_a_person_is_never_wrong():
    assert verdicts("a person", "person", image_of(["a woman", "a lady"], ["person"])) == []


def test_one_of_several_persons_may_be_the_other():
    references = ["a man", "a man"]
    assert verdicts("a man and a woman", "person", image_of(references, ["person"] * 2))[1][0] == "unknown"
    assert verdicts("a man and a woman", "person", image_of(references, ["person"]))[1][0] == "wrong"


def test_places_and_postures():
    references = ["a kitchen with a cat lying on the floor", "a cat lying in a kitchen"]
    image = image_of(references, ["cat"])
    assert verdicts("a cat in a kitchen", "place", image)[0][0] == "correct"
    assert verdicts("a cat in a bathroom", "place", image)[0][0] == "wrong"
    assert verdicts("a cat in a room", "place", image)[0][0] == "unknown"
    assert verdicts("a cat lying down", "posture", image)[0][0] == "correct"
    assert verdicts("a cat running", "posture", image)[0][0] == "wrong"
    assert verdicts("a cat sleeping", "posture", image)[0][0] == "unknown"


def test_most_references_decide_what_is_omitted():
    references = ["two red cars on a street", "two red cars", "a dog on a street"]
    found = judge.omitted(reading(split("a car"), mentions_of(LABELS)), image_of(references, ["car"] * 2))
    assert found == [
        Omitted("colour", "car", "red", "2 of 3 references"),
        Omitted("count", "car", "2", "2 of 3 references"),
        Omitted("place", None, "street", "2 of 3 references"),
    ]
    empty = judge.omitted(reading([], mentions_of(LABELS)), image_of(references, ["car"] * 2))
    assert [(each.kind, each.value) for each in empty] == [("object", "car"), ("place", "street")]


PHRASES = st.sampled_from(
    ["a red car", "two dogs", "a man", "a woman in a blue shirt", "a boy", "an orange cat", "three sheep", "a bench"]
)
LINKS = st.sampled_from(["on", "next to", "with", "and", "to the left of", "riding", "behind", "in front of", "under"])
TEXTS = st.builds(" ".join, st.tuples(PHRASES, LINKS, PHRASES, st.sampled_from(["", "in a field", "is running"])))


@given(st.lists(TEXTS, min_size=1, max_size=5), st.lists(st.sampled_from(sorted(LABELS)), max_size=6), st.booleans())
def test_a_caption_that_is_one_of_the_references_is_never_wrong(texts, labels, annotated):
    image = image_of(texts, labels, annotated=annotated)
    assert all(each.verdict != "wrong" for each in judge.judge(split(texts[0]), image))
