"""The data doctor on texts: each seeded defect is named first, and sound captions raise nothing."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.diagnosis.data_doctor import content, examine, photos, zero
from engine.diagnosis.data_doctor.finding import ORDER, Finding
from engine.diagnosis.data_doctor.texts import Texts, words

SUBJECTS = ("dog", "man", "woman", "child", "cat", "horse", "bird", "bus", "train", "boat", "girl", "player")
ACTIONS = ("runs on", "stands in", "sits near", "jumps over", "waits at", "moves across", "plays in")
PLACES = ("beach", "street", "field", "park", "river", "station", "kitchen", "mountain", "garden", "bridge", "pool")


def sentence(number: int, article: str = "a") -> str:
    parts = SUBJECTS[number % 12], ACTIONS[number // 3 % 7], PLACES[number // 2 % 11]
    return f"{article} {parts[0]} {parts[1]} the {parts[2]} with a number {number % 23}"


def world(count: int = 60) -> Texts:
    """Images whose captions are another annotator's sentence about the same scene."""
    ids = [f"image_{number:05d}" for number in range(count)]
    references = [
        [sentence(each), f"the {sentence(each, 'old')} and waits", sentence(each, "one")] for each in range(count)
    ]
    return Texts(ids, [sentence(each, "the") for each in range(count)], references)


def keys(texts: Texts, **more: object) -> list[str]:
    return [each.key for each in examine.of_texts(texts, **more)]


def changed(change) -> Texts:
    texts = world()
    return replace(texts, captions=[change(number, text) for number, text in enumerate(texts.captions)])


GERMAN = (
    "ein Hund läuft auf der Straße",
    "eine Frau sitzt mit einem Kind in dem Park",
    "zwei Männer stehen an der Brücke",
)
RUSSIAN = ("собака бежит по пляжу", "женщина сидит в парке", "мужчины стоят на мосту")


@pytest.mark.parametrize(
    ("key", "texts"),
    [
        ("list_as_text", replace(world(), references=[[str(own)] for own in world().references])),
        ("list_as_text", changed(lambda _, text: str([text, "it's a cat"]))),
        ("shifted_ids", changed(lambda number, _: sentence((number + 1) % 60, "the"))),
        ("shifted_ids", changed(lambda number, _: sentence((number - 1) % 60, "the"))),
        ("one_caption", changed(lambda number, text: text if number < 20 else "a dog")),
        ("one_caption", changed(lambda number, text: "")),
        ("prompt_echo", changed(lambda _, text: f"Describe the image: {text}")),
        ("prompt_echo", changed(lambda _, text: f"{text} Answer briefly please")),
        ("markdown", changed(lambda _, text: f"**Caption** {text}")),
        ("markdown", changed(lambda number, text: f"- {text}" if number % 9 == 0 else text)),
        ("markdown", changed(lambda _, text: f"[{text}](http://x.org)")),
        ("language", changed(lambda number, _: GERMAN[number % 3])),
        ("language", changed(lambda number, _: RUSSIAN[number % 3])),
        ("length", changed(lambda number, _: " ".join(sentence(number + each) for each in range(10)))),
    ],
)
def test_a_seeded_defect_is_named_first(key, texts):
    found = examine.of_texts(texts)
    assert found[0].key == key
    assert all(each.title and each.remedy for each in found)


def test_a_sound_run_raises_nothing():
    assert keys(world()) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda number, _: sentence(number * 7 + 3, "a"),  # a weak captioner: captions of no image in particular
        lambda number, text: " ".join(text.split()[:3]),
        lambda number, text: f"{text} {text} {text}",
        lambda number, text: "a dog runs" if number % 3 == 0 else text,
        lambda number, text: "the the the the",
        lambda number, text: f"{SUBJECTS[number % 12]} {PLACES[number % 11]}",
    ],
    ids=["unrelated", "short", "repeating", "frequent", "function words", "telegraphic"],
)
def test_a_weak_captioner_is_no_defect_of_the_data(change):
    assert set(keys(changed(change))) <= {"one_caption"}
    if "the the" not in change(1, "x y z"):
        assert keys(changed(change)) == []


def test_captions_in_the_language_of_references_that_are_not_english_are_sound():
    count = 60
    own = [f"{GERMAN[each % 3]} und {SUBJECTS[each % 12]}" for each in range(count)]
    texts = Texts([str(each) for each in range(count)], own, [[text, f"{text} dort"] for text in own])
    assert keys(texts) == []


def test_ids_that_are_shifted_from_some_line_on_are_found():
    texts = world(600)
    captions = [*texts.captions[:300], *texts.captions[301:], texts.captions[0]]
    found = examine.of_texts(replace(texts, captions=captions))[0]
    assert found.key == "shifted_ids" and "from about image image_00" in found.title


def test_ids_shifted_in_the_order_of_the_file_are_found():
    texts, order = world(), [7 * number % 60 for number in range(60)]
    captions = list(texts.captions)
    for place, row in enumerate(order):
        captions[row] = texts.captions[order[(place + 1) % 60]]
    shifted = replace(texts, captions=captions)
    assert keys(shifted) == [] and keys(shifted, orders=[order]) == ["shifted_ids"]


def test_captions_of_another_split_with_the_same_ids_are_found():
    texts = world()
    other = replace(texts, references=[[sentence(number + 31)] for number in range(60)])
    captions = [sentence(number + 31, "the") for number in range(60)]
    mine, theirs = replace(texts, captions=captions), replace(other, captions=captions)
    found = examine.of_texts(mine, others=lambda: [("test", theirs)])
    assert [each.key for each in found] == ["other_split"] and "--split test" in found[0].remedy
    assert keys(theirs, others=lambda: pytest.fail("the captions fit their own split")) == []


def test_without_references_only_what_captions_show_is_found():
    texts = replace(world(), references=[()] * 60)
    assert keys(texts) == []
    assert keys(replace(texts, captions=[f"the photo shows {text}" for text in texts.captions])) == ["prompt_echo"]
    assert keys(replace(texts, captions=[text * 20 for text in texts.captions])) == []


def test_without_captions_only_references_are_checked():
    texts = replace(world(), captions=())
    assert keys(texts) == []
    assert keys(replace(texts, references=[["['a dog', 'a cat']"]] * 60)) == ["list_as_text"]


def test_captions_too_long_for_references_and_for_clip_are_one_finding():
    long, cut = Finding("length", "captions are long", "shorten"), content.clip_cut(3, 9, 77, "x")
    found = examine.joined([cut, long])
    assert [each.title for each in found] == ["captions are long; 3 of 9 captions are cut at CLIP's 77 tokens"]
    assert examine.joined([cut]) == [cut] and content.clip_cut(0, 9, 77) is None


def test_findings_about_photos_name_their_number_and_an_example():
    assert "2 of 9 photos are copies" in photos.duplicates([["a", "b", "c"]], 9).title
    assert (
        "1 of 9 images is also in the training split, such as a (x.jpg)"
        in photos.training_images([("a", "x.jpg")], 9).title
    )
    assert "1 of 9 photos is missing" in photos.missing_photos([("a", "a.jpg")], 9, "here").title
    assert photos.duplicates([], 9) is photos.training_images([], 9) is photos.missing_photos([], 9, "") is None


@pytest.mark.parametrize(
    ("reason", "captions", "references"),
    [
        ("1 image with references", ["a dog"], [["a dog"]]),
        ("have no words", ["", "!", "a dog"], [["a cat"], ["a bus"], ["a dog"]]),
        ("all 2 images have the same references", ["a dog", "a dog"], [["a dog"], ["a dog"]]),
        ("no spaces between words", ["一只狗在跑", "一只猫在睡觉"], [["一只狗在跑步"], ["一只猫睡在床上"]]),
        ("no caption shares a word", ["xy z", "zz"], [["a dog"], ["a cat"]]),
        ("punishes the difference", ["a dog " * 30, "a cat " * 30], [["a dog"], ["a cat"]]),
        ("every image (a)", ["a zebra", "a boat"], [["a dog"], ["a cat"]]),
        ("only 1 of 2 captions share", ["a dog", "x"], [["a dog runs"], ["a cat"]]),
    ],
)
def test_a_cider_of_0_is_explained(reason, captions, references):
    found = zero.cider_zero(0.0, Texts([str(each) for each in range(len(captions))], captions, references))
    assert reason in found.title and found.remedy
    assert zero.cider_zero(0.3, world()) is None


TEXT = st.text(st.sampled_from("ab c[]'\"*#狗ä1"), max_size=12)
ROWS = st.lists(st.tuples(TEXT, st.lists(TEXT, max_size=3)), max_size=25)


@settings(max_examples=150, deadline=None)
@given(ROWS)
def test_any_texts_give_sentences_and_a_cider_of_0_always_has_a_reason(rows):
    texts = Texts([str(each) for each in range(len(rows))], [row[0] for row in rows], [row[1] for row in rows])
    found = examine.of_texts(texts)
    places = [ORDER.index(each.key) for each in found]
    assert places == sorted(set(places))
    assert zero.cider_zero(0.0, texts).title.startswith("CIDEr is 0.000 because ")


@settings(max_examples=60, deadline=None)
@given(st.permutations(range(60)), st.integers(0, 59))
def test_sound_captions_raise_nothing_in_any_order_and_number(order, count):
    texts = world()
    some = list(order)[: count + 1]
    part = Texts(*([column[row] for row in some] for column in (texts.image_ids, texts.captions, texts.references)))
    assert keys(part, orders=[sorted(range(len(some)), key=lambda row: some[row])]) == []


def test_words_of_languages_without_spaces_are_characters():
    assert words("A Dog, 狗跑!") == ["a", "dog", "狗", "跑"]
