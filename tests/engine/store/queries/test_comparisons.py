"""Paired tests of two settings."""

import pytest

from engine.statistics import compare, holm
from engine.store import database, queries, records
from engine.store import tables as store
from engine.store.schema import METRICS
from tests.engine.store.queries.stored_values import scored
from tests.support import runs


def test_every_metric_that_both_have_is_tested_and_corrected_for_their_number(partial):
    found = queries.comparison(partial, "demo", 3, "demo", 1).set_index("metric")
    assert list(found.index) == [metric for metric in METRICS if metric in runs.METRICS]
    left, right = scored(partial, "cider", beam=3), scored(partial, "cider", beam=1)
    expected = compare([left[name] for name in sorted(left)], [right[name] for name in sorted(left)])
    row = found.loc["cider"]
    assert (row.difference, row.low, row.p_randomization) == (
        pytest.approx(expected.difference),
        pytest.approx(expected.low),
        expected.p_randomization,
    )
    assert row.wins + row.ties + row.losses == row.images == 12
    assert found.p_holm.tolist() == holm(found.p_randomization.tolist())
    assert queries.comparison(partial, "demo", 3, "partial", 0).metric.tolist() == ["cider"]


def test_a_pooled_metric_is_compared_by_the_corpus_values_of_its_counts(tmp_path):
    from engine.metrics import pooling
    from engine.metrics.measure import score_captions
    from engine.statistics import compare as paired

    said = {1: ["a dog runs", "two cats sit", "a bus"], 3: ["a dog runs fast", "two cats", "a red bus stops"]}
    references = [["a dog runs fast"], ["two cats sit on a couch"], ["a red bus stops here"]]
    found = score_captions(said, references, ["bleu_1"])
    rows, captions = [], []
    for size, texts in said.items():
        for image, text in enumerate(texts):
            key = {"image_id": str(image), "beam_size": size}
            counts = [int(value) for value in found[size].counts["bleu_counts"][image]]
            rows.append({**key, "bleu_1": found[size].per_image["bleu_1"][image], "bleu_counts": counts})
            captions.append({**key, "caption": text})
    folder = records.run_folder(tmp_path, "small")
    store.write_table(folder, "scores", store.table_of("scores", rows, ["bleu_1"]))
    store.write_table(folder, "captions", store.table_of("captions", captions))
    records.write_record(folder, {"run": "small"})
    cursor = database.connect(tmp_path)[0].cursor()
    row = queries.comparison(cursor, "small", 3, "small", 1).iloc[0]
    assert row.left == pytest.approx(found[3].corpus["bleu_1"].value)
    assert row.right == pytest.approx(found[1].corpus["bleu_1"].value)
    counts = [found[size].counts["bleu_counts"] for size in (3, 1)]
    expected = paired(*counts, pooled=pooling.POOLED["bleu_1"].score)
    assert (row.difference, row.p_randomization) == (pytest.approx(expected.difference), expected.p_randomization)
    assert queries.smallest_beam(cursor, "small", "bleu_1")[["images", "pooled"]].values.tolist() == [[3, True]]
