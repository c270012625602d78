import pytest

from engine.lexicon import SYNONYMS, Mentions, names, plural


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


def test_no_word_names_two_categories():
    owners: dict[str, str] = {}
    for label in SYNONYMS:
        for name in names(label):
            assert owners.setdefault(name, label) == label, name
