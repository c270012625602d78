import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.diagnosis.lexicon import Mentions, names, parts_of, parts_of_text, plural, split, vocabulary
from engine.diagnosis.object_names import COCO, LOOSE, SYNONYMS, THINGS


@pytest.mark.parametrize(
    ("singular", "several"),
    [
        ("dog", "dogs"),
        ("bus", "buses"),
        ("couch", "couches"),
        ("puppy", "puppies"),
        ("boy", "boys"),
        ("woman", "women"),
        ("sheep", "sheep"),
        ("potted plant", "potted plants"),
        ("box", "boxes"),
        ("mouse", "mice"),
        ("goose", "geese"),
        ("mongoose", "mongooses"),
        ("fireman", "firemen"),
        ("human", "humans"),
        ("bookshelf", "bookshelves"),
        ("knife", "knives"),
        ("loaf", "loaves"),
        ("tooth", "teeth"),
        ("ox", "oxen"),
        ("reindeer", "reindeer"),
        ("gold fish", "gold fish"),
    ],
)
def test_plurals(singular, several):
    assert plural(singular) == several


def test_a_label_is_named_by_itself_its_synonyms_and_their_plurals():
    assert {"couch", "sofa", "sofas"} <= names("couch")
    assert names("zebra") == {"zebra", "zebras"}


def test_words_are_found_whole_and_compounds_hide_their_parts():
    mentions = Mentions(["dog", "person", "dining table", "bear", "hot dog"])
    assert mentions.find("Two men eat hot dogs at a table") == {
        "person": "men",
        "hot dog": "hot dogs",
        "dining table": "table",
    }
    assert Mentions(["dog", "bear"]).find("a hot dog beside a teddy bear") == {}
    assert mentions.find("a doghouse") == {}


def test_a_label_of_the_dataset_goes_before_a_synonym_of_another():
    mentions = Mentions(["car", "person", "rider", "van"])
    assert mentions.find("two riders and a man beside a van and a taxi") == {
        **{"rider": "riders", "person": "man", "van": "van", "car": "taxi"},
    }


def test_a_possessive_and_an_irregular_plural_name_what_they_are_of():
    mentions = Mentions(["dog", "mouse", "person"])
    assert mentions.find("a dog's toy") == {"dog": "dog"}
    assert mentions.find("the dogs’ toy") == {"dog": "dogs"}
    assert mentions.find("two mice and a woman’s hat") == {"mouse": "mice", "person": "woman"}
    assert mentions.spans(["the", "dog's", "toy"]) == [(1, 2, "dog")]


@pytest.mark.parametrize("label", ["traffic light", "traffic_light", "Traffic-Light", "TRAFFIC LIGHT"])
def test_how_a_label_is_written_does_not_matter(label):
    mentions = Mentions([label])
    assert mentions.find("Two traffic-lights") == {label: "traffic lights"}
    assert mentions.find("a stoplight") == {label: "stoplight"}
    assert mentions.spans(["a", "Traffic", "light", "."]) == [(1, 3, label)]
    assert mentions.spans(["a", "traffic-light"]) == [(1, 2, label)]
    assert mentions.spans(["a", "traffic", "-", "light"]) == [(1, 4, label)]
    assert mentions.spans(["traffic", ".", "light"]) == []


def test_a_hyphenated_label_is_found_in_a_sentence():
    assert Mentions(["t-shirt"]).find("a man in a T-shirt") == {"t-shirt": "t shirt"}
    assert Mentions(["Person"]).find("a Man in a t-shirt") == {"Person": "man"}


def test_no_word_names_two_categories():
    owners: dict[str, str] = {}
    for label in SYNONYMS:
        for name in names(label):
            assert owners.setdefault(name, label) == label, name


EVERY = Mentions(COCO)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("a baby bird", ["bird"]),
        ("a mother giraffe", ["giraffe"]),
        ("a motor bike", ["motorcycle"]),
        ("hot, dog tired", ["dog"]),
        ("a hot dog", ["hot dog"]),
        ("a couple of buckets", []),
        ("a couple on a bench", ["person", "bench"]),
        ("a glass cabinet", []),
        ("a shower with glass walls", []),
        ("a man wearing glasses", ["person"]),
        ("two glasses of wine", ["wine glass"]),
        ("a skateboarder's board", ["person", "skateboard"]),
        ("a snowboarder with a board", ["person", "snowboard"]),
        ("a surfer with a board", ["person", "surfboard"]),
        ("a cutting board", []),
        ("a desk and a stove", ["dining table", "oven"]),
        ("a bicyclist, a chef and a passenger", ["person"]),
        ("a seat", ["chair"]),
        ("a passenger train", ["train"]),
        ("a goat", []),
        ("a dog house", []),
        ("a tennis player", ["person"]),
        ("a pizza box", []),
        ("an orange cat", ["cat"]),
        ("an orange and white cat", ["cat"]),
        ("an orange on a table", ["orange", "dining table"]),
        ("a boat sails past", ["boat"]),
        ("a plant in a pot", ["potted plant"]),
        ("a jet of water", []),
        ("a fire truck", ["truck"]),
    ],
)
def test_neighbours_decide_what_a_word_names(text, labels):
    assert list(EVERY.find(text)) == labels


def test_a_bare_board_is_a_surfboard_where_that_is_the_only_board():
    assert Mentions(["surfboard", "kite"]).find("a red board") == {"surfboard": "board"}
    assert EVERY.find("a red board") == {}


def test_nouns_without_a_label_are_known():
    nouns = EVERY.nouns(["a", "goat", "and", "two", "t", "shirts"])
    assert [(noun.label, noun.is_label, noun.is_plural) for noun in nouns] == [
        ("goat", False, False),
        ("shirt", False, True),
    ]


def test_a_name_that_fits_other_labels_says_so():
    assert [noun.also for noun in EVERY.nouns(["a", "bike", "a", "bicycle"])] == [("motorcycle",), None]
    assert Mentions(["bike"]).nouns(["a", "bike"])[0].also is None  # the dataset's own label


def test_parts_know_punctuation_and_possessives():
    assert parts_of(["T-shirt", "dog's", "-", "hot,"]) == (["t", "shirt", "dog", "'s", "hot", ""], [0, 0, 1, 1, 3, 3])
    assert parts_of(["dog", "'s", "toy"])[0] == ["dog", "'s", "toy"]
    assert split("A dog's toy, well-used.") == ["A", "dog's", "toy", ",", "well", "used", "."]


def test_a_split_with_half_of_the_labels_of_coco_is_annotated_with_all():
    labels = sorted(COCO)
    assert vocabulary(labels[:40]) == COCO
    assert vocabulary(labels[:39]) == set(labels[:39])
    assert vocabulary([*labels[:60], "helmet"]) == {*labels[:60], "helmet"}
    assert vocabulary([label.upper() for label in labels]) == {label.upper() for label in labels}
    assert vocabulary([]) == frozenset()


def test_every_loose_name_is_a_name_and_fits_known_labels():
    known = {name for label, further in (SYNONYMS | THINGS).items() for name in (label, *further)}
    assert not LOOSE.keys() - known
    assert all(label in COCO for also in LOOSE.values() for label in also)


@given(st.text(max_size=40))
def test_a_text_has_the_parts_of_its_words(text):
    assert parts_of_text(text.lower()) == parts_of(split(text.lower()))[0]
