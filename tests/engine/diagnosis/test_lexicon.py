import pytest

from engine.diagnosis.lexicon import SYNONYMS, Mentions, names, plural


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
