"""Every SELECT against results whose content is known (tests/runs.py)."""

import unicodedata

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.statistics import bootstrap_mean_interval, compare, holm, smallest_not_worse, wilson_interval
from engine.store import database, queries, records
from engine.store import tables as store
from engine.store.queries import Lasso, Selection, case_tables, temporary_tables
from engine.store.schema import METRICS
from tests.support import runs


@pytest.fixture(scope="module")
def connection(full_results):
    return database.connect(full_results)[0]


@pytest.fixture
def cursor(connection) -> duckdb.DuckDBPyConnection:
    return connection.cursor()


def scored(cursor, metric: str, run: str = "demo", beam: int = 1) -> dict[str, float]:
    """The stored values, read without `queries`."""
    rows = cursor.execute(f'SELECT image_id, "{metric}" FROM scores WHERE run = ? AND beam_size = ?', [run, beam])
    return dict(rows.fetchall())


def test_runs_are_listed_by_name_with_how_much_they_hold(cursor):
    found = queries.runs(cursor).set_index("run")
    assert list(found.index) == ["demo", "demo_cnn", "predictions"]
    assert found.loc["demo", ["captions", "images", "skipped", "attention", "zero_shot"]].tolist() == [
        36,
        12,
        1,
        36,
        12,
    ]
    assert found.loc["predictions", ["captions", "attention", "zero_shot"]].tolist() == [5, 0, 0]


def test_beam_sizes_ascend_and_imported_predictions_have_zero(cursor):
    assert queries.beam_sizes(cursor, "demo").beam_size.tolist() == [1, 3, 5]
    assert queries.beam_sizes(cursor, "predictions").beam_size.tolist() == [0]


def test_corpus_scores_come_in_the_metrics_order_with_intervals(cursor):
    found = queries.corpus_scores(cursor, "demo")
    assert list(dict.fromkeys(found.metric)) == [metric for metric in METRICS if metric in runs.METRICS]
    row = found[(found.metric == "clipscore") & (found.beam_size == 3)].iloc[0]
    values = list(scored(cursor, "clipscore", beam=3).values())
    assert row.value == pytest.approx(np.mean(values))
    assert (row.low, row.high) == pytest.approx(bootstrap_mean_interval(values))


def test_the_best_beam_size_has_the_highest_value_and_of_equals_is_the_smallest(cursor):
    best = queries.best_scores(cursor)
    every = queries.corpus_scores(cursor, "demo")
    row = best[(best.run == "demo") & (best.metric == "cider")].iloc[0]
    assert row.value == every[every.metric == "cider"].value.max()
    cursor.execute(
        "CREATE TEMP TABLE corpus_scores AS SELECT 'x' AS run, unnest([5, 1, 3]) AS beam_size, "
        "'cider' AS metric, 1.0 AS value, 0.9 AS low, 1.1 AS high, 2 AS images, '' AS signature"
    )
    try:
        assert queries.best_scores(cursor).beam_size.tolist() == [1]
    finally:
        cursor.execute("DROP TABLE temp.corpus_scores")


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


def test_full_stops_are_no_words(full_results):
    connection = database.connect(full_results)[0]
    connection.execute(
        """CREATE OR REPLACE VIEW captions AS SELECT 'dots' AS run, 1 AS beam_size, image_id, caption, words,
        true AS finished FROM (VALUES ('a', 'a dog .', ['a', 'dog', '.']), ('b', '猫 , 2', ['猫', ',', '2']))
        AS found (image_id, caption, words)"""
    )
    row = queries.beam_statistics(connection.cursor(), "dots").iloc[0]
    assert (row.words, row.distinct_words, row.words_low, row.words_high) == (2, 4, 2, 2)


@pytest.fixture
def nearly_tied(full_results) -> duckdb.DuckDBPyConnection:
    """BLEU-4 as its smoothing leaves it where no 4-gram is right, twice; d and e differ by what is read."""
    connection = database.connect(full_results)[0]
    connection.execute(
        """
        CREATE OR REPLACE VIEW captions AS SELECT 'tied' AS run, size AS beam_size, image_id, image_id AS caption,
            0.0 AS logprob, true AS finished, ['x'] AS words
        FROM (SELECT unnest(['a', 'b', 'c', 'd', 'e']) AS image_id), (SELECT unnest([1, 3]) AS size);
        CREATE TABLE tied AS SELECT * REPLACE ('tied' AS run) FROM scores WHERE false;
        INSERT INTO tied BY NAME SELECT 'tied' AS run, beam_size, image_id, bleu_4 FROM (VALUES
            (1, 'a', 3e-5), (1, 'b', 2e-5), (1, 'c', 1e-5), (1, 'd', 0.5), (1, 'e', 0.4),
            (3, 'a', 1e-5), (3, 'b', 9e-5), (3, 'c', 1e-5), (3, 'd', 0.4), (3, 'e', 0.5)
        ) AS found (beam_size, image_id, bleu_4);
        CREATE OR REPLACE VIEW scores AS FROM tied;
        """
    )
    return connection.cursor()


def test_what_only_smoothing_parts_is_tied_in_order_rank_and_comparison(nearly_tied):
    found = queries.cases(nearly_tied, "tied", 1, "bleu_4", True)
    assert found.image_id.tolist() == ["d", "e", "a", "b", "c"] and found["rank"].tolist() == [1, 2, 3, 3, 3]
    assert queries.cases(nearly_tied, "tied", 1, "bleu_4", False).image_id.tolist() == ["a", "b", "c", "e", "d"]
    place = queries.neighbours(nearly_tied, "tied", 1, "bleu_4", True, Selection(), "b").iloc[0]
    assert (place.previous, place.next, place.position) == ("a", "c", 4)
    stands = queries.case_metrics(nearly_tied, "tied", 1, "c").iloc[0]
    assert (stands["rank"], stands.percentile) == (3, 25)
    compared = queries.comparison(nearly_tied, "tied", 1, "tied", 3).iloc[0]
    assert (compared.wins, compared.ties, compared.losses) == (1, 3, 1)
    assert queries.paired_cases(nearly_tied, "tied", 1, "tied", 3, "bleu_4", False).image_id.tolist() == ["e"]


@pytest.mark.parametrize("descending", [True, False])
def test_cases_are_sorted_by_the_metric_and_ranked_over_the_whole_split(cursor, descending):
    found = queries.cases(cursor, "demo", 1, "clipscore", descending, limit=3)
    values = scored(cursor, "clipscore")
    expected = sorted(values, key=values.get, reverse=descending)
    assert found.image_id.tolist() == expected[:3]
    assert found["rank"].tolist() == ([1, 2, 3] if descending else [12, 11, 10])
    assert set(found.scored) == {12}


def test_a_page_of_cases_goes_on_where_the_one_before_ended(cursor):
    whole = queries.cases(cursor, "demo", 1, "cider", False).image_id.tolist()
    pages = [queries.cases(cursor, "demo", 1, "cider", False, limit=5, offset=start) for start in (0, 5, 10)]
    assert [image for page in pages for image in page.image_id] == whole


def test_cases_without_a_score_come_last_in_both_directions(cursor):
    for descending in (True, False):
        found = queries.cases(cursor, "predictions", 0, "meteor", descending)
        assert found["rank"].isna().all() and len(found) == 5


def test_a_range_selects_cases_and_keeps_their_rank(cursor):
    selection = Selection(ranges=(("clipscore", 0.3, 0.5), ("cider", 0.0, 1.0)))
    found = queries.cases(cursor, "demo", 1, "clipscore", True, selection)
    clip, cider = scored(cursor, "clipscore"), scored(cursor, "cider")
    assert set(found.image_id) == {i for i in clip if 0.3 <= clip[i] <= 0.5 and cider[i] <= 1.0}
    assert found["rank"].min() > 1
    counted = queries.case_count(cursor, "demo", 1, selection).iloc[0]
    assert (counted.selected, counted.total) == (len(found), 12)


def test_text_is_found_in_captions_and_references_as_it_stands(cursor):
    def ids(text: str) -> list[str]:
        return sorted(queries.cases(cursor, "demo", 1, "cider", True, Selection(text=text)).image_id)

    assert ids("<SCRIPT>") == [runs.SCRIPT_IMAGE]
    assert ids("that is blue") == ["scene_01", "scene_05", "scene_09"]
    assert ids("%") == [] and ids("_") == []
    assert ids("' OR 1=1 --") == []


def said_or_written(cursor, text: str) -> list[str]:
    """The images that a search by hand finds: `text` at a word's beginning, as whole words if it stands in quotes."""
    text = text.strip()
    within = text[1:-1].strip()
    is_whole = bool(within) and text[0] == text[-1] == '"'
    phrase = (within if is_whole else text).lower()
    rows = cursor.execute(
        """
        SELECT image_id, unnest(list_append("references", caption))
        FROM captions JOIN images USING (run, image_id) WHERE run = 'demo' AND beam_size = 1
        """
    )
    return sorted({image for image, line in rows.fetchall() if is_said(line.lower(), phrase, is_whole)})


def is_said(line: str, phrase: str, is_whole: bool) -> bool:
    places = [at for at in range(len(line)) if line.startswith(phrase, at)]
    begun = [at for at in places if not (at and is_spaced(phrase[0]) and is_spaced(line[at - 1]))]
    ends = [line[at + len(phrase) :][:1] for at in begun]
    return bool([end for end in ends if not (is_whole and end and is_spaced(phrase[-1]) and is_spaced(end))])


def is_spaced(letter: str) -> bool:
    """A letter or figure of a script that writes spaces between words."""
    return unicodedata.category(letter) in ("Lu", "Ll", "Lt", "Mn", "Mc", "Me", "Nd", "Nl", "No")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text("aAbdeEnRsSTu %_!'<\"", min_size=1, max_size=3).filter(str.strip)
    | st.sampled_from(["A Blue", "SQUARE", "on the gre", '"square"', '"squar"', '"the green"', '"n the green"'])
)
def test_text_finds_what_a_search_through_the_files_finds(cursor, text):
    found = queries.cases(cursor, "demo", 1, "cider", True, Selection(text=text))
    assert sorted(found.image_id) == said_or_written(cursor, text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("man", ["a man.", "two Mannequins"]),
        ('"man"', ["a man."]),
        ("“Man”", ["a man."]),
        (" man ", ["a man.", "two Mannequins"]),
        ('" man"', ["a man."]),
        ("ann", []),
        ("été", ["l'été"]),
        ("人", ["一个人在跑"]),
        ('"个人"', ["一个人在跑"]),
        (".", ["a man."]),
        ('"', ['a "stop" sign']),
    ],
)
def test_a_search_is_for_beginnings_of_words_or_for_whole_words(tmp_path, text, found):
    said = ["a man.", "a woman", "two Mannequins", "l'été", "一个人在跑", 'a "stop" sign', "répété"]
    folder, keys = records.run_folder(tmp_path, "said"), [{"image_id": str(image)} for image in range(len(said))]
    captions = [{**key, "beam_size": 1, "caption": caption} for key, caption in zip(keys, said, strict=True)]
    scores = [{**key, "beam_size": 1, "cider": 0.0} for key in keys]
    store.write_table(folder, "images", store.table_of("images", [{**key, "references": []} for key in keys]))
    store.write_table(folder, "captions", store.table_of("captions", captions))
    store.write_table(folder, "scores", store.table_of("scores", scores, ["cider"]))
    records.write_record(folder, {"run": "said"})
    kept = queries.cases(database.connect(tmp_path)[0].cursor(), "said", 1, "cider", True, Selection(text=text))
    assert kept.caption.tolist() == found


def test_a_search_goes_with_the_cases_whose_rows_it_numbers(full_results, monkeypatch):
    monkeypatch.setattr(case_tables, "_SMALL", 0)
    monkeypatch.setattr(temporary_tables, "_MOST_ROWS", 45)  # the references, and the cases of one beam size and a half
    cursor = database.connect(full_results)[0].cursor()
    for beam in (1, 3, 5) * 2:
        found = queries.cases(cursor, "demo", beam, "cider", True, Selection(text="that is blue"))
        assert sorted(found.image_id) == ["scene_01", "scene_05", "scene_09"]
        tables = cursor.execute("SELECT table_name FROM duckdb_tables() WHERE table_name LIKE 'held%'").fetchall()
        held = {name for (name,) in tables}
        searches = {name for name in held if name.count("_") == 2}
        assert searches and {name.rpartition("_")[0] for name in searches} <= held


def test_tags_and_conditions_select(cursor):
    tagged = queries.cases(cursor, "demo", 1, "cider", True, Selection(tag="wrong colour"))
    assert sorted(tagged.image_id) == ["scene_01", "scene_05", "scene_09"]
    blurred = queries.cases(cursor, "demo", 1, "cider", True, Selection(condition="blurred"))
    assert sorted(blurred.image_id) == ["scene_02", "scene_05", "scene_08", "scene_11"]
    assert queries.tags(cursor, "demo", 1).values.tolist() == [["wrong colour", 3]]
    assert queries.conditions(cursor, "demo").condition.tolist() == ["blurred", "dark", "small"]


@pytest.mark.parametrize("name", ["image_id", "cider; DROP TABLE runs", 'cider" DESC --', ""])
def test_only_a_metric_of_the_contract_can_be_sorted_by(cursor, name):
    with pytest.raises(ValueError, match="unknown metric"):
        queries.cases(cursor, "demo", 1, name, True)
    with pytest.raises(ValueError, match="unknown metric"):
        queries.case_count(cursor, "demo", 1, Selection(ranges=((name, 0, 1),)))


def test_neighbours_walk_the_order_of_the_cases(cursor):
    order = queries.cases(cursor, "demo", 1, "clipscore", False).image_id.tolist()
    first = queries.neighbours(cursor, "demo", 1, "clipscore", False, Selection(), order[0]).iloc[0]
    assert (first.next, first.position, first.selected) == (order[1], 1, 12)
    assert first.previous is None or first.previous != first.previous
    middle = queries.neighbours(cursor, "demo", 1, "clipscore", False, Selection(), order[5]).iloc[0]
    assert (middle.previous, middle.next) == (order[4], order[6])
    assert queries.neighbours(cursor, "demo", 1, "clipscore", False, Selection(text="zebra"), order[0]).empty


def test_a_case_has_its_references_and_an_unknown_one_has_no_row(cursor):
    case = queries.case(cursor, "demo", 3, "scene_01").iloc[0]
    assert case.caption == "a blue square is standing on the green grass"
    assert list(case.references)[0] == "A blue square on the grass ."
    assert queries.case(cursor, "demo", 3, "nobody").empty


def test_the_percentile_is_the_share_of_other_cases_that_are_lower(cursor):
    found = queries.case_metrics(cursor, "demo", 1, "scene_04").set_index("metric")
    values = scored(cursor, "cider")
    lower = sum(value < values["scene_04"] for value in values.values())
    assert found.loc["cider", "percentile"] == pytest.approx(100 * lower / 11)
    assert found.loc["cider", "rank"] == 12 - lower
    assert "meteor" not in found.index


def test_equal_scores_share_the_middle_of_their_percentiles(tmp_path):
    folder = runs.imported_run(tmp_path / "results")
    rows = [row | {"cider": 1.0} for row in store.read_table(folder, "scores").to_pylist()]
    store.write_table(folder, "scores", store.table_of("scores", rows, ["cider", "bleu_1", "bleu_4", "rouge_l"]))
    found = queries.case_metrics(database.connect(tmp_path / "results")[0].cursor(), "predictions", 0, "flickr_2")
    assert found[found.metric == "cider"].percentile.tolist() == [50.0]
    assert found[found.metric == "cider"]["rank"].tolist() == [1]


def test_a_score_that_is_no_number_is_none(tmp_path):
    folder = runs.imported_run(tmp_path / "results")
    rows = store.read_table(folder, "scores").to_pylist()
    rows[0]["cider"], rows[1]["cider"] = float("nan"), float("inf")
    store.write_table(folder, "scores", store.table_of("scores", rows, ["cider", "bleu_1", "bleu_4", "rouge_l"]))
    cursor = database.connect(tmp_path / "results")[0].cursor()
    found = queries.cases(cursor, "predictions", 0, "cider", True)
    assert found["rank"].isna().tolist() == [False, False, False, True, True]
    ranges = queries.metric_ranges(cursor, "predictions", 0).set_index("metric")
    assert ranges.scored["cider"] == 3 and np.isfinite(ranges.high["cider"])
    assert queries.case_metrics(cursor, "predictions", 0, rows[2]["image_id"]).set_index("metric").scored["cider"] == 3


def test_the_captions_of_all_beam_sizes_stand_beside_each_other(cursor):
    found = queries.case_captions(cursor, "demo", "scene_01")
    assert found.beam_size.tolist() == [1, 3, 5]
    assert found.caption[0] != found.caption[1] == found.caption[2]


def test_attention_comes_whole_with_the_photo_it_lies_over(cursor):
    row = queries.attention(cursor, "demo_cnn", 1, "scene_00").iloc[0]
    words, layers, heads, patches = row["shape"]
    assert (layers, heads, patches) == (2, 2, 49)
    assert len(row["weights"]) == words * layers * heads * patches
    assert len(row["scale"]) == words * layers * heads
    assert row["crop"] == {"x": 40.0, "y": 0.0, "width": 240.0, "height": 240.0}
    assert (row["file_name"], row["width"], row["height"]) == ("scene_00.png", 320, 240)


def test_a_run_without_attention_has_no_rows_of_it(cursor):
    assert queries.attention_beam_sizes(cursor, "predictions").empty
    assert queries.attention(cursor, "predictions", 0, "flickr_0").empty
    assert len(queries.attention_captions(cursor, "demo", 1, 4)) == 4


def test_accuracy_is_the_share_of_known_labels_with_its_wilson_interval(cursor):
    found = queries.zero_shot_accuracy(cursor, "demo")
    assert found.template.tolist() == runs.TEMPLATES
    assert found.accuracy.tolist() == pytest.approx([9 / 12, 8 / 12, 6 / 12])
    assert (found.low[0], found.high[0]) == pytest.approx(wilson_interval(9, 12))


def test_of_equal_templates_the_one_given_first_comes_first(tmp_path):
    results = tmp_path / "results"
    given = ["z {object}", "a {object}", "m {object}"]
    rows = [
        {"image_id": "1", "file_name": "1.png", "template": name, "label": "x", "predicted": "x", "correct": True}
        for name in sorted(given)
    ]
    for run, record in (("made", {"plan": {"templates": given}}), ("imported", {"templates": given}), ("old", {})):
        folder = records.run_folder(results, run)
        store.write_table(folder, "zero_shot", store.table_of("zero_shot", rows))
        records.write_record(folder, {"run": run, "kind": "zero_shot", **record})
    cursor = database.connect(results)[0].cursor()
    assert queries.zero_shot_accuracy(cursor, "made").template.tolist() == given
    assert queries.zero_shot_accuracy(cursor, "imported").template.tolist() == given
    assert queries.zero_shot_accuracy(cursor, "old").template.tolist() == sorted(given)


def test_headline_scores_of_a_row_are_of_the_same_captions(cursor):
    found = queries.headline_scores(cursor)
    mine = found[found.run == "demo"]
    assert mine.beam_size.tolist() == [1, 3, 5]
    for row in mine.itertuples():
        corpus = queries.corpus_scores(cursor, "demo").query(f"beam_size == {row.beam_size}").set_index("metric").value
        assert (row.cider, row.clipscore) == (corpus["cider"], corpus["clipscore"])


def test_zero_shot_cases_are_filtered_by_outcome_and_label(cursor):
    wrong = queries.zero_shot_cases(cursor, "demo", runs.TEMPLATES[2], "wrong")
    assert wrong.image_id.tolist() == [f"scene_{i:02d}" for i in range(6, 12)]
    some = queries.zero_shot_cases(cursor, "demo", runs.TEMPLATES[2], "wrong", "circle", limit=1)
    assert (some.label.tolist(), some.matching.tolist()) == (["circle"], [2])
    assert queries.zero_shot_labels(cursor, "demo").label.tolist() == ["circle", "square", "triangle"]
    with pytest.raises(ValueError, match="outcome is 'odd'"):
        queries.zero_shot_cases(cursor, "demo", runs.TEMPLATES[0], "odd")


def test_training_and_losses_are_listed(cursor):
    training = queries.training(cursor, "demo")
    assert training.step.is_monotonic_increasing and training.validation_cider.notna().sum() == 3
    assert queries.skipped(cursor, "demo").file_name.tolist() == ["broken.png"]


def test_every_query_of_an_empty_folder_gives_an_empty_answer(empty_results):
    cursor = database.connect(empty_results)[0].cursor()
    for query in (queries.runs, queries.best_scores):
        assert query(cursor).empty
    for query in (
        queries.beam_sizes,
        queries.corpus_scores,
        queries.training,
        queries.skipped,
        queries.beam_statistics,
        queries.conditions,
        queries.attention_beam_sizes,
        queries.zero_shot_accuracy,
        queries.zero_shot_labels,
        queries.oracle,
    ):
        assert query(cursor, "demo").empty, query.__name__
    assert queries.cases(cursor, "demo", 1, "cider", True).empty
    assert queries.smallest_beam(cursor, "demo", "cider").empty and queries.tag_examples(cursor, "demo", 1).empty
    assert queries.partners(cursor, "demo").empty and queries.comparison(cursor, "demo", 1, "demo", 3).empty
    assert queries.overlap(cursor, "demo", 1, "demo", 3).shared.item() == 0
    assert queries.zero_shot_comparison(cursor, "demo", "a", "b").empty
    assert queries.zero_shot_confusion(cursor, "demo", "a").empty


# Two settings, two templates


@pytest.fixture
def partial(tmp_path) -> duckdb.DuckDBPyConnection:
    """A captioner run, and predictions for five of its photos and one of their own."""
    runs.captioner_run(tmp_path / "results")
    runs.partial_run(tmp_path / "results")
    return database.connect(tmp_path / "results")[0].cursor()


def test_partners_share_images_and_the_run_itself_comes_first(partial):
    assert queries.partners(partial, "demo").values.tolist() == [["demo", 12], ["partial", 5]]
    assert queries.partners(partial, "partial").values.tolist() == [["partial", 6], ["demo", 5]]


@pytest.fixture
def grounded(tmp_path) -> duckdb.DuckDBPyConnection:
    runs.add_grounding(runs.captioner_run(tmp_path / "results"))
    return database.connect(tmp_path / "results")[0].cursor()


def test_layers_and_heads_are_held_against_chance_on_nouns_that_have_one(grounded):
    found = queries.grounding_heads(grounded, "demo", 1).set_index(["layer", "head"])
    assert list(found.index) == [(0, -1), (0, 0), (1, -1), (1, 0)]
    row = found.loc[0, -1]
    assert (row.nouns, row.images, row.hit, row.lift) == (4, 4, 0.75, 4.0)
    assert (row.tested, row.own, row.chance, row.gain) == (3, *map(pytest.approx, (2 / 3, 1 / 3, 1 / 3)))
    assert (row.low, row.high) == pytest.approx(bootstrap_mean_interval([1, 0, 0]))
    assert found.loc[1, -1].gain == 0 and found.loc[1, -1].hit == 0.25
    assert queries.grounding_heads(grounded, "demo", 3).empty


def test_maps_around_a_noun_and_labels_are_counted(grounded):
    offsets = queries.grounding_offsets(grounded, "demo", 1)
    assert offsets[["layer", "offset", "nouns", "hit"]].values.tolist() == [
        [0, -1, 4, 0.75], [0, 0, 4, 0.75], [1, 0, 4, 0.25], [1, 1, 4, 0.25],
    ]  # fmt: skip
    labels = queries.grounding_labels(grounded, "demo", 1, 0, -1)
    assert labels[["label", "nouns", "hit", "image_id", "word_index"]].values.tolist() == [
        ["triangle", 1, 0, "scene_02", 2], ["circle", 2, 1, "scene_00", 2], ["square", 1, 1, "scene_01", 2],
    ]  # fmt: skip
    assert (labels.low[1], labels.high[1]) == wilson_interval(2, 2) and labels.chance.tolist() == [0, 0, 1]
    assert queries.grounding_labels(grounded, "demo", 3, 0, -1).empty


def test_the_nouns_and_boxes_of_a_case(grounded, tmp_path):
    found = queries.case_grounding(grounded, "demo", 1, "scene_00")
    assert found[["word_index", "layer", "head", "hit"]].values.tolist() == [
        [2, 0, -1, True], [2, 0, 0, True], [2, 1, -1, False], [2, 1, 0, False],
    ]  # fmt: skip
    boxes = queries.boxes(grounded, "demo", "scene_00")
    box = store.read_table(records.run_folder(tmp_path / "results", "demo"), "images")["objects"][0].as_py()[0]
    assert boxes.to_dict("records") == [box]


def test_the_oracle_holds_the_chosen_against_all_and_the_best(tmp_path):
    runs.add_hypotheses(runs.captioner_run(tmp_path / "results"))
    cursor = database.connect(tmp_path / "results")[0].cursor()
    found = queries.oracle(cursor, "demo").set_index(["beam_size", "metric"])
    assert list(found.index) == [(3, "cider"), (3, "clipscore"), (5, "cider"), (5, "clipscore")]
    three, five = found.loc[3, "cider"], found.loc[5, "cider"]
    assert (three.images, three.kept, three.chosen, three.average, three.best) == (12, 3, 0.5, 0.75, 1.5)
    assert (three.better, three.gain, three.gain_low, three.gain_high, three.lead) == (1, 1, 1, 1, -0.25)
    assert (five.better, five.gain, five.lead, five.lead_low) == (0, 0, 0.25, 0.25)
    assert found.loc[(3, "clipscore"), "best"] == 0.75
    case = queries.case_hypotheses(cursor, "demo", 3, "scene_02")
    assert case["rank"].tolist() == [1, 2, 3] and case.cider.tolist() == runs.WORTH[3]


def test_images_of_one_name_without_a_reference_in_common_are_counted(tmp_path):
    said = {"mine": [["a", "b"], ["c"], [], ["d"]], "theirs": [["b"], ["x"], ["y"], ["z"], ["w"]]}
    for run, references in said.items():
        folder = records.run_folder(tmp_path, run)
        rows = [{"image_id": str(image), "references": each} for image, each in enumerate(references)]
        store.write_table(folder, "images", store.table_of("images", rows))
        records.write_record(folder, {"run": run})
    cursor = database.connect(tmp_path)[0].cursor()
    assert queries.namesakes(cursor, "mine", "theirs").images.item() == 2
    assert queries.namesakes(cursor, "mine", "mine").images.item() == 0


def test_the_overlap_counts_both_sides_and_equal_captions(partial):
    assert queries.overlap(partial, "demo", 3, "partial", 0).values.tolist() == [[12, 6, 5, 0]]
    found = queries.overlap(partial, "demo", 3, "demo", 5).iloc[0]
    assert (found["left"], found["right"], found.shared, found.same) == (12, 12, 12, 12)


def test_pairs_are_the_stored_values_of_images_that_both_have(partial):
    found = queries.paired_scores(partial, "demo", 3, "partial", 0, "cider").set_index("image_id")
    assert sorted(found.index) == runs.image_ids()[:5] and set(found.shared) == {5}
    assert found.left.to_dict() == {name: scored(partial, "cider", beam=3)[name] for name in found.index}
    assert found.right.to_dict() == {name: scored(partial, "cider", "partial", 0)[name] for name in found.index}


def test_a_sample_of_pairs_is_the_same_every_time_and_counts_all(cursor):
    asked = ("demo", 3, "demo", 1, "cider", 4)
    first, second = queries.paired_scores(cursor, *asked), queries.paired_scores(cursor, *asked)
    assert len(first) == 4 and first.equals(second) and set(first.shared) == {12}


def test_the_largest_changes_come_first_and_only_in_their_direction(cursor):
    left, right = scored(cursor, "clipscore", beam=3), scored(cursor, "clipscore", beam=1)
    change = {name: left[name] - right[name] for name in left}
    gains = queries.paired_cases(cursor, "demo", 3, "demo", 1, "clipscore", True, 20)
    losses = queries.paired_cases(cursor, "demo", 3, "demo", 1, "clipscore", False, 20)
    assert gains.image_id.tolist() == sorted((n for n in change if change[n] > 0), key=lambda n: -change[n])
    assert losses.image_id.tolist() == sorted((n for n in change if change[n] < 0), key=lambda n: change[n])
    assert gains.file_name.iloc[0] == f"{gains.image_id.iloc[0]}.png"


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
    from engine.metrics import base
    from engine.statistics import compare as paired

    said = {1: ["a dog runs", "two cats sit", "a bus"], 3: ["a dog runs fast", "two cats", "a red bus stops"]}
    references = [["a dog runs fast"], ["two cats sit on a couch"], ["a red bus stops here"]]
    found = base.score_captions(said, references, ["bleu_1"])
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
    expected = paired(*counts, pooled=base.POOLED["bleu_1"].score)
    assert (row.difference, row.p_randomization) == (pytest.approx(expected.difference), expected.p_randomization)
    assert queries.smallest_beam(cursor, "small", "bleu_1")[["images", "pooled"]].values.tolist() == [[3, True]]


def test_the_smallest_beam_size_that_is_not_worse_rests_on_images_that_all_sizes_have(cursor):
    values = {size: scored(cursor, "cider", beam=size) for size in runs.BEAMS}
    names = sorted(values[1])
    expected = smallest_not_worse({size: [values[size][name] for name in names] for size in runs.BEAMS})
    assert queries.smallest_beam(cursor, "demo", "cider").values.tolist() == [[*expected, 12, False]]
    assert queries.smallest_beam(cursor, "predictions", "cider").empty
    assert queries.smallest_beam(cursor, "demo", "meteor").empty


def test_tags_come_with_their_first_case_and_its_evidence(cursor):
    found = queries.tag_examples(cursor, "demo", 1)
    assert found[["tag", "images", "image_id"]].values.tolist() == [["wrong colour", 3, "scene_01"]]
    assert found.evidence.tolist() == ["the references name another colour"]


def test_templates_are_compared_on_the_same_images(cursor):
    found = queries.zero_shot_comparison(cursor, "demo", runs.TEMPLATES[0], runs.TEMPLATES[2]).iloc[0]
    assert found[["images", "both", "only_left", "only_right", "neither"]].tolist() == [12, 6, 3, 0, 3]
    assert found.p == 0.25  # the exact tail: 2 * (1 / 2) ** 3
    changes = queries.zero_shot_changes(cursor, "demo", runs.TEMPLATES[0], runs.TEMPLATES[2])
    assert changes.change.tolist() == [1, 1, 1] and changes["left"].tolist() == [3, 3, 3]


def test_a_class_that_loses_comes_before_those_that_stay():
    rows = [("r", f"{label}{image}", label, template, right)
            for label, left, other in (("gains", 2, 1), ("loses", 0, 2), ("stays", 1, 1))
            for template, count in (("l", left), ("o", other))
            for image, right in enumerate([True] * count + [False] * (2 - count))]  # fmt: skip
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE zero_shot (run TEXT, image_id TEXT, label TEXT, template TEXT, correct BOOL)")
        connection.executemany("INSERT INTO zero_shot VALUES (?, ?, ?, ?, ?)", rows)
        found = queries.zero_shot_changes(connection, "r", "l", "o")
    assert found[["label", "change"]].values.tolist() == [["loses", -2], ["gains", 1], ["stays", 0]]


def test_confusions_count_what_each_class_was_taken_for(cursor):
    found = queries.zero_shot_confusion(cursor, "demo", runs.TEMPLATES[0])
    assert found.images.sum() == 12 and found.values.tolist()[0] == ["circle", "circle", 3]
    assert ["circle", "square", 1] in found.values.tolist()


def values_of(cursor, x: str, y: str) -> dict[str, tuple[float, float]]:
    first, second = scored(cursor, x), scored(cursor, y)
    return {image: (first[image], second[image]) for image in first}


def test_a_lasso_selects_the_points_inside_it(cursor):
    corners = ((0.0, 0.0), (1.2, 0.0), (1.2, 0.2), (0.6, 0.9), (0.0, 0.2))  # a house: its roof is slanted
    found = queries.cases(cursor, "demo", 1, "cider", True, Selection(lasso=Lasso("cider", "clipscore", corners)))

    def inside(x: float, y: float) -> bool:
        roof = 0.2 + 0.7 * (x / 0.6 if x < 0.6 else (1.2 - x) / 0.6)
        return 0 < x < 1.2 and 0 < y < roof

    expected = {image for image, point in values_of(cursor, "cider", "clipscore").items() if inside(*point)}
    assert set(found.image_id) == expected and 0 < len(expected) < 12


def test_a_lasso_without_an_area_selects_nothing(cursor):
    flat = Selection(lasso=Lasso("cider", "clipscore", ((0.0, 0.5), (1.0, 0.5), (2.0, 0.5))))
    assert queries.case_count(cursor, "demo", 1, flat).selected[0] == 0


def test_images_are_selected_and_left_out_by_name(cursor):
    asked = Selection(among=("scene_01", "scene_02", "nobody"), besides=("scene_02",))
    assert queries.cases(cursor, "demo", 1, "cider", True, asked).image_id.tolist() == ["scene_01"]
    assert queries.case_count(cursor, "demo", 1, Selection(among=())).selected[0] == 0


def test_histograms_count_every_case_once_between_the_ends_of_its_metric(cursor):
    ranges = queries.metric_ranges(cursor, "demo", 1)
    edges = tuple((row.metric, row.low, row.high) for row in ranges.itertuples())
    found = queries.histograms(cursor, "demo", 1, edges, bins=6)
    assert found.groupby("metric").cases.sum().eq(12).all()
    values = np.array(list(scored(cursor, "cider").values()))
    expected, _ = np.histogram(values, 6, (values.min(), values.max()))
    mine = found[found.metric == "cider"].set_index("bin").cases
    assert [mine.get(place, 0) for place in range(6)] == expected.tolist()
    some = queries.histograms(cursor, "demo", 1, edges, Selection(condition="dark"), bins=6)
    assert some.groupby("metric").cases.sum().eq(4).all()


def test_a_scatter_has_as_many_of_the_selection_as_of_the_rest(cursor):
    found = queries.scattered(cursor, "demo", 1, "cider", "clipscore", Selection(condition="dark"), limit=3)
    assert found.selected.tolist() == [False] * 3 + [True] * 3 and found.matching.tolist() == [8] * 3 + [4] * 3
    whole = queries.scattered(cursor, "demo", 1, "cider", "clipscore")
    assert {row.image_id: (row.x, row.y) for row in whole.itertuples()} == values_of(cursor, "cider", "clipscore")
    assert whole.selected.all()


def test_quadrants_part_the_cases_at_two_values(cursor):
    points = np.array(list(values_of(cursor, "cider", "clipscore").values()))
    middle = tuple(np.median(points, axis=0))
    found = queries.quadrants(cursor, "demo", 1, "cider", "clipscore", middle)
    assert found.cases.sum() == 12
    over = points > middle
    for row in found.itertuples():
        assert row.cases == np.sum((over[:, 0] == row.right) & (over[:, 1] == row.above))


def test_the_selection_is_held_against_the_rest_with_intervals(cursor):
    selection = Selection(condition="dark")
    found = queries.selection_scores(cursor, "demo", 1, selection).set_index("metric")
    inside = queries.cases(cursor, "demo", 1, "cider", True, selection).image_id
    values = scored(cursor, "cider")
    mine = [values[image] for image in sorted(inside)]
    assert found.selected["cider"] == pytest.approx(np.mean(mine))
    assert (found.selected_low["cider"], found.selected_high["cider"]) == pytest.approx(bootstrap_mean_interval(mine))
    assert found.selected_cases["cider"] == 4 and found.rest_cases["cider"] == 8 and "meteor" not in found.index
    nobody = queries.selection_scores(cursor, "demo", 1, Selection(text="zebra"))
    assert nobody.selected.isna().all() and nobody.rest_cases.eq(12).all()


def test_what_the_selection_is_made_of(cursor):
    found = queries.selection_makeup(cursor, "demo", 1, Selection(condition="dark")).set_index("name")
    assert found.loc["dark", ["kind", "selected", "selected_cases", "rest", "rest_cases"]].tolist() == [
        "condition", 4, 4, 0, 8,
    ]  # fmt: skip
    assert found.index[0] == "dark" and found.loc["wrong colour", "selected"] + found.loc["wrong colour", "rest"] == 3


def test_whether_maps_were_kept_is_known_without_reading_them(cursor):
    assert len(queries.has_attention(cursor, "demo", 1, "scene_00")) == 1
    assert queries.has_attention(cursor, "predictions", 0, "flickr_0").empty


@pytest.mark.parametrize("small", [0, 50_000])
def test_what_is_held_in_memory_is_bounded(full_results, monkeypatch, small):
    monkeypatch.setattr(temporary_tables, "_MOST_ROWS", 30)
    monkeypatch.setattr(case_tables, "_SMALL", small)
    cursor = database.connect(full_results)[0].cursor()
    for beam in (1, 3, 5, 1):
        assert queries.case_count(cursor, "demo", beam).total[0] == 12
    held = "SELECT sum(estimated_size) FROM duckdb_tables() WHERE starts_with(table_name, 'held_')"
    assert 12 <= cursor.execute(held).fetchone()[0] <= 30


def test_a_small_run_held_as_a_whole_answers_as_one_that_is_read_for_each_beam_size(full_results, monkeypatch):
    def answers() -> list:
        cursor = database.connect(full_results)[0].cursor()
        found = [queries.cases(cursor, "demo", beam, "cider", True) for beam in (1, 3, 5)]
        found.append(queries.case_captions(cursor, "demo", "scene_03"))
        return [frame.drop(columns=["tags", "references", "conditions"], errors="ignore") for frame in found]

    whole = answers()
    monkeypatch.setattr(case_tables, "_SMALL", 0)
    for one, other in zip(whole, answers(), strict=True):
        pd.testing.assert_frame_equal(one, other)
