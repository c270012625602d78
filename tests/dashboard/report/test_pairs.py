"""The best and the worst pair: with photos, references, scores and maps, and what is said where a photo is missing."""

from pathlib import Path

import pytest

from dashboard.report import archive, exports, pairs
from engine.store import queries, tables
from tests.support import runs


@pytest.fixture
def results(tmp_path) -> Path:
    runs.captioner_run(tmp_path / "results")
    return tmp_path / "results"


def ranked(results: Path) -> list[str]:
    source = archive.open_source(results, "demo")[0]
    return list(source.query(queries.cases, "demo", source.setting(), "clipscore", True).image_id)


def chapter_of(results: Path, **chosen) -> pairs.Chapter:
    return pairs.pairs(archive.open_source(results, "demo", **chosen)[0])


def test_a_pair_has_its_photo_caption_references_scores_and_maps(results):
    best, *_, worst = ranked(results)
    chapter = chapter_of(results)
    figure, table, *maps = chapter.items
    assert len(figure.draw().layout.images) == 2 and figure.signatures[0].startswith("clipscore|")
    cells = table.shown.set_index("")
    assert cells.loc["Image"].tolist() == [best, worst] and cells.loc["Rank"].tolist() == ["1 of 12", "12 of 12"]
    assert {"Caption", "Reference 1", "Reference 2", "Reference 3", "CIDEr", "CLIPScore"} <= set(cells.index)
    assert [item.name for item in maps] == [f"attention_{best}", f"attention_{worst}"]
    assert chapter.lead.startswith("By CLIPScore at beam size 5. CLIPScore published (the study), greedy: top-1 0.977")
    assert exports.table(table, "tex").count(b"begin{tabularx}") == 1


def test_a_pair_without_its_photo_gives_way_to_the_next_one_and_the_lead_says_so(results):
    order = ranked(results)
    for image in (*order[:2], order[-1]):
        (results.parent / "photos" / f"{image}.png").unlink()
    chapter = chapter_of(results)
    assert chapter.items[1].shown.set_index("").loc["Image"].tolist() == [order[2], order[-2]]
    named = [image.replace("_", r"\_") for image in (order[0], order[-1])]
    assert f"The photo of the best pair (image {named[0]}) was not found" in chapter.lead
    assert f"The photo of the worst pair (image {named[1]}) was not found" in chapter.lead


def test_without_any_photo_the_pairs_are_shown_and_the_lead_says_so(results):
    order = ranked(results)
    for photo in (results.parent / "photos").iterdir():
        photo.unlink()
    chapter = chapter_of(results)
    assert "None of the photos was found" in chapter.lead
    figure, table, *maps = chapter.items
    assert table.shown.set_index("").loc["Image"].tolist() == [order[0], order[-1]]
    assert len(figure.draw().layout.images) == 0 and len(maps) == 2


def test_the_photo_is_looked_for_beyond_the_first_page_of_cases(results, monkeypatch):
    monkeypatch.setattr(pairs, "_PAGE", 2)
    order = ranked(results)
    for image in order[:5]:
        (results.parent / "photos" / f"{image}.png").unlink()
    assert chapter_of(results).items[1].shown.set_index("").loc["Image"].tolist() == [order[5], order[-1]]


def test_maps_of_another_beam_size_are_not_those_of_the_pair(results):
    folder = results / "runs" / "demo"
    rows = [row for row in tables.read_table(folder, "attention").to_pylist() if row["beam_size"] == 1]
    tables.write_table(folder, "attention", tables.table_of("attention", rows))
    chapter = chapter_of(results, beam=5)
    assert len(chapter.items) == 2
    assert "These captions have no attention maps at beam size 5." in chapter.lead


def test_where_no_beam_size_was_asked_for_the_pair_is_one_with_maps(results):
    folder = results / "runs" / "demo"
    rows = [row for row in tables.read_table(folder, "attention").to_pylist() if row["beam_size"] == 1]
    tables.write_table(folder, "attention", tables.table_of("attention", rows))
    chapter = chapter_of(results)
    assert chapter.lead.startswith("By CLIPScore at beam size 1 (greedy), which has attention maps.")
    assert len(chapter.items) == 4


def test_a_single_case_is_shown_once_and_not_as_two_ends(results):
    folder = results / "runs" / "demo"
    for table in ("scores", "captions"):
        rows = [row for row in tables.read_table(folder, table).to_pylist() if row["image_id"] == "scene_03"]
        made = tables.table_of(table, rows, runs.METRICS) if table == "scores" else tables.table_of(table, rows)
        tables.write_table(folder, table, made)
    figure, table, maps = chapter_of(results).items
    assert list(table.shown.columns) == ["", "Only case"] and table.shown["Only case"].iloc[0] == "scene_03"
    assert figure.title == table.title == figure.draw().layout.title.text == "The only case with a CLIPScore"
    assert len(figure.draw().layout.images) == 1 and maps.name == "attention_scene_03"
