"""Cells of CSV files: formulas, escape codes and sizes that a spreadsheet or a terminal would act on."""

import csv
import io

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.store.csv_safety import LONGEST, safe_cell

FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "＝1", "-", "+", "-inf"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_text_that_a_spreadsheet_would_run_gets_an_apostrophe(text):
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("value", ["-1", "+1.5", "-1e-5", "-.5", "1", "a dog", "", "it's", "a - b", -1, None, True])
def test_numbers_and_harmless_texts_stay(value):
    assert safe_cell(value) is value


def test_lists_and_dates_stay_themselves():
    for value in (["=1", "-2"], pd.Timestamp("2026-01-02"), {"a": "=1"}):
        assert safe_cell(value) is value


def test_a_negative_time_is_a_text_that_a_spreadsheet_would_run():
    assert safe_cell(pd.Timedelta(days=-1)) == "'-1 days +00:00:00"


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]8;;http://example.org\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b2Jx", "x"),
        ("a\x00b\x08c\x7fd\x85e", "abcde"),
        ("\x1b[1m=1+1", "'=1+1"),
        ("\x00=1+1", "'=1+1"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("an open end \x1b]0;title", "an open end 0;title"),
        ("\x1b", ""),
    ],
)
def test_escape_codes_and_control_characters_are_removed(text, safe):
    assert safe_cell(text) == safe


@pytest.mark.parametrize("text", ["x" * 70_000, "😀" * 70_000, "=" * 70_000, "\ud800" * 70_000])
def test_a_long_text_fits_a_cell_and_ends_with_an_ellipsis(text):
    safe = safe_cell(text)
    assert len(safe.encode("utf-16-le", "surrogatepass")) <= 2 * LONGEST
    assert safe.endswith("…")
    assert safe_cell("x" * LONGEST) == "x" * LONGEST


@given(st.text(st.characters(codec="utf-8")))
def test_no_cell_starts_a_formula_and_reading_back_gives_it(text):
    safe = safe_cell(text)
    assert safe == safe_cell(safe)
    file = io.StringIO(newline="")
    csv.writer(file).writerow(["id", safe])
    assert next(csv.reader(io.StringIO(file.getvalue(), newline=""))) == ["id", safe]
    start = safe.lstrip()[:1]
    assert start not in set("=@＝＋－＠")
    if start and start in "+-":
        assert float(safe)
