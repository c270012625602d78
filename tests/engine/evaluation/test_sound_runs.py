"""Twenty sound runs on real captions raise nothing, and seeded defects of the same captions are named first."""

import random
from dataclasses import replace

import pytest

from engine.data import predictions, registry
from engine.diagnosis.data_doctor.examine import of_texts
from engine.diagnosis.data_doctor.texts import Texts
from tests.conftest import SHARED, needs_shared

CAPTIONERS = ("vit8k", "vit30k", "resnet101")


def flickr(name: str) -> Texts:
    dataset = registry.load(SHARED / "flickr8k", split="all")
    file = SHARED / "flickr8k" / "predictions" / f"{name}.json"
    captions = predictions.match(predictions.read(file), dataset, file, partial=True)
    used = [each for each in dataset.examples if each.image_id in captions]
    ids = [each.image_id for each in used]
    return Texts(ids, [captions[key] for key in ids], [each.references for each in used])


def annotator(split: str, number: int) -> Texts:
    """COCO's references of one annotator as captions, scored against the others."""
    used = registry.load(SHARED / "coco", split=split).examples
    others = [[text for row, text in enumerate(each.references) if row != number] for each in used]
    return Texts([each.image_id for each in used], [each.references[number] for each in used], others)


def part(texts: Texts, count: int, seed: int) -> Texts:
    rows = random.Random(seed).sample(range(len(texts.image_ids)), count)
    return Texts(*([column[row] for row in rows] for column in (texts.image_ids, texts.captions, texts.references)))


@needs_shared("flickr8k")
@pytest.mark.parametrize("name", CAPTIONERS)
def test_real_captioners_raise_nothing_on_the_split_and_on_parts_of_it(name):
    texts = flickr(name)
    order = random.Random(0).sample(range(1000), 1000)
    assert of_texts(texts, [order]) == []
    for seed, count in enumerate((5, 12, 40, 200)):
        assert of_texts(part(texts, count, seed)) == []


@needs_shared("coco")
@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("split", ["train", "val"])
def test_references_of_one_annotator_raise_nothing(split, number):
    assert of_texts(annotator(split, number)) == []


@needs_shared("flickr8k")
@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("shifted_ids", lambda texts: replace(texts, captions=[*texts.captions[1:], texts.captions[0]])),
        ("prompt_echo", lambda texts: replace(texts, captions=[f"a photo of {text}" for text in texts.captions])),
        ("markdown", lambda texts: replace(texts, captions=[f"**{text}**" for text in texts.captions])),
        ("one_caption", lambda texts: replace(texts, captions=[texts.captions[0]] * len(texts.captions))),
        ("list_as_text", lambda texts: replace(texts, references=[[str(list(own))] for own in texts.references])),
    ],
)
def test_seeded_defects_of_real_captions_are_named_first(key, change):
    assert of_texts(change(flickr("vit8k")))[0].key == key
