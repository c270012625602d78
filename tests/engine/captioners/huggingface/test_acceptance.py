"""The demo's captioner as ours and as a transformers model: the same tables, whichever way it is loaded."""

import numpy as np
import pytest

from engine import __main__ as command
from engine.demo import world
from engine.store import records, tables
from tests.support import demo_as_transformers


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    world.write_split(folder / "world", "val", 24)
    ours, theirs = demo_as_transformers.save(folder)
    for name, captioner in (("ours", ours), ("theirs", f"hf:{theirs}")):
        arguments = ["--data", folder / "world", "--captioner", captioner, "--beams", 1, 3, 5, "--run", name]
        assert command.main([str(each) for each in ("evaluate", *arguments, "--results", folder / "results")]) == 0
    return folder / "results"


def both(results, table: str) -> tuple[list[dict], list[dict]]:
    read = (tables.read_table(records.run_folder(results, name), table).to_pylist() for name in ("ours", "theirs"))
    ours, theirs = read
    assert len(ours) == len(theirs) > 0
    return ours, theirs


@pytest.mark.parametrize("table", ["scores", "images"])
def test_scores_are_the_same_rows(results, table):
    ours, theirs = both(results, table)
    assert ours == theirs


def test_corpus_values_are_the_same_and_their_signatures_name_the_model_besides(results):
    ours, theirs = both(results, "corpus_scores")
    for own, other in zip(ours, theirs, strict=True):
        fields = dict(each.split(":", 1) for each in other["signature"].split("|")[1:])
        added = {"prompt": "none", "chat_template": "none", "revision": "none", "dtype": "float32"}
        assert fields.items() >= added.items()
        names = (*added, "transformers")
        rest = "|".join(each for each in other["signature"].split("|") if not each.startswith(names))
        assert other | {"signature": rest} == own


def test_shares_are_the_same(results):
    for own, other in zip(*both(results, "attention"), strict=True):
        assert own["share"] == pytest.approx(other["share"], abs=1e-5)


def test_captions_and_words_are_the_same(results):
    ours, theirs = both(results, "captions")
    for key in ("image_id", "beam_size", "caption", "words", "finished"):
        assert [row[key] for row in ours] == [row[key] for row in theirs], key
    for key in ("logprob", "score"):
        np.testing.assert_allclose([row[key] for row in ours], [row[key] for row in theirs], atol=1e-4)


def test_maps_and_crops_are_the_same(results):
    ours, theirs = both(results, "attention")
    for own, other in zip(ours, theirs, strict=True):
        for key in ("image_id", "beam_size", "words", "shape", "grid_height", "grid_width"):
            assert own[key] == other[key]
        assert own["crop"] == pytest.approx(other["crop"], abs=1e-9)
        weights = [np.frombuffer(row["weights"], np.uint8).astype(int) for row in (own, other)]
        assert np.abs(weights[0] - weights[1]).max() <= 1  # of 255


def test_the_same_nouns_hit_the_same_boxes(results):
    ours, theirs = both(results, "grounding")
    assert [row["hit"] for row in ours] == [row["hit"] for row in theirs]
    assert [row["shuffled_hit"] for row in ours] == [row["shuffled_hit"] for row in theirs]
