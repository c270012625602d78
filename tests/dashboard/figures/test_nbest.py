"""The oracle of n-best lists, in words: a choice that helps, one that does not, and samples."""

import pandas as pd
import pytest

from dashboard.figures import nbest
from dashboard.report import archive
from dashboard.state.record import Run
from tests.support import runs

ROW = {"metric": "cider", "images": 1200, "kept": 5.0, "average": 0.9, "best": 1.4, "better": 0.5}
ROW["lead_differing"] = 1200
SAMPLED = Run("r", {"decoding": {"sample": True}})


def found(*sizes: int, lead_low: float = 0.1, **changed) -> pd.DataFrame:
    lead = {"lead_low": lead_low, "lead_high": lead_low + 0.05}
    rows = [{**ROW, "beam_size": size, "chosen": 1.0 + size / 100, **lead} | changed for size in sizes]
    return pd.DataFrame(rows)


def test_the_sentence_is_about_the_setting_or_else_about_the_largest():
    said = next(nbest.sentences(Run("r", {}), 3, found(3, 5)))
    assert said == (
        "At beam size 3, for 50.0 % of 1,200 images the 5-best list contains a hypothesis with a higher CIDEr than the "
        "caption; choosing the best would give 1.400 instead of 1.030. Ranking by log-probability is significantly "
        "better than a random choice from the list; mean of all: 0.900."
    )
    assert next(nbest.sentences(Run("r", {}), 1, found(3, 5))).startswith("At beam size 5,")


@pytest.mark.parametrize(
    ("run", "lead_low", "said"),
    [
        (Run("r", {}), -0.01, "Ranking by log-probability is not significantly better than a random choice"),
        (Run("r", {}), -0.1, "Ranking by log-probability is significantly worse than a random choice"),
        (Run("r", {}), float("nan"), "instead of 1.010. Mean of all: 0.900."),
        (SAMPLED, 0.1, "one of the 5 samples has a higher CIDEr"),
        (SAMPLED, 0.1, "instead of 1.010. Mean of all: 0.900."),
    ],
)
def test_the_sentence_names_the_effect_of_ranking_except_for_samples(run, lead_low, said):
    assert said in next(nbest.sentences(run, 1, found(1, lead_low=lead_low)))


def test_of_few_images_nothing_is_said_about_ranking():
    said = next(nbest.sentences(Run("r", {}), 1, found(1, images=5, lead_differing=5)))
    assert "Too few images to tell whether ranking by log-probability is better" in said and "significant" not in said


def test_a_mean_number_of_hypotheses_has_a_digit_where_it_needs_one():
    assert "the 4.7-best list contains" in next(nbest.sentences(Run("r", {}), 3, found(3, kept=4.7)))


def test_a_curve_needs_two_beam_sizes():
    assert nbest.figures(found(3), "") == []
    (curve,) = nbest.figures(found(3, 5), "small")
    assert curve.note == "small" and [line.name for line in curve.draw().data] == [
        *("best hypothesis (oracle)", "chosen caption", "mean of all hypotheses")
    ]


def test_the_report_has_the_chapter_where_there_are_several_hypotheses(tmp_path):
    from dashboard.report import chapters

    folder = runs.captioner_run(tmp_path / "results")
    title = "Oracle of the n-best lists"
    assert title not in [each.title for each in chapters.chapters(archive.open_source(tmp_path / "results", "demo")[0])]
    runs.add_hypotheses(folder)
    source = archive.open_source(tmp_path / "results", "demo", beam=3)[0]
    (chapter,) = [each for each in chapters.chapters(source) if each.title == title]
    assert chapter.lead.startswith("At beam size 3, for 100.0 % of 12 images")
    table = chapter.items[0]
    assert table.shown.iloc[0].tolist() == [
        *("3", "CIDEr", "3", "0.500", "0.750", "1.500", "1.000 (1.000 to 1.000)", "100.0 %")
    ]
    assert [item.name for item in chapter.items] == ["oracle", "oracle_cider", "oracle_clipscore"]
