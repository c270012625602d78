"""The chapter on which words were seen: there with its tables, with the most alarming nouns first."""

import math

import pytest

from dashboard.report import archive, seen_words
from tests.support import runs


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    results = tmp_path_factory.mktemp("seen") / "results"
    runs.add_words(runs.captioner_run(results))
    runs.captioner_run(results, "older")
    return results


def test_a_run_without_tables_of_words_has_no_chapter(results):
    assert seen_words.chapters(archive.open_source(results, "older", beam=1)[0]) == []


def test_the_chapter_has_certificates_the_alarm_and_the_most_alarming_words(results):
    (chapter,) = seen_words.chapters(archive.open_source(results, "demo", beam=1)[0])
    names = [item.name for item in chapter.items]
    assert names == ["certificates", "alarms", "alarm_bins", "alarming_words", "alarming_words"]
    assert "AUROC, 95 % CI 0.80" in chapter.items[2].note and "Recommended: **gradient**" in chapter.lead
    shown = chapter.items[4].shown
    assert shown.Image.tolist() == [f"scene_{number:02d}" for number in (11, 10, 9, 8, 7)]
    first = shown.iloc[0]
    assert (first.Alarm, first.Agreement) == ("0.55", "0.45") and first.Verdict.startswith("wrong: ")
    assert [first["p(word)"], first["Region covered"]] == [f"{math.exp(-each):.3f}" for each in (0.5, 2.0)]
    assert first["Object covered"] == f"{math.exp(-3.0):.3f}"


def test_each_word_is_drawn_as_its_photo_and_the_map_of_the_recommended_method(results):
    (chapter,) = seen_words.chapters(archive.open_source(results, "demo", beam=1)[0])
    texts = [each.text for each in chapter.items[3].draw().layout.annotations]
    assert texts.count("<b>gradient</b>") == 5 and "<b>alarm 0.55</b>" in texts
