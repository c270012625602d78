"""Twins of scenes: pixels differ only in the region of the change, and captions are compared by what they say."""

import json
from io import BytesIO

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.captioners.native.pipeline import NativeCaptioner
from engine.demo import twins
from engine.demo.judge import claims, place_of
from engine.demo.scenes import compose, draw
from engine.demo.twins import CHANGES, Share, TwinError, compared, removals, twin
from engine.statistics import wilson_interval
from engine.store import database, queries, records
from tests.conftest import ROOT

SEEDS = st.integers(0, 5_000_000)


def pixels(picture):
    return np.asarray(picture.image)


def differing(pair):
    return (pixels(pair.original) != pixels(pair.twin)).any(-1)


def made(seed, change):
    try:
        return twin(seed, change)
    except TwinError:
        return None


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.sampled_from(CHANGES))
def test_pixels_differ_only_in_the_region_of_the_change(seed, change):
    pair = made(seed, change)
    assume(pair is not None)
    differs = differing(pair)
    assert differs.any() and not (differs & ~pair.region).any()
    masks = pair.twin_mask if change == "duplicated" else pair.mask | pair.twin_mask
    assert pair.region.mean() < 0.9 and not (masks & ~pair.region).any()
    again = twin(seed, change, pair.number)  # the same object by its number
    assert again.changed == pair.changed and np.array_equal(pixels(again.twin), pixels(pair.twin))


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_a_removed_object_is_gone_and_each_object_has_its_own_twin(seed):
    scene, picture = compose(seed), draw(compose(seed))
    found = removals(seed)
    assert [pair.number for pair in found] == [at for at, mask in enumerate(picture.masks) if mask.any()]
    for pair in found:
        assert np.array_equal(pixels(pair.original), pixels(picture)) and pair.thing == scene.things[pair.number]
        assert np.array_equal(pair.mask, picture.masks[pair.number]) and not pair.twin_mask.any()
        assert len(pair.twin.masks) == len(scene.things) - 1 and pair.changed is None
        differs = differing(pair)
        assert not (differs & ~pair.region).any() and not (pair.mask & ~pair.region).any()
        # What was hidden by the object may look alike in a few pixels; most of it differs.
        assert differs[pair.mask > 0].mean() > 0.5


def test_twins_are_the_same_bits_in_any_order_of_calls():
    keys = [(seed, change) for seed in range(3_000_000, 3_000_012) for change in CHANGES]
    first = {key: pair for key in keys if (pair := made(*key)) is not None}
    assert {change for _, change in first} == set(CHANGES)
    for key in reversed(first):
        again = twin(*key)
        assert again.changed == first[key].changed
        assert np.array_equal(pixels(again.twin), pixels(first[key].twin))


def test_a_recoloured_object_has_its_shape_and_a_colour_of_its_own():
    found = [pair for seed in range(200, 230) if (pair := made(seed, "recoloured")) is not None]
    assert len(found) > 20
    for pair in found:
        assert np.array_equal(pair.mask, pair.twin_mask) and pair.changed.colour != pair.thing.colour
        alike = [thing for thing in pair.scene.things if thing.kind == pair.thing.kind]
        assert pair.changed.colour not in {thing.colour for thing in alike}


def test_a_copy_is_beside_its_original_and_a_mirrored_object_on_the_other_side():
    copies = [pair for seed in range(300, 340) if (pair := made(seed, "duplicated")) is not None]
    assert copies
    for pair in copies:
        assert len(pair.twin.masks) == len(pair.scene.things) + 1 and pair.twin_mask.any()
        assert not (pair.mask & pair.twin_mask).any()
        assert (pair.changed.y, pair.changed.height) == (pair.thing.y, pair.thing.height)
    mirrored = [pair for seed in range(300, 340) if (pair := made(seed, "mirrored")) is not None]
    assert mirrored
    for pair in mirrored:
        assert pair.changed.x == 224 - pair.thing.x and pair.changed.mirrored != pair.thing.mirrored


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((7, "melted"), "unknown change 'melted': expected one of removed, recoloured, duplicated, mirrored"),
        ((7, "removed", 99), "scene 7 has no object 99: expected 0 to"),
    ],
)
def test_a_change_that_is_not_possible_is_one_sentence(arguments, message):
    with pytest.raises(TwinError, match=message):
        twin(*arguments)


def test_claims_are_nouns_with_count_colours_and_side():
    found = claims("two red cars are to the left of a woman in a blue dress on the street.")
    assert [(sorted(each.names), each.count, each.colours, each.side) for each in found] == [
        (["car"], 2, ("red",), "left"),
        (["woman"], 1, ("blue",), "right"),
    ]
    assert claims("birds flying")[0].count is None
    assert place_of("a dog on the sand.") == {"beach"} and len(place_of("a dog.")) == 8


@pytest.fixture(scope="module")
def man_beside_a_dog():
    """A twin without the man of a scene that shows a man and a dog."""
    for seed in range(10_000):
        scene = compose(seed)
        if sorted(thing.role or thing.kind for thing in scene.things) == ["dog", "man"]:
            return twin(seed, "removed", next(at for at, thing in enumerate(scene.things) if thing.role))
    raise AssertionError("no such scene")


@pytest.mark.parametrize(
    ("original", "changed", "named", "aspects", "elsewhere"),
    [
        ("a man next to a dog in a park.", "a dog in the park.", True, ("noun",), False),
        ("a man next to a dog in a park.", "a guy standing beside a puppy near some trees.", True, (), False),
        ("a man in a red shirt and a dog.", "a person in a blue shirt and a dog.", True, ("colour",), False),
        ("a man and a dog.", "two men and a dog.", True, ("count",), False),
        ("a man to the left of a dog.", "a man to the right of a dog.", True, ("side",), True),
        ("a man and a dog.", "a boy and a dog.", True, ("noun",), False),
        ("a man and a dog.", "a man and two dogs.", True, (), True),
        ("a man and a dog.", "a man and a cat.", True, (), True),
        ("a dog on the beach.", "a dog in the kitchen.", False, (), True),
        ("a dog on the beach.", "a dog.", False, (), False),
    ],
)
def test_captions_are_compared_by_what_they_say(man_beside_a_dog, original, changed, named, aspects, elsewhere):
    found = compared(man_beside_a_dog, original, changed)
    assert (found.named, found.aspects, found.elsewhere_changed) == (named, aspects, elsewhere)
    assert found.object_changed == bool(aspects) and found.is_same == (original == changed)


def test_shares_have_wilson_intervals():
    low, high = wilson_interval(3, 4)
    assert str(Share(3, 4)) == f"3 of 4 (75.0%, {100 * low:.1f}-{100 * high:.1f})" and str(Share(0, 0)) == "-"


@pytest.mark.parametrize("ending", ["json", "parquet"])
def test_the_command_prints_a_table_and_writes_the_pairs(tmp_path, capsys, ending):
    out = tmp_path / f"pairs.{ending}"
    twins.main(["--pairs", "8", "--out", str(out)])
    printed = capsys.readouterr().out
    rows = json.loads(out.read_text()) if ending == "json" else pq.read_table(out).to_pylist()
    assert [row["change"] for row in rows] == [*CHANGES, *CHANGES]
    for change in CHANGES:
        mine = [row for row in rows if row["change"] == change]
        share = Share(sum(row["object_changed"] for row in mine), 2)
        assert any(line.startswith(change) and str(share) in line for line in printed.splitlines())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pairs", "0"], "'0', expected a whole number from 1 to 100,000"),
        (["--out", "x.csv"], "'x.csv', expected a name that ends in .parquet or .json"),
    ],
)
def test_a_wrong_option_is_one_sentence(capsys, arguments, message):
    with pytest.raises(SystemExit):
        twins.main(arguments)
    assert message in capsys.readouterr().err


def test_a_folder_without_a_captioner_is_one_sentence(tmp_path):
    with pytest.raises(SystemExit, match=str(tmp_path)):
        twins.main(["--pairs", "1", "--captioner", str(tmp_path)])


def test_the_command_stores_the_pairs_in_a_run_of_the_same_captioner(tmp_path, capsys):
    folder = tmp_path / "runs" / "mine"
    folder.mkdir(parents=True)
    fingerprint = NativeCaptioner.load(ROOT / "engine" / "demo" / "captioner").fingerprint
    records.write_record(folder, {"run": "mine", "captioner": {"fingerprint": fingerprint}})
    twins.main(["--pairs", "8", "--run", "mine", "--results", str(tmp_path)])
    capsys.readouterr()
    cursor = database.connect(tmp_path)[0].cursor()
    shares = queries.twin_shares(cursor, "mine").set_index("change")
    stored = pq.read_table(folder / "twins.parquet").to_pylist()
    assert shares.pairs.to_dict() == dict.fromkeys(CHANGES, 2)
    for change in CHANGES:
        mine = [row for row in stored if row["change"] == change]
        row = shares.loc[change]
        assert row.object_changed == sum(each["object_changed"] for each in mine)
        low, high = Share(int(row.object_changed), 2).interval
        assert (row.object_changed_low, row.object_changed_high) == (low, high)
    shown = queries.twin_pictures(cursor, "mine", 4)
    assert sorted(shown.change) == sorted(CHANGES)
    first = shown.iloc[0]
    pair = twins.twin(int(first.seed), first.change)
    assert Image.open(BytesIO(bytes(first.twin_picture))).size == pair.twin.image.size

    records.write_record(folder, {"run": "mine", "captioner": {"fingerprint": "other"}})
    for run, sentence in (("mine", "is of another captioner"), ("nobody", "no finished run 'nobody'")):
        with pytest.raises(SystemExit, match=sentence):
            twins.main(["--pairs", "8", "--run", run, "--results", str(tmp_path)])
