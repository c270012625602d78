"""Filters over cases: text, ranges, regions, tags and image ids."""

import unicodedata

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.store import database, queries, records
from engine.store import tables as store
from engine.store.queries import Lasso, Selection
from tests.engine.store.queries.stored_values import scored, values_of
from tests.support import runs


def test_a_range_selects_cases_and_keeps_their_rank(cursor):
    selection = Selection(ranges=(("clipscore", 0.3, 0.5), ("cider", 0.0, 1.0)))
    found = queries.cases(cursor, "demo", 1, "clipscore", True, selection)
    clip, cider = scored(cursor, "clipscore"), scored(cursor, "cider")
    assert set(found.image_id) == {i for i in clip if 0.3 <= clip[i] <= 0.5 and cider[i] <= 1.0}
    assert found["rank"].min() > 1
    counted = queries.case_count(cursor, "demo", 1, selection).iloc[0]
    assert (counted.selected, counted.total) == (len(found), 12)


def test_text_is_found_literally_in_captions_and_references(cursor):
    def ids(text: str) -> list[str]:
        return sorted(queries.cases(cursor, "demo", 1, "cider", True, Selection(text=text)).image_id)

    assert ids("<SCRIPT>") == [runs.SCRIPT_IMAGE]
    assert ids("that is blue") == ["scene_01", "scene_05", "scene_09"]
    assert ids("%") == [] and ids("_") == []
    assert ids("' OR 1=1 --") == []


def said_or_written(cursor, text: str) -> list[str]:
    """Return the images that a search without SQL finds: at the beginning of words, in quotes as whole words."""
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
    """Return whether it is a letter or digit of a script with spaces between words."""
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


def test_tags_and_conditions_select(cursor):
    tagged = queries.cases(cursor, "demo", 1, "cider", True, Selection(tags=("wrong colour",)))
    assert sorted(tagged.image_id) == ["scene_01", "scene_05", "scene_09"]
    either = ("wrong colour", "unknown tag")
    assert set(queries.cases(cursor, "demo", 1, "cider", True, Selection(tags=either)).image_id) == set(tagged.image_id)
    assert queries.case_count(cursor, "demo", 1, Selection(tags=either, every_tag=True)).selected[0] == 0
    blurred = queries.cases(cursor, "demo", 1, "cider", True, Selection(condition="blurred"))
    assert sorted(blurred.image_id) == ["scene_02", "scene_05", "scene_08", "scene_11"]
    assert queries.tags(cursor, "demo", 1).values.tolist() == [["wrong colour", 3]]
    assert queries.conditions(cursor, "demo").condition.tolist() == ["blurred", "dark", "small"]


def test_cases_with_and_without_a_photo_are_selected(tmp_path):
    folder = runs.captioner_run(tmp_path)
    rows = pq.read_table(folder / "images.parquet").to_pylist()
    for row in rows[:3]:
        row |= {"width": None, "height": None}
    store.write_table(folder, "images", store.table_of("images", rows))
    cursor = database.connect(tmp_path)[0].cursor()
    without = queries.cases(cursor, "demo", 1, "cider", True, Selection(photo=False))
    assert set(without.image_id) == {row["image_id"] for row in rows[:3]}
    assert queries.case_count(cursor, "demo", 1, Selection(photo=True)).selected[0] == len(rows) - 3


def test_the_ids_of_a_selection_are_in_the_order_of_its_cases(cursor):
    selection = Selection(tags=("wrong colour",))
    listed = queries.cases(cursor, "demo", 1, "cider", True, selection).image_id.tolist()
    assert queries.selected_ids(cursor, "demo", 1, "cider", True, selection).image_id.tolist() == listed


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


def test_images_are_included_and_excluded_by_id(cursor):
    asked = Selection(include_ids=("scene_01", "scene_02", "nobody"), exclude_ids=("scene_02",))
    assert queries.cases(cursor, "demo", 1, "cider", True, asked).image_id.tolist() == ["scene_01"]
    assert queries.case_count(cursor, "demo", 1, Selection(include_ids=())).selected[0] == 0


def test_the_images_of_a_slice_are_selected(tmp_path):
    folder = runs.captioner_run(tmp_path)
    key = {"beam_size": 1, "metric": "cider", "rank": 2}
    rows = [{**key, "image_id": name} for name in ("scene_02", "scene_07")] + [
        {**key, "rank": 1, "image_id": "scene_01"}
    ]
    store.write_table(folder, "slice_images", store.table_of("slice_images", rows))
    cursor = database.connect(tmp_path)[0].cursor()
    found = queries.cases(cursor, "demo", 1, "cider", True, Selection(slice=("cider", 2)))
    assert sorted(found.image_id) == ["scene_02", "scene_07"]
    assert queries.case_count(cursor, "demo", 3, Selection(slice=("cider", 2))).selected[0] == 0
