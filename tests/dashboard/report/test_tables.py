"""Tables as people read them: sensible digits, what is not known as a dash, the numbers in full behind them."""

import numpy as np
import pandas as pd
import pytest

from dashboard.annotations import verdicts
from dashboard.annotations.verdicts import Verdict, Verdicts
from dashboard.report import tables
from dashboard.state.record import Run


def scores() -> pd.DataFrame:
    rows = [(1, "cider", 0.51234, 0.4, 0.6), (3, "cider", 0.6, None, None), (1, "bleu_4", 0.3, 0.2, 0.4)]
    frame = pd.DataFrame(rows, columns=["beam_size", "metric", "value", "low", "high"])
    return frame.assign(images=1200, signature="s")


def beam_statistics() -> pd.DataFrame:
    frame = pd.DataFrame({"beam_size": [1, 3], "words": [9.5, 10.25], "distinct_words": [90, 95]})
    return frame.assign(unfinished=np.nan, changed=[np.nan, 0.5])


def test_scores_have_their_metrics_digits_and_an_unknown_interval_is_a_dash():
    table = tables.scores(scores(), "t", "")
    assert table.shown.Value.tolist() == ["0.512", "0.600", "0.300"]
    assert table.shown["95 % interval"].tolist() == ["0.400 to 0.600", "–", "0.200 to 0.400"]
    assert table.values.value.iloc[0] == 0.51234 and table.shown.Images.iloc[0] == "1,200"


def test_a_column_that_says_nothing_at_any_beam_size_is_left_out():
    run = Run("r", {"seconds_per_image": {"1": 0.01}})
    table = tables.beams(scores(), beam_statistics(), run, "")
    assert list(table.shown.columns) == [
        "Beam size", "CIDEr", "BLEU-4", "Words per caption", "Vocabulary size", "Changed (%)", "Seconds per image",
    ]  # fmt: skip
    assert table.shown["Seconds per image"].tolist() == ["0.010", "–"]
    assert table.shown["BLEU-4"].tolist() == ["0.300", "–"]
    assert "Changed: captions that differ from those of the next smaller beam size" in table.note
    assert "Zero" not in table.note


def test_a_column_of_zeros_is_left_out_and_named_but_a_metric_of_zeros_stays():
    zeros = scores().assign(value=0.0)
    table = tables.beams(zeros, beam_statistics().assign(unfinished=0.0, changed=[np.nan, 0.0]), Run("r", {}), "Run r")
    assert list(table.shown.columns) == ["Beam size", "CIDEr", "BLEU-4", "Words per caption", "Vocabulary size"]
    assert table.note == "Run r\nZero in every row, not shown: Unfinished (%), Changed (%)"
    assert table.values.unfinished.tolist() == [0.0, 0.0]  # the CSV file has them
    kept = tables.beams(scores(), beam_statistics().assign(unfinished=[0.0, 0.25]), Run("r", {}), "").shown
    assert kept["Unfinished (%)"].tolist() == ["0.0", "25.0"]


@pytest.mark.parametrize(("sample", "said"), [(True, "1 (sampled)"), (False, "1 (greedy)")])
def test_captions_that_were_drawn_are_not_called_greedy(sample, said):
    run = Run("r", {"decoding": {"sample": sample}})
    assert tables.beams(scores(), beam_statistics(), run, "").shown["Beam size"].iloc[0] == said
    judged = Verdicts({("a", 1): Verdict("a", 1, reasonable="yes")})
    assert verdicts.table(run, judged).shown["Beam size"].tolist() == [said]


@pytest.mark.parametrize("references", [None, np.nan, [], np.array([], dtype=object)])
def test_a_case_without_references_has_a_dash(references):
    row = {"rank": np.nan, "scored": 3, "image_id": "a", "caption": "c", "references": references, "cider": 0.5}
    frame = pd.DataFrame([row | {"beam_size": 1, "file_name": "a.png", "logprob": None}])
    for metric in tables.METRICS:
        frame[metric] = frame.get(metric)
    table = tables.cases(frame, "n", "t", "")
    assert table.shown["A reference"].tolist() == ["–"] and table.shown.Rank.tolist() == ["–"]
    assert "CIDEr" in table.shown and "CLIPScore" not in table.shown


def test_numbers_sort_as_numbers_and_remarks_get_their_own_column():
    shown = pd.DataFrame(
        {"Run": ["a", "b"], "Layers": ["12", "4"], "Images": ["1,200", "–"], "CLIPScore": ["0.731", "1.8 (demo CLIP)"]}
    )
    made = tables.sortable(shown)
    assert made.Layers.tolist() == [12, 4] and made.Images[0] == 1200 and made.Run.tolist() == ["a", "b"]
    assert made.CLIPScore.tolist() == [0.731, 1.8] and made["CLIPScore of"].tolist() == ["", "demo CLIP"]


def test_a_sampled_run_is_not_called_greedy_and_says_how_it_was_drawn():
    asked = {"rule": "standard", "early_stopping": False}
    searched, drawn = {"decoding": asked}, {"decoding": asked | {"sample": True, "top_p": 0.9}}
    assert list(tables.settings(Run("r", searched), 1).shown.Value) == ["1 (greedy)", "standard", "no", "0"]
    shown = tables.settings(Run("r", drawn), 1).shown.set_index("Setting").Value
    assert shown["Beam size"] == "1 (sampled)" and shown["Top p"] == "0.9"


def test_the_settings_name_prompt_template_revision_precision_and_version():
    captioner = {
        **{"prompt": "Describe it", "chat_template": "0" * 16, "revision": "abc", "dtype": "bfloat16"},
        **{"transformers": "5.24.0", "device_map": "auto"},
    }
    record = {"captioner": captioner, "decoding": {"precision": "bf16"}}
    shown = tables.settings(Run("r", record), 1).shown.set_index("Setting").Value
    assert shown["Prompt"] == "Describe it" and shown["Chat template (fingerprint)"] == "0" * 16
    assert (shown["Revision"], shown["Version of transformers"]) == ("abc", "5.24.0")
    assert shown["Spread over devices"] == "auto" and shown["Precision"] == "bf16"
