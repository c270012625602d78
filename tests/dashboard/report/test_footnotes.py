"""Signatures as footnotes: numbered once, named by figures and tables, and the same text nowhere twice."""

import pandas as pd
import plotly.graph_objects as go

from dashboard.items import Figure, Table
from dashboard.report.footnotes import Footnotes, is_signature

CIDER, BLEU = "CIDEr-D|beam:3|images:600|tok:ptb", "BLEU-1|beam:3|images:600|tok:ptb"


def figure(note: str = "Run r", signatures: tuple[str, ...] = ()) -> Figure:
    return Figure("f", "F", go.Figure, note, signatures)


def test_a_line_is_a_signature_by_its_form():
    assert is_signature(CIDER) and is_signature("clipscore|clip:demo|w:2.5|prefix:A photo depicts |v:0.1")
    assert not any(map(is_signature, ("Run r: captioner", "Left | right: equal", "Decoded on: cpu", "")))


def test_footnotes_are_numbered_in_the_order_of_the_report_and_the_same_one_once():
    first, second = figure(signatures=(CIDER,)), Table("t", "T", pd.DataFrame(), None, "Run r", (BLEU, CIDER))
    notes = Footnotes([first, second])
    assert notes.lines() == [f"1. `{CIDER}`", f"2. `{BLEU}`"]
    assert (notes.named(first), notes.named(second)) == ("Signature 1", "Signatures 1-2")


def test_beam_sizes_of_one_measure_share_a_footnote_that_names_them_all():
    curve, pair = figure(signatures=(CIDER.replace("beam:3", "beam:1,10"),)), figure(signatures=(CIDER,))
    notes = Footnotes([curve, pair])
    assert notes.lines() == ["1. `CIDEr-D|beam:1,3,10|images:600|tok:ptb`"]
    assert notes.named(curve) == notes.named(pair) == "Signature 1"


def test_both_sides_of_a_comparison_share_the_footnotes_of_their_runs():
    alone, compared = figure(signatures=(CIDER,)), figure(signatures=(f"Left: {CIDER}", f"Right: {BLEU}"))
    notes = Footnotes([alone, compared])
    assert notes.lines() == [f"1. `{CIDER}`", f"2. `{BLEU}`"] and notes.named(compared) == "Signatures 1-2"


def test_small_print_names_the_footnote_instead_of_the_signature_wherever_that_was_written():
    inside = figure(f"Run r\n{CIDER}\nBand: 95 %")
    notes = Footnotes([inside])
    assert notes.referring(inside).small_print == "Run r\nBand: 95 %\nSignature 1 in report.md"
    assert inside.small_print == f"Run r\n{CIDER}\nBand: 95 %"
    assert figure(signatures=(CIDER, BLEU)).small_print == f"Run r\n{CIDER}\n{BLEU}"


def test_what_has_no_signature_is_left_as_it_is():
    bare = figure()
    assert Footnotes([bare]).referring(bare) == bare and Footnotes([bare]).lines() == []


def test_numbers_that_follow_each_other_are_a_range():
    metrics = [f"M{number}|n:1" for number in range(6)]
    notes = Footnotes([figure(signatures=tuple(metrics))])
    assert notes.named(figure(signatures=(metrics[4], *metrics[:3]))) == "Signatures 1-3, 5"


def test_a_backtick_in_a_signature_does_not_end_its_code():
    assert Footnotes([figure(signatures=("clip|prefix:`x`",))]).lines() == ["1. `clip|prefix: x `"]
