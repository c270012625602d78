import os
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.diagnosis.object_names import COCO
from engine.diagnosis.tags import Case, Tag, repeated_phrase
from engine.evaluation.nbest import ranking_errors
from engine.store import tables
from engine.store.schema import TAGS
from tests.conftest import ROOT
from tests.support.tagging import tag_settings


def tag_all(cases: list[Case]) -> list[list[Tag]]:
    """The tags of one setting."""
    return tag_settings({0: cases})[0]


def case(caption: str, references=(), labels=(), finished=True) -> Case:
    return Case(caption, caption.replace(".", " .").split(), finished, references, labels)


def tags_of(*cases: Case) -> list[str]:
    return [tag.tag for tag in tag_all(cases)[0]]


def test_a_good_caption_has_no_tag():
    assert tag_all([case("a dog runs on the beach.", ["a dog at the sea"], ["dog"])]) == [[]]


def test_an_empty_and_an_unfinished_caption_say_so():
    assert tag_all([case("")]) == [[Tag("empty", "no words")]]
    assert tag_all([case("...")]) == [[Tag("empty", "no words")]]
    assert tag_all([case("a dog and .", finished=False)]) == [[Tag("unfinished", "no end after 3 words")]]
    assert tags_of(case("a dog and", finished=None)) == []


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("a man in a man in a man", "a man in"),
        ("a red car next to a red car", None),
        ("in a field in a field", "in a field"),
        ("the cat and the cat and the cat", "the cat and"),
        ("a dog", None),
    ],
)
def test_a_phrase_that_follows_itself_is_repetition(text, phrase):
    assert repeated_phrase(text.split()) == phrase


@given(st.lists(st.sampled_from(["a", "man", "in", ",", "."]), max_size=20))
def test_the_first_longest_repetition_is_reported(words):
    def is_repeated(phrase: list[str], at: int) -> bool:
        stands = [words[other : other + len(phrase)] for other in range(len(words) - len(phrase) + 1)]
        return words[at + len(phrase) : at + 2 * len(phrase)] == phrase or stands.count(phrase) >= 3

    told = [
        " ".join(words[at : at + length])
        for length in range(len(words) // 2, 1, -1)
        for at in range(len(words) - length + 1)
        if is_repeated(words[at : at + length], at) and any(word.isalpha() for word in words[at : at + length])
    ]
    assert repeated_phrase(words) == next(iter(told), None)


def test_a_caption_of_200_000_words_is_tagged_in_under_2_seconds():
    for words in (["dog"] * 200_000, [str(at % 500) for at in range(200_000)], [f"a{at}" for at in range(200_000)]):
        caption = Case(" ".join(words), words, True, ["a cat", "a cat"], ["cat"])
        start = time.process_time()
        found = [tag.tag for tag in tag_all([caption])[0]]
        assert time.process_time() - start < 2
        assert ("repetition" in found) == (words[0] == "dog") and "omitted object" in found


def test_a_phrase_is_searched_in_the_first_1_000_words():
    once = [f"a{at}" for at in range(998)]
    assert repeated_phrase([*once[:996], "in", "a", "in", "a"]) == "in a"
    assert repeated_phrase([*once, "in", "a", "in", "a"]) is None


def test_a_caption_under_many_images_is_generic():
    same = [case("a man stands.") for _ in range(3)]
    found = tag_all([*same, case("a dog runs.")])
    assert found[0] == [Tag("generic", "said of 3 images")]
    assert found[3] == []


def test_an_object_that_neither_boxes_nor_references_know_is_invented():
    split = [case("a cat on a sofa", ["a pet at home"], ["couch", "dog"]), case("x", (), ["cat"])]
    assert tag_all(split)[0] == [Tag("hallucinated object", "cat")]
    told = case("a cat on a sofa", ["the cat rests"], ["couch"])
    assert tags_of(told, split[1]) == []


def test_an_image_without_boxes_in_an_annotated_split_shows_none_of_the_objects():
    split = [case("a black dog runs", ["a street sign", "a sign"]), case("x", (), ["dog", "person"])]
    assert tag_all(split)[0] == [Tag("hallucinated object", "dog")]
    assert tags_of(case("a sign", ["a man holds a sign"]), split[1]) == ["omitted object"]
    assert tags_of(case("a black dog runs"), split[1]) == []  # the image has no annotations


def test_evidence_names_the_word_and_its_category():
    split = [case("two puppies play", ["a field"], ["person"]), case("x", (), ["dog"])]
    assert tag_all(split)[0][0] == Tag("hallucinated object", "puppies (dog)")


def test_evidence_has_no_punctuation_of_the_word():
    caption = Case("a cat's toy.", ["a", "cat's", "toy."], True, ["a dog"], ["dog"])
    split = [caption, case("x", (), ["cat"])]
    assert tag_all(split)[0][0] == Tag("hallucinated object", "cat")


def test_an_object_most_references_name_is_missed():
    references = ["a man rides a horse", "a horse with a rider", "a field"]
    found = tag_all([case("a person outside", references, ["person", "horse"])])[0]
    assert found == [Tag("omitted object", "horse, in 2 of 3 references")]


def test_missed_objects_stand_in_the_order_of_the_references_whatever_the_hash_seed():
    code = (
        "from engine.diagnosis.tags import Case; from tests.support.tagging import tag_settings; "
        "text = 'a dog, a cat, a horse, a bus and a kite'; "
        "case = Case('x', ['x'], True, [text], ['kite', 'bus', 'dog', 'horse', 'cat']); "
        "print([tag.evidence.split(',')[0] for tag in tag_settings({0: [case]})[0][0]])"
    )
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        found = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        assert found.stdout.strip() == "['dog', 'cat', 'horse', 'bus', 'kite']"


def test_a_split_without_annotations_has_no_object_tags():
    assert tags_of(case("a cat", ["a dog", "a dog"])) == []


def test_every_tag_that_is_given_is_defined_and_the_other_way_round():
    split = [
        case(""),
        case("a dog and", finished=False),
        case("a man in a man in a man"),
        *[case("a cat", ["a dog", "the dog"], ["dog", "cup"]) for _ in range(3)],
        case("x", (), ["cat"]),
        case("three red cars", ["two blue cars"], ["car", "car"]),
        case("a man under a bench", ["a woman on a bench", "a lady on a bench"], ["person", "bench"]),
    ]
    given = {tag.tag for tags in tag_all(split) for tag in tags}
    given |= {tag.tag for tag in ranking_errors(tables.table_of("hypotheses", PASSED, ["cider"])).values()}
    # The last one needs the model, see tests/engine/evaluation/test_words_run.py.
    assert given == set(TAGS) - {"right for the wrong reason"}


@pytest.mark.parametrize(
    ("caption", "references", "tag"),
    [
        ("a red car", ["a blue car"], Tag("wrong colour", "red car: 1 of 1 references: blue")),
        ("two cars", ["a car"], Tag("wrong count", "two cars: 1 box of car; no reference states a number")),
        (
            "a dog under a car",
            ["a dog on a car"],
            Tag("wrong relation", "under a car: 1 of 1 references: dog on car"),
        ),
        ("a man", ["a woman", "a lady"], Tag("wrong person", "man: 2 of 2 references: woman, none: man")),
    ],
)
def test_what_contradicts_the_references_has_a_tag_with_its_evidence(caption, references, tag):
    assert tag in tag_all([case(caption, references, ["car", "dog", "person"])])[0]
    assert tag_all([case(references[0], references, ["car", "dog", "person"])]) == [[]]


def test_a_neutral_word_for_a_person_prevents_the_tag():
    labels = ["person"]
    assert tags_of(case("a man", ["a woman", "a lady", "a person"], labels)) == []
    assert tags_of(case("a man", ["a woman", "a lady", "a woman"], labels)) == ["wrong person"]
    assert tags_of(case("a person", ["a woman", "a lady"], labels)) == []


def test_references_alone_are_enough_for_a_colour_and_a_person():
    assert tags_of(case("a red car", ["a blue car", "the blue car"])) == ["wrong colour"]
    assert tags_of(case("a man", ["a woman", "a lady"])) == ["wrong person"]


def test_a_region_of_several_objects_shows_the_object_but_no_number():
    crowd = Case("three dogs", ["three", "dogs"], True, ["a dog"], [], ["dog"])
    assert tags_of(crowd) == []


def test_a_goat_that_references_call_sheep_is_tagged_with_what_they_say():
    split = [case("a goat", ["two sheep", "some sheep"], ["sheep"])]
    assert tag_all(split)[0][0] == Tag("hallucinated object", "goat: 2 of 2 references: sheep, none: goat")
    assert tags_of(case("a goat", ["a field"], ["sheep"])) == []


def test_an_object_whose_label_never_occurs_can_be_hallucinated_in_a_split_like_coco():
    labels = sorted(COCO - {"zebra"})
    known = [case("x", (), labels)]
    assert tag_all([case("a zebra", ["a horse"], ["horse"]), *known])[0][0] == Tag("hallucinated object", "zebra")
    assert tags_of(case("a zebra", ["a meadow"], ["horse"]), case("x", (), labels[:20])) == []


PASSED = [{"image_id": "a", "beam_size": 5, "rank": rank, "caption": "x", "cider": rank / 2.0} for rank in (1, 2)]


_SAID = st.sampled_from(["a dog", "a cat on a car", "two dogs", ""])


@given(st.lists(st.tuples(_SAID, _SAID, _SAID), min_size=1))
def test_several_settings_have_the_tags_that_each_has_alone(captions):
    shown = [(["a dog runs", "a dog and a car"], ["dog"]), (["a cat"], ["cat", "car"]), ([], [])]
    settings = {
        number: [Case(text, text.split(), True, *known) for text, known in zip(row, shown, strict=True)]
        for number, row in enumerate(captions)
    }
    assert tag_settings(settings) == {key: tag_all(cases) for key, cases in settings.items()}
