"""Captions word by word."""

from collections import Counter

from dashboard import wording
from dashboard.figures import DARK, LIGHT


def test_words_are_heard_as_metrics_hear_them():
    assert wording.heard("Dog's,") == ["dog", "'s"]
    assert wording.heard("(DON'T!)") == ["do", "n't"]
    assert wording.heard("t-shirt.") == ["t-shirt"] and wording.heard("--") == []


def test_a_word_counts_as_often_as_one_reference_has_it():
    marked = wording.candidate("A dog and a dog - again", ["a dog runs.", "The dog, and a cat"])
    said = [mark == wording.SAID for _, mark in marked]
    assert [word for word, _ in marked] == ["A", "dog", "and", "a", "dog", "-", "again"]
    assert said == [True, True, True, False, False, False, False]
    assert marked[5][1] == "" and marked[6][1] == wording.UNSAID


def test_a_reference_is_held_against_the_caption():
    said = wording.counted("a red dog")
    assert wording.against("A dog runs.", said) == [("A", "said"), ("dog", "said"), ("runs.", "unsaid")]
    assert said == Counter({"a": 1, "red": 1, "dog": 1})


def test_changes_lead_from_one_caption_to_the_other():
    marked = wording.changes("a red dog on grass", "A blue dog on the grass.")
    assert [word for word, mark in marked if mark != wording.NEW] == ["A", "red", "dog", "on", "grass."]
    assert [word for word, mark in marked if mark == wording.NEW] == ["blue", "the"]
    assert [word for word, mark in marked if mark == wording.GONE] == ["red"]
    assert wording.changes("same", "same") == [("same", "")]


def test_strangers_words_stay_text_and_every_mark_has_a_line_beside_its_colour():
    assert "<script>" not in wording.html([("<script>alert(1)</script>", wording.UNSAID), ('"><img>', "")])
    for template in (LIGHT, DARK):
        rules = {
            mark: wording.style(template).split(f".w-{mark} {{")[1].split("}")[0] for mark in ("said", "unsaid", "new")
        }
        assert all("text-decoration: underline" in rule and "color: #" in rule for rule in rules.values())
        assert "wavy" in rules["unsaid"] and "wavy" not in rules["said"]
