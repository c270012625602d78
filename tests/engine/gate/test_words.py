from engine.gate import words
from engine.gate.words import WordChange

REFERENCES = [["a red dog runs"], ["two cats on a couch"], []]
OLD = ["a red dog", "two cats", "a bird"]
NEW = ["a blue dog", "two dogs", "a plane"]


def test_lost_words_are_those_of_references_and_wrong_words_are_not():
    assert words.lost(OLD, NEW, REFERENCES) == [WordChange("cats", 1, 0), WordChange("red", 1, 0)]
    assert words.gained(OLD, NEW, REFERENCES) == [WordChange("blue", 1, 0), WordChange("dogs", 1, 0)]


def test_a_word_that_is_regained_as_often_is_not_lost():
    references, old, new = [["a dog"], ["a dog"]], ["a dog", "a cat"], ["a cat", "a dog"]
    assert words.lost(old, new, references) == [] and words.gained(old, new, references) == []


def test_case_punctuation_and_articles_do_not_count():
    assert words.lost(["A Dog, the."], ["dog"], [["the dog"]]) == []
