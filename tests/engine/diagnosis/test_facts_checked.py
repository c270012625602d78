"""Precision of the reader on real references: facts that were checked by hand, by their ids and without their texts.

The sample was drawn and checked once; some of its faults were fixed afterwards. They still count as wrong.
"""

import csv
import json
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from engine.diagnosis.facts.fact import KINDS, Fact
from engine.diagnosis.facts.reader import read
from engine.diagnosis.lexicon import split
from engine.diagnosis.object_names import COCO
from engine.statistics import wilson_interval
from tests.conftest import SHARED, needs_shared

CHECKED = Path(__file__).parent / "facts_checked.csv"
LEAST = dict.fromkeys(KINDS, 0.92) | {"relation": 0.87}
"""Lower end of the 95 % interval of each kind's precision."""


@cache
def checked() -> list[dict[str, str]]:
    with CHECKED.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@cache
def captions() -> dict[tuple[str, str], str]:
    """Caption by dataset and id: COCO's annotation id, or for Flickr8k the photo and the number of its reference."""
    found: dict[tuple[str, str], str] = {}
    for split_name in ("train2017", "val2017"):
        path = SHARED / "coco" / "annotations" / f"captions_{split_name}.json"
        for each in json.loads(path.read_text(encoding="utf-8"))["annotations"]:
            found["coco", str(each["id"])] = each["caption"].strip()
    numbers: Counter[str] = Counter()
    with (SHARED / "flickr8k" / "captions.txt").open(encoding="utf-8", newline="") as file:
        for photo, caption in list(csv.reader(file))[1:]:
            found["flickr8k", f"{photo}#{numbers[photo]}"] = caption
            numbers[photo] += 1
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_precision_of_facts_that_were_checked_by_hand(kind):
    verdicts = [row["verdict"] for row in checked() if row["kind"] == kind]
    assert len(verdicts) == 200
    low, _ = wilson_interval(verdicts.count("right"), len(verdicts))
    assert low >= LEAST[kind]


@needs_shared("coco")
@needs_shared("flickr8k")
@pytest.mark.parametrize("kind", KINDS)
def test_the_reader_still_gives_the_facts_that_are_right(kind):
    rows = [row for row in checked() if row["kind"] == kind and row["verdict"] == "right"]
    lost = []
    for row in rows:
        fact = Fact(row["kind"], int(row["start"]), int(row["stop"]), row["subject"] or None, row["value"])
        if fact not in read(split(captions()[row["dataset"], row["caption"]]), COCO):
            lost.append(row)
    assert len(lost) <= 4, lost
