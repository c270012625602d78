"""CHAIR in the results: what it depends on, where the failure tag differs, in queries, terminal and report."""

import numpy as np
import pytest

from dashboard.report import archive, hallucinations
from engine.cli import summary
from engine.data.dataset import Box
from engine.data.split import Split
from engine.metrics import registry
from engine.metrics.measure import measure
from engine.store import database, queries, records, tables
from engine.store.queries.hallucinations import _hallucinations

IMAGES = {
    "a": (["a dog"], ["dog"], []),
    "b": ([], [], ["person"]),
    "c": (["a fridge"], ["oven"], []),
    "d": ([], [], []),
    "e": (["grass"], ["cat"], []),
}
"""Image -> references, labels of objects, labels of crowds."""
CAPTIONS = {
    1: ["a dog and a horse", "people", "a fridge on a plant", "a zebra", "grass"],
    3: ["a dog", "a man with a bus", "an oven", "a zebra", "a cat and a cow"],
}
TAGGED = {(1, "a"): "horse", (1, "c"): "plant (potted plant)", (3, "b"): "bus"}
"""(Beam size, image) -> evidence of the tag `hallucinated object`."""


def box(label):
    return {"label": label, "x": 0.0, "y": 0.0, "width": 1.0, "height": 1.0}


@pytest.fixture
def results(tmp_path):
    folder = records.run_folder(tmp_path, "run")
    objects, crowds = (
        tuple(tuple(Box(**box(label)) for label in each[place]) for each in IMAGES.values()) for place in (1, 2)
    )
    references = tuple(tuple(each[0]) for each in IMAGES.values())
    split = Split(tuple(IMAGES), references, objects=objects, crowds=crowds)
    found = measure(CAPTIONS, split, registry.named(["chair_i", "chair_s"]))
    rows = {"images": [], "captions": [], "scores": [], "corpus_scores": []}
    for image, (references, objects, crowds) in IMAGES.items():
        labelled = {"objects": [*map(box, objects)], "crowds": [*map(box, crowds)]}
        rows["images"].append({"image_id": image, "references": references, **labelled})
    for size, captions in CAPTIONS.items():
        for place, (image, caption) in enumerate(zip(IMAGES, captions, strict=True)):
            key = {"image_id": image, "beam_size": size}
            rows["captions"].append({**key, "caption": caption, "words": caption.split(), "finished": image != "a"})
            counts, evidence = found[size].counts["chair_counts"][place], TAGGED.get((size, image))
            tags = [{"tag": "hallucinated object", "evidence": evidence}] if evidence else []
            known = {name: values[place] for name, values in found[size].per_image.items()}
            numbers = {name: None if np.isnan(value) else value for name, value in known.items()}
            counted = None if np.isnan(counts).any() else [int(count) for count in counts]
            rows["scores"].append({**key, "tags": tags, "chair_counts": counted, **numbers})
        for name, corpus in found[size].corpus.items():
            bounds = {"value": corpus.value, "low": corpus.low, "high": corpus.high}
            rows["corpus_scores"].append({"beam_size": size, "metric": name, "images": 4, **bounds})
    for table, of in rows.items():
        more = ["chair_i", "chair_s"] if table == "scores" else []
        tables.write_table(folder, table, tables.table_of(table, of, more))
    records.write_record(folder, {"run": "run", "kind": "captioner", "beam_sizes": [1, 3]})
    return tmp_path


@pytest.fixture
def cursor(results):
    return database.connect(results)[0].cursor()


def test_mentions_unfinished_captions_and_both_counts_are_those_of_the_images_with_a_truth(cursor):
    found = queries.hallucinations(cursor, "run")
    assert found.beam_size.tolist() == [1, 3] and found.captions.tolist() == [4, 4]
    # dog, horse; person; fridge. Then dog; man; oven; cat, cow: `bus` is never found.
    assert found.mentions.tolist() == [4 / 4, 5 / 4]
    assert found.unfinished.tolist() == [1 / 5, 1 / 5]
    assert found[["by_chair", "by_tag", "by_both"]].to_numpy().tolist() == [[1, 2, 1], [1, 1, 0]]


def test_the_captions_that_differ_have_both_reasons(cursor):
    found = queries.hallucination_differences(cursor, "run", 1)
    assert found.to_numpy().tolist() == [
        [
            "c",
            "a fridge on a plant",
            "hallucinated: plant (potted plant)",
            "none hallucinated; mentions fridge (refrigerator)",
        ]
    ]
    found = queries.hallucination_differences(cursor, "run", 3)
    assert found[["image_id", "tag_reason", "chair_reason"]].to_numpy().tolist() == [
        ["b", "hallucinated: bus", "none hallucinated; mentions man (person)"],
        ["e", "none hallucinated", "hallucinated: cow"],
    ]
    assert len(queries.hallucination_differences(cursor, "run", 3, limit=1)) == 1


def test_the_best_beam_size_has_the_lowest_chair_and_more_hallucinations_are_losses(cursor):
    best = queries.best_scores(cursor).set_index("metric")
    assert best.value.to_dict() == {"chair_i": 1 / 5, "chair_s": 1 / 4}
    assert best.beam_size.to_dict() == {"chair_i": 3, "chair_s": 1}  # 1/4 against 1/5; equal, so the smaller
    found = queries.comparison(cursor, "run", 1, "run", 3).set_index("metric").loc["chair_s"]
    assert found.pooled and found.images == 4
    assert (found.wins, found.ties, found.losses) == (1, 2, 1)
    pooled = queries.comparison(cursor, "run", 1, "run", 3).set_index("metric").loc["chair_i"]
    assert (pooled.left, pooled.right, pooled.images) == (1 / 4, 1 / 5, 4)
    assert queries.cases(cursor, "run", 1, "chair_i", False).image_id.iloc[0] in "bc"


def test_terminal_and_report_show_the_numbers_of_the_query(results):
    text = summary.text(results, "run")
    assert "beam size 1: 1.00 mentions per caption, unfinished 20.0%; of 4 captions hallucinated by CHAIR 1, by" in text
    assert "c: a fridge on a plant\n    failure tag: hallucinated: plant (potted plant); CHAIR: none halluc" in text
    (chapter,) = hallucinations.chapters(archive.open_source(results, "run", beam=3)[0])
    counted, listed = chapter.items
    assert counted.shown["Mentions per caption"].tolist() == ["1.00", "1.25"]
    assert counted.values.chair_i.tolist() == [1 / 4, 1 / 5]
    assert listed.shown["Image"].tolist() == ["b", "e"] and "2 captions" in listed.note


def test_a_run_without_chair_has_no_row_and_no_chapter(full_results):
    source = archive.open_source(full_results, "demo")[0]
    assert source.query(queries.hallucinations, "demo").empty and not hallucinations.chapters(source)
    assert "CHAIR" not in summary.text(full_results, "demo")


def test_the_query_computes_what_a_run_stores(cursor):
    stored = queries.hallucinations(cursor, "run")
    assert _hallucinations(cursor, "run").to_numpy().tolist() == stored.to_numpy().tolist()
