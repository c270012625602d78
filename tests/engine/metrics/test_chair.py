"""CHAIR against the original code's counts of 2,157 captions, and its rules one by one."""

import json
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.dataset import Box
from engine.data.split import Split
from engine.metrics import chair_rules, registry
from engine.metrics.base import MetricError
from engine.metrics.chair_words import singular, words
from engine.metrics.measure import measure
from engine.store.schema import METRICS
from tests.conftest import SHARED, needs_shared

GOLDEN = SHARED / "chair" / "golden.json"


def boxes(*labels):
    return tuple(Box(label, 0, 0, 1, 1) for label in labels)


def named(caption):
    return [mention.word for mention in chair_rules.mentions(caption)]


@needs_shared("chair/golden.json")
@pytest.mark.parametrize("name", "abc")
def test_every_row_and_total_is_that_of_the_original_code(name):
    golden = json.loads(GOLDEN.read_text("utf-8"))
    captions_of = defaultdict(list)  # the references of an image are the captions of set a
    for row in golden["sets"]["a"]["captions"]:
        captions_of[row["image_id"]].append((row.get("left_out"), row["caption"]))
    rows = golden["sets"][name]["captions"]
    references = [
        tuple(text for key, text in captions_of[row["image_id"]] if key != row.get("left_out", "none")) for row in rows
    ]
    instances = [golden["truth"][str(row["image_id"])]["instances"] for row in rows]
    for row, labels, texts in zip(rows, instances, references, strict=True):
        found, shown = chair_rules.mentions(row["caption"]), chair_rules.truth(labels, texts)
        assert [each.word for each in found] == row["words"], row["caption"]
        assert [each.category for each in found] == row["categories"], row["caption"]
        assert [each.category for each in found if each.category not in shown] == row["hallucinated"], row["caption"]
    objects = tuple(boxes(*labels) for labels in instances)
    split = Split(tuple(map(str, range(len(rows)))), tuple(references), objects=objects)
    scores = measure({1: [row["caption"] for row in rows]}, split, registry.named(["chair_i", "chair_s"]))[1]
    totals = golden["sets"][name]["totals"]
    parts = ("hallucinated_mentions", "mentions", "hallucinated_captions", "captions")
    assert scores.counts["chair_counts"].sum(0).tolist() == [totals[part] for part in parts]
    for key, title in (("chair_i", "CHAIRi"), ("chair_s", "CHAIRs")):
        corpus = scores.corpus[key]
        assert corpus.value == totals[title] and corpus.low < corpus.value < corpus.high


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A bus, an airbus and two buses.", ["bus"]),
        ("A wine glass and wine glasses", ["wine glass", "wine glass"]),
        ("thieves, canoes, ties, a tie and a thief", ["tie", "thief"]),
        ("A motor bike, a cheesecake and an iPhone", []),
        ("Stove top oven on a train track by home plate", ["stove", "oven"]),
        ("A seat near the toilet", ["toilet"]),
        ("A urinal and a seat", ["urinal", "seat"]),
        ("An adult bear, a baby goat and a passenger jet", ["bear", "baby", "goat", "jet"]),
        ("A passenger plane", ["passenger", "plane"]),
        ("hot-dog; hot, dog; hot dog", ["dog", "hot dog"]),
        ("a dog.a cat", ["cat"]),
        ("A dog. A cat.) Cows! (Two men.)", ["dog", "cat", "cow", "man"]),
        ("the dog's ball and cats' bowls", ["dog", "ball", "cat", "bowl"]),
        ("a dog,,cat", ["dog"]),
        ("\"Dog\" 'cat' “horse” ‘cow’ bike’s", ["dog", "horse", "cow", "bike"]),
        ("", []),
    ],
)
def test_mentions_are_found_as_the_original_finds_them(caption, expected):
    assert named(caption) == expected


def test_singular_forms_are_those_of_pattern():
    plurals = {"people": "person", "women": "woman", "knives": "knife", "oxen": "ox", "mice": "mouse", "geese": "goose"}
    plurals |= {"couches": "couch", "puppies": "puppy", "calves": "calf", "skis": "ski", "scissors": "scissors"}
    plurals |= {"bus": "bu", "glass": "glas", "ties": "ty", "collies": "collies", "canoes": "cano", "vases": "vase"}
    assert {each: singular(each) for each in plurals} == plurals


@given(st.text(alphabet="ab.?!,'\" \n)(-`", max_size=60))
def test_words_lose_no_letter(text):
    letters = [letter for letter in text if letter.isalpha()]
    assert [letter for word in words(text) for letter in word if letter.isalpha()] == letters


@pytest.mark.parametrize("part", [" ", "a.’", ". ", "'", ".)", "a-", "``", ",", "a.\n", "?", "...", "\t", "men", "s"])
def test_long_texts_are_read_in_linear_time(part):
    assert named(f"a.’{part * 50_000} x, a cat")[-1:] in (["cat"], [])


@given(st.lists(st.sampled_from(sorted(chair_rules.categories())), max_size=6))
def test_a_caption_of_annotated_objects_has_no_hallucinated_one(labels):
    caption = " and ".join(labels)
    found = chair_rules.mentions(caption)
    assert {each.category for each in found} <= chair_rules.truth([each.category for each in found], [])
    assert {each.category for each in found} == chair_rules.truth([], [caption])


def test_crowds_and_references_are_part_of_the_truth_and_images_without_any_do_not_count():
    split = Split(
        ("a", "b", "c"),
        (("a dog",), (), ()),
        objects=(boxes("cat"), (), ()),
        crowds=((), boxes("person"), ()),
    )
    captions = ["a dog, a cat and a bird", "people", "a horse"]
    found = measure({1: captions}, split, registry.named(["chair_i", "chair_s"]))[1]
    assert found.corpus["chair_i"].value == 1 / 4 and found.corpus["chair_s"].value == 1 / 2
    assert found.per_image["chair_i"][:2].tolist() == [1 / 3, 0] and np.isnan(found.per_image["chair_i"][2])


def test_captions_without_mentions_have_no_chair_i():
    split = Split(("a", "b"), ((), ()), objects=(boxes("dog"), boxes("cat")))
    found = measure({1: ["grass", ""], 3: ["a dog", "grass"]}, split, registry.named(["chair_i", "chair_s"]))
    assert np.isnan(found[1].corpus["chair_i"].value) and found[1].corpus["chair_i"].low is None
    assert found[1].corpus["chair_s"].value == 0 and found[3].corpus["chair_i"].value == 0


def test_data_without_categories_of_coco_has_no_chair():
    split = Split(("a", "b"), (("a dog",), ("a cat",)), objects=(boxes("tree"), ()))
    assert not measure({1: ["a dog", "a cat"]}, split, registry.named(["chair_i"]))[1].corpus
    with pytest.raises(MetricError, match="COCO's category names"):
        registry.named(["chair_i"])[0].statistics(["a dog", "a cat"], split)
    assert "chair_i" not in registry.by_default({"tree"}) and "chair_i" in registry.by_default({"tree", "Dog"})


def test_lower_is_better():
    assert not METRICS["chair_i"].higher_is_better and not METRICS["chair_s"].higher_is_better
    assert not any(metric.higher_is_better for metric in registry.named(["chair_i", "chair_s"]))
