"""How captions change with the beam size."""

import numpy as np
import pytest

from engine.statistics import smallest_not_worse, wilson_interval
from engine.store import database, queries
from tests.engine.store.queries.stored_values import scored
from tests.support import runs


def test_beam_statistics_count_lengths_cuts_and_changes(cursor):
    found = queries.beam_statistics(cursor, "demo").set_index("beam_size")
    assert found.words.tolist() == pytest.approx([6.0, 7.5, 7.5])
    assert found.unfinished.tolist() == pytest.approx([2 / 12, 0, 0])
    assert found.changed.tolist() == pytest.approx([np.nan, 0.5, 0.0], nan_ok=True)
    assert found.previous.tolist() == pytest.approx([np.nan, 1, 3], nan_ok=True)
    assert (found.changed_low[3], found.changed_high[3]) == pytest.approx(wilson_interval(6, 12))


def test_what_is_not_known_of_imported_predictions_is_null_and_not_zero(cursor):
    row = queries.beam_statistics(cursor, "predictions").iloc[0]
    assert np.isnan(row.unfinished) and np.isnan(row.changed)
    assert (row.words, row.distinct_words) == (5, 4)


def test_punctuation_is_not_counted_as_words(full_results):
    connection = database.connect(full_results)[0]
    connection.execute(
        """CREATE OR REPLACE VIEW captions AS SELECT 'dots' AS run, 1 AS beam_size, image_id, caption, words,
        true AS finished FROM (VALUES ('a', 'a dog .', ['a', 'dog', '.']), ('b', '猫 , 2', ['猫', ',', '2']))
        AS found (image_id, caption, words)"""
    )
    row = queries.beam_statistics(connection.cursor(), "dots").iloc[0]
    assert (row.words, row.distinct_words, row.words_low, row.words_high) == (2, 4, 2, 2)


def test_the_smallest_beam_size_is_tested_on_images_that_all_sizes_have(cursor):
    values = {size: scored(cursor, "cider", beam=size) for size in runs.BEAMS}
    names = sorted(values[1])
    expected = smallest_not_worse({size: [values[size][name] for name in names] for size in runs.BEAMS})
    assert queries.smallest_beam(cursor, "demo", "cider").values.tolist() == [
        [expected.smallest, expected.best, 12, False, ""]
    ]
    assert queries.smallest_beam(cursor, "predictions", "cider").empty
    assert queries.smallest_beam(cursor, "demo", "meteor").empty
