"""Captions word by word."""

from collections import Counter

from hypothesis import given
from hypothesis.strategies import text

from dashboard.text import word_diff
from dashboard.theme import DARK, LIGHT


def test_words_are_heard_as_metrics_hear_them():
    assert word_diff.tokens("Dog's,") == ["dog", "'s"]
    assert word_diff.tokens("(DON'T!)") == ["do", "n't"]
    assert word_diff.tokens("t-shirt.") == ["t-shirt"] and word_diff.tokens("--") == []


def test_a_word_counts_as_often_as_one_reference_has_it():
    marked = word_diff.candidate("A dog and a dog - again", ["a dog runs.", "The dog, and a cat"])
    said = [mark == word_diff.MATCHED for _, mark in marked]
    assert [word for word, _ in marked] == ["A", "dog", "and", "a", "dog", "-", "again"]
    assert said == [True, True, True, False, False, False, False]
    assert marked[5][1] == "" and marked[6][1] == word_diff.UNMATCHED


def test_a_reference_is_compared_with_the_caption():
    said = word_diff.counted("a red dog")
    assert word_diff.against("A dog runs.", said) == [("A", "matched"), ("dog", "matched"), ("runs.", "unmatched")]
    assert said == Counter({"a": 1, "red": 1, "dog": 1})


def test_changes_lead_from_one_caption_to_the_other():
    marked = word_diff.changes("a red dog on grass", "A blue dog on the grass.")
    assert [word for word, mark in marked if mark != word_diff.ADDED] == ["A", "red", "dog", "on", "grass."]
    assert [word for word, mark in marked if mark == word_diff.ADDED] == ["blue", "the"]
    assert [word for word, mark in marked if mark == word_diff.REMOVED] == ["red"]
    assert word_diff.changes("same", "same") == [("same", "")]


def test_untrusted_words_stay_text_and_every_mark_has_a_line_and_a_colour():
    assert "<script>" not in word_diff.html([("<script>alert(1)</script>", word_diff.UNMATCHED), ('"><img>', "")])
    for template in (LIGHT, DARK):
        rules = {
            mark: word_diff.style(template).split(f".w-{mark} {{")[1].split("}")[0]
            for mark in ("matched", "unmatched", "added")
        }
        assert all("text-decoration: underline" in rule and "color: #" in rule for rule in rules.values())
        assert "wavy" in rules["unmatched"] and "wavy" not in rules["matched"]


@given(text(alphabet="ab c,-"), text(alphabet="ab c,-"))
def test_both_captions_keep_their_words_and_unmarked_words_are_common(left, right):
    marked = word_diff.both(left, right)
    assert [[word for word, _ in side] for side in marked] == [left.split(), right.split()]
    plain = [[word_diff.tokens(word) for word, mark in side if not mark and word_diff.tokens(word)] for side in marked]
    assert plain[0] == plain[1]
    assert word_diff.both(left, left)[0] == [(word, "") for word in left.split()]


def test_only_words_of_one_caption_are_marked():
    left, right = word_diff.both("A red bus.", "a blue bus")
    assert left == [("A", ""), ("red", word_diff.UNMATCHED), ("bus.", "")]
    assert right == [("a", ""), ("blue", word_diff.UNMATCHED), ("bus", "")]
