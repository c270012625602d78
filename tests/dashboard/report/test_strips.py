"""The chapters about attention: which images are shown, at which beam size, and what their small print explains."""

import pytest

from dashboard.report import archive, strips
from engine.store import queries, records, tables
from tests.support import runs


@pytest.fixture
def folder(tmp_path):
    return runs.captioner_run(tmp_path / "results")


def source_of(folder, **chosen):
    return archive.open_source(folder.parent.parent, folder.name, **chosen)[0]


def test_five_images_from_good_to_bad_are_shown(folder):
    source = source_of(folder, beam=1)
    ranked = list(source.query(queries.cases, "demo", 1, "clipscore", True).image_id)
    places = [ranked.index(image) for image in strips.interesting(source, 1)]
    assert places == [1, 3, 6, 8, 10]  # the best and the worst, 0 and 11, have a chapter of their own


def test_fewer_images_than_five_are_all_shown_once(folder):
    rows = [
        row for row in tables.read_table(folder, "attention").to_pylist() if row["image_id"] in ("scene_00", "scene_01")
    ]
    tables.write_table(folder, "attention", tables.table_of("attention", rows))
    assert sorted(strips.interesting(source_of(folder), 1)) == ["scene_00", "scene_01"]


def test_the_photos_of_the_course_are_shown_where_they_are(tmp_path):
    source = source_of(runs.photos_run(tmp_path / "results"))
    assert strips.interesting(source, 1) == runs.COURSE
    chapter = strips.attention(source)
    assert [item.name for item in chapter.items] == [f"attention_{image}" for image in runs.COURSE]


def test_maps_of_another_beam_size_are_shown_where_those_of_the_report_were_not_kept(folder):
    rows = [row for row in tables.read_table(folder, "attention").to_pylist() if row["beam_size"] == 1]
    tables.write_table(folder, "attention", tables.table_of("attention", rows))
    source = source_of(folder, beam=5)
    assert strips.kept_beam(source) == 1
    assert all("beam size 1 (greedy)" in item.note for item in strips.attention(source).items)


def test_the_mark_of_a_map_that_says_little_is_explained_where_it_is_drawn_and_nowhere_else(folder):
    rows = tables.read_table(folder, "attention").to_pylist()
    for row in rows:
        if row["image_id"] == "scene_01":
            row["weights"] = b"\xff" * len(row["weights"])  # every map the same
            row["scale"] = [1 / 196] * len(row["scale"])
    tables.write_table(folder, "attention", tables.table_of("attention", rows))
    source = source_of(folder, beam=1, images=("scene_00", "scene_01"))
    marked = [
        "≈" in " ".join(str(text.text) for text in each.draw().layout.annotations)
        for each in strips.attention(source).items
    ]
    assert marked == ["≈" in each.note for each in strips.attention(source).items] == [False, True]


def test_a_captioner_without_maps_says_why_and_suggests_no_command(folder):
    tables.write_table(folder, "attention", tables.table_of("attention", []))
    record = records.read_record(folder)
    records.write_record(folder, record | {"captioner": {"maps": "an endpoint returns *text* alone"}})
    chapter = strips.attention(source_of(folder))
    assert chapter.missing == r"This run has no attention maps: an endpoint returns \*text\* alone."
    assert not chapter.command and not chapter.items
