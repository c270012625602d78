"""The first page of a report: its sentences, and the figures that they name."""

import re

import pytest

from dashboard.items import Figure, Table
from dashboard.report import archive, chapters, first_page
from engine.store import tables
from tests.support import runs


def written(results, name: str = "demo", **chosen) -> str:
    return chapters.chapters(archive.open_source(results, name, **chosen)[0])[0].lead


def parts(lead: str) -> dict[str, str]:
    return dict(re.findall(r"^\*\*([^*]+)\.\*\* (.*)$", lead, re.MULTILINE))


def test_the_first_page_says_what_was_evaluated_and_found(full_results):
    found = parts(written(full_results, beam=1))
    assert list(found) == [
        *("Evaluated", "Best setting", "Beam search", "Failures", "Attention", "Examples", "Other runs")
    ]
    assert found["Evaluated"].startswith("Run demo: captioner, demo val, 12 images (encoder vit")
    assert (
        "beam sizes 1 (greedy), 3, 5." in found["Evaluated"] and "is correct for 9 of 12 images" in found["Evaluated"]
    )
    assert "changes 6 of 12 captions (50.0 %)" in found["Beam search"]
    assert re.search(
        r"CIDEr changes by [+-]0\.\d+ \(95 % CI .*, (not significant[^)]*|significantly \w+)\)", found["Beam search"]
    )
    assert "wrong colour, 3 of 12 captions (25.0 %" in found["Failures"] and "image scene\\_01" in found["Failures"]
    assert "is inside a box" in found["Attention"]


def test_every_figure_that_the_first_page_names_is_the_one_it_means(full_results):
    source = archive.open_source(full_results, "demo", beam=1)[0]
    summary, *body = chapters.chapters(source)
    items = [item for chapter in body for item in chapter.items]
    names = {
        f"{kind.__name__} {number}": item.name
        for kind in (Figure, Table)
        for number, item in enumerate((each for each in items if isinstance(each, kind)), 1)
    }
    named = {
        part: [names[each] for each in re.findall(r"(?:Figure|Table) \d+", words)]
        for part, words in parts(summary.lead).items()
    }
    assert named["Evaluated"] == ["accuracy"] and named["Best setting"] == ["cider_by_beam", "scores"]
    assert named["Beam search"] == ["cider_by_beam", "clipscore_by_beam", "words_by_beam"]
    assert named["Failures"] == ["failure_tags"] and named["Attention"] == ["grounding_heads"]
    assert [body[int(place) - 2].title for place in re.findall(r"chapter (\d+)", summary.lead)] == [
        "Comparison with other runs"
    ]


def test_the_best_setting_has_its_interval_and_another_that_was_chosen_is_called_so(full_results):
    best = archive.open_source(full_results, "demo")[0].setting()
    assert re.search(
        rf"Beam size {best} has the highest CIDEr of 3 beam sizes: CIDEr \d\.\d+ \(95 % CI \d\.\d+ to \d\.\d+\)",
        written(full_results),
    )
    other = next(size for size in runs.BEAMS if size != best)
    assert f"Beam size {best} has the highest CIDEr" not in written(full_results, beam=other)
    assert "(chosen for this report): CIDEr" in written(full_results, beam=other)
    assert f"; beam size {best} has the highest CIDEr of 3 beam sizes." in written(full_results, beam=other)


def test_imported_captions_have_no_beam_search_and_no_maps(full_results):
    found = parts(written(full_results, "predictions"))
    assert found["Best setting"].startswith("Imported captions: CIDEr")
    assert "Beam search" not in found and "Attention" not in found


def test_a_run_of_photos_says_what_it_has_and_nothing_of_references(tmp_path):
    runs.photos_run(tmp_path / "results")
    found = parts(written(tmp_path / "results", "photos"))
    assert "Beam size 1 (greedy): CLIPScore" in found["Best setting"] and "CIDEr" not in str(found)
    assert found["Beam search"].startswith("Only one beam size")
    assert "no caption names an object that has a box" in found["Attention"]
    assert re.fullmatch(
        r"Attention word by word: Figures \d+ to \d+; best and worst pair: Figures .*", found["Examples"]
    )


@pytest.mark.parametrize("make", [runs.zero_shot_run, runs.imported_classes_run])
def test_a_run_without_captions_has_a_first_page(tmp_path, make):
    folder = make(tmp_path / "results")
    found = parts(written(tmp_path / "results", folder.name))
    assert set(found) <= {"Evaluated", "Examples"} and "is correct for" in found["Evaluated"]


def test_markup_in_an_example_stays_text(tmp_path):
    folder = runs.captioner_run(tmp_path / "results")
    rows = tables.read_table(folder, "scores").to_pylist()
    for row in rows:
        row["tags"] = [{"tag": "<b>odd</b>", "evidence": "*x*"}] if row["image_id"] == runs.SCRIPT_IMAGE else []
    tables.write_table(folder, "scores", tables.table_of("scores", rows, runs.METRICS))
    lead = written(tmp_path / "results", beam=1)
    assert r"\<script\>" in lead and "<script>" not in lead.replace(r"\<script\>", "") and r"\<b\>odd" in lead
    assert r"\*x\*" in lead


def test_a_caption_set_without_failures_says_so(tmp_path):
    folder = runs.captioner_run(tmp_path / "results")
    rows = [{**row, "tags": []} for row in tables.read_table(folder, "scores").to_pylist()]
    tables.write_table(folder, "scores", tables.table_of("scores", rows, runs.METRICS))
    assert parts(written(tmp_path / "results"))["Failures"] == "No caption has a failure tag."
    assert first_page.TITLE == "Summary"
