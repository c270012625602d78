"""N-best lists: hypotheses are scored like captions, and ranking errors are reported with their rank."""

from contextlib import nullcontext

import pytest

from engine.diagnosis.tags import Tag
from engine.evaluation import nbest
from engine.evaluation.caption_blocks import CaptionBlocks
from engine.evaluation.scoring import MetricSettings
from engine.metrics.measure import score_captions
from engine.store import tables as store

IMAGES = [
    {"image_id": "a", "references": ["a dog runs on the beach", "a brown dog runs"]},
    {"image_id": "b", "references": []},
    {"image_id": "c", "references": ["two cats sleep on a sofa", "cats on a couch"]},
]
FOUND = {
    ("a", 1): ["a dog"],
    ("a", 2): ["a man on a horse", "a brown dog runs"],
    ("b", 2): ["a bus"],
    ("c", 1): ["two cats sleep"],
    ("c", 2): ["two cats sleep", "two cats sleep on a sofa", "a sofa"],
}


def rows(found: dict[tuple[str, int], list[str]]) -> list[dict]:
    return [
        {"image_id": image, "beam_size": size, "rank": rank, "caption": caption}
        for (image, size), captions in found.items()
        for rank, caption in enumerate(captions, 1)
    ]


@pytest.fixture(params=[1, 2, 10])
def scored(tmp_path, request) -> list[dict]:
    store.write_table(tmp_path, "images", store.table_of("images", [{**row, "file_name": "x"} for row in IMAGES]))
    images = CaptionBlocks(tmp_path, (), tmp_path, "data", size=request.param)
    wanted = MetricSettings(("cider", "bleu_4"), None, tmp_path)
    (tmp_path / "kept").mkdir()
    kept = nbest.scored(store.table_of("hypotheses", rows(FOUND)), images, wanted, nullcontext, tmp_path / "kept")
    store.write_table(tmp_path, "hypotheses", kept)
    return store.read_table(tmp_path, "hypotheses").to_pylist()


def test_each_has_the_scores_it_would_have_as_a_caption(scored):
    assert [(row["image_id"], row["beam_size"], row["rank"], row["caption"]) for row in scored] == [
        (row["image_id"], row["beam_size"], row["rank"], row["caption"]) for row in rows(FOUND)
    ]
    references = {row["image_id"]: row["references"] for row in IMAGES}
    for row in (row for row in scored if row["image_id"] != "b"):
        captions = {"a": "", "c": ""} | {row["image_id"]: row["caption"]}
        alone = score_captions({1: [*captions.values()]}, [references[image] for image in captions])[1]
        place = [*captions].index(row["image_id"])
        assert row["cider"] == pytest.approx(alone.per_image["cider"][place], abs=1e-12)
        assert row["bleu_4"] == pytest.approx(alone.per_image["bleu_4"][place], abs=1e-12)


def test_without_references_there_is_no_score(scored):
    assert [row["cider"] for row in scored if row["image_id"] == "b"] == [None]


def test_a_far_better_hypothesis_that_was_not_chosen_is_a_tag_with_its_rank(tmp_path):
    found = {("a", 5): [0.4, 0.9, 0.8], ("b", 5): [0.4, 0.89], ("c", 5): [1.0, 1.9], ("c", 3): [0.0, 0.5, 0.6]}
    columns = [
        {"image_id": image, "beam_size": size, "rank": rank, "caption": f"said {rank}", "cider": cider}
        for (image, size), values in found.items()
        for rank, cider in enumerate(values, 1)
    ]
    columns.append({"image_id": "d", "beam_size": 5, "rank": 1, "caption": "x", "cider": None})
    kept = store.table_of("hypotheses", columns, ["cider"])
    assert nbest.ranking_errors(kept) == {
        (5, "a"): Tag("ranking error", "rank 2, CIDEr 0.90 instead of 0.40: said 2"),
        (3, "c"): Tag("ranking error", "rank 3, CIDEr 0.60 instead of 0.00: said 3"),
    }
    assert nbest.ranking_errors(kept.drop_columns(["cider"])) == {}
