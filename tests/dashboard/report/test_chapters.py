"""The chapters of a report: which run has what, and which images tell something."""

from dataclasses import replace

import pandas as pd
import pytest

from dashboard.annotations import verdicts
from dashboard.annotations.verdicts import Verdict
from dashboard.report import archive, chapters, strips
from dashboard.state.record import Run
from engine.store import queries
from engine.store.schema import ATTENTION_PASSES
from tests.support import runs


@pytest.fixture(scope="module")
def source(full_results):
    return archive.open_source(full_results, "demo")[0]


def test_the_setting_is_the_best_by_cider_unless_one_is_chosen(source, full_results):
    best = source.best()
    assert source.setting() == best[best.metric == "cider"].beam_size.item()
    assert archive.open_source(full_results, "demo", beam=5)[0].setting() == 5
    assert archive.open_source(full_results, "predictions")[0].setting() == 0


def test_the_signature_of_a_curve_names_every_beam_size(source, tmp_path):
    one = chapters.signature(source.query, source.run, "cider", 3)
    assert one == "cider|tok:ptb|n:12|v:0.1"
    assert chapters.signature(source.query, source.run, "meteor") == ""


def test_small_print_names_the_run_first_and_leaves_nothing_empty():
    assert chapters.note(Run("r", {"kind": "captioner"}, images=2), "", "a") == "Run r: captioner, 2 images\na"


def test_the_best_prompt_is_tested_against_each_other_one(source):
    table = next(item for item in chapters.prompts(source).items if item.name == "mcnemar")
    assert table.shown["Left prompt"].tolist() == [runs.TEMPLATES[0]] * 2
    assert table.shown["Right prompt"].tolist() == runs.TEMPLATES[1:]
    assert table.shown["Correct with the left prompt only"].tolist() == ["1", "3"]
    assert table.shown["Correct with the right prompt only"].tolist() == ["0", "0"]


def test_small_print_below_classes_counts_the_photos_that_were_classified(source):
    run, template = replace(source.run, images=5), runs.TEMPLATES[0]
    items = [*chapters.prompts(replace(source, run=run)).items, *chapters.top_five(replace(source, run=run)).items]
    items += chapters.confusion_items(run, template, source.query(queries.zero_shot_confusion, "demo", template))
    pair = ("demo", *runs.TEMPLATES[:2])
    found, changes = (
        source.query(function, *pair) for function in (queries.zero_shot_comparison, queries.zero_shot_changes)
    )
    items += chapters.template_items(run, *pair[1:], found, changes)
    assert len(items) == 10
    assert {item.note.splitlines()[0] for item in items} == {
        "Run demo: captioner, demo val, 12 images classified by prompts"
    }


def test_three_images_are_correct_barely_correct_and_wrong(source):
    chapter = chapters.top_five(source)
    assert [item.name for item in chapter.items] == ["top_five", "top_five"]
    panel_badges = [chapters.class_panel(source.run, row).badge for row in chapters._three(source, runs.TEMPLATES[0])]
    assert panel_badges == ["correct", "correct", "wrong"]


def test_the_studys_curve_is_whole_and_a_demo_clips_scores_are_never_on_its_axis(source):
    theirs, apart = chapters.published_beside(source, "cider")
    assert theirs.beam_size.tolist() == [1, 3, 4, 5, 6, 7, 8, 9, 10, 15, 100] and not apart
    theirs, apart = chapters.published_beside(source, "clipscore")
    assert len(theirs) == 11 and apart
    assert chapters.published_beside(source, "rouge_l")[0].empty


def test_the_small_print_of_a_curve_explains_what_is_drawn_and_nothing_else(source):
    scores = source.query(queries.corpus_scores, "demo")
    notes = [chapters.metric_curve(source, scores, metric).note for metric in ("cider", "rouge_l")]
    assert ["published for another captioner" in note for note in notes] == [True, False]
    alone = chapters.metric_curve(source, scores.assign(low=None, high=None), "cider").note
    assert "Band: 95 %" in notes[0] and "Band" not in alone


def test_every_item_of_a_report_has_small_print_or_is_a_table_of_settings(source):
    items = [item for chapter in chapters.chapters(source) for item in chapter.items]
    assert {item.name for item in items if not item.note} <= {"setting"}


def test_the_sentence_says_where_it_rests_on_another_mean_than_the_curve(source):
    assert chapters.smallest_sentence(source.query, source.run, "cider").startswith("By CIDEr, beam size")
    pooled = chapters.smallest_sentence(source.query, source.run, "bleu_4")
    assert pooled.startswith("By the mean of per-image BLEU-4 (the curve pools the whole split), beam size")


@pytest.mark.parametrize(
    ("smallest", "best", "few", "said"),
    [
        (3, 5, "", "beam size 5 is the best; 3 is the smallest that is not significantly worse"),
        (5, 5, "", "beam size 5 is the best; all smaller ones are significantly worse"),
        (1, 1, "", "the smallest beam size, 1 (greedy), is the best ("),
        (1, 5, "too few images to tell", "5 is the best; too few images to tell whether smaller ones are worse ("),
    ],
)
def test_the_sentence_says_which_beam_size_is_enough(source, smallest, best, few, said):
    row = {"smallest": smallest, "best": best, "images": 12, "pooled": False, "too_few": few}
    answers = {
        queries.smallest_beam: {name: [value] for name, value in row.items()},
        queries.beam_sizes: {"beam_size": [1, 3, 5]},
    }
    sentence = chapters.smallest_sentence(lambda function, *_: pd.DataFrame(answers[function]), source.run, "cider")
    assert said in sentence


@pytest.mark.parametrize("rule", ["standard", "study"])
def test_small_print_below_maps_names_the_pass_that_they_come_from(source, rule):
    named = ATTENTION_PASSES[rule]
    run = replace(source.run, record={**source.run.record, "attention": {"pass": named}})
    assert f"maps: {named}\n" in strips.strip(run, 1, "scene_02", source.query, {}).note + "\n"


@pytest.mark.parametrize("record", [{}, {"attention": {}}, {"attention": {"pass": None}}, {"attention": []}])
def test_maps_of_a_run_that_does_not_record_their_pass_are_of_a_causal_replay(record):
    assert Run("r", record).attention_pass == "causal replay"


def test_the_example_of_a_failure_tag_is_shown_with_its_caption(source):
    figure, table = chapters.tags(replace(source, beam=1)).items
    tags = source.query(queries.tag_examples, "demo", 1)
    assert table.shown["Caption of the example"].tolist() == tags.caption.tolist() != []
    assert list(figure.draw().data[0].customdata) == tags.images.tolist()[::-1]


def test_verdicts_name_the_beam_size_that_they_were_given_for(tmp_path):
    results = tmp_path / "results"
    runs.captioner_run(results)
    for beam, answer in ((1, "no"), (3, "yes")):
        verdicts.keep(results, "demo", Verdict("scene_00", beam, "a dog"), reasonable=answer)
    verdicts.keep(results, "demo", Verdict("scene_01", 3, "a dog"), attends="partly")
    chapter = chapters.human_verdicts(archive.open_source(results, "demo")[0])
    assert chapter.lead.splitlines()[-2:] == [
        "- At beam size 1 (greedy), 1 case: caption yes 0, partly 0, no 1; attention yes 0, partly 0, no 0.",
        "- At beam size 3, 2 cases: caption yes 1, partly 0, no 0; attention yes 0, partly 1, no 0.",
    ]
    assert chapter.items[0].shown["Beam size"].tolist() == ["1 (greedy)", "3", "3"]
