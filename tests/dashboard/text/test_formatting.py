"""Words and numbers on a page."""

import pytest

from dashboard.text import formatting


@pytest.mark.parametrize("stranger", ["**bold**", "<b>x</b>", "$x^2$", ":red[x]", "[a](http://b)", "# title", "`a`"])
def test_markdown_leaves_no_mark_unescaped(stranger):
    written = formatting.markdown(stranger)
    assert written.replace("\\", "") == stranger
    marks = [place for place, character in enumerate(written) if not (character.isalnum() or character in " \\")]
    assert all(written[place - 1] == "\\" for place in marks)


def test_a_line_break_cannot_begin_a_heading_or_a_list():
    assert formatting.markdown("a\n# b") == r"a \# b"


def test_html_is_escaped_in_elements_and_attributes():
    assert formatting.escaped("""<i a="b" c='d'>""") == "&lt;i a=&quot;b&quot; c=&#x27;d&#x27;&gt;"


def test_numbers_have_sensible_digits_and_unknown_ones_a_dash():
    assert formatting.score("cider", 1.23456) == "1.235"
    assert formatting.number(float("nan")) == formatting.number(None) == formatting.percent(float("nan")) == "–"
    assert formatting.number(-0.0001) == "0.000"
    assert formatting.percent(0.0625) == "6.2 %"
    assert (
        formatting.interval(-0.0001, 0.2) == "0.000 to 0.200" and formatting.interval(-1, 0.2, 1, "+") == "-1.0 to +0.2"
    )
    assert formatting.interval(0.1, 0.2) == "0.100 to 0.200" and formatting.interval(float("nan"), 1.0) == ""
    assert formatting.count(1, "image") == "1 image" and formatting.count(1200, "image") == "1,200 images"


def test_beam_sizes_have_names():
    assert [formatting.beam(size) for size in (0, 1, 5)] == ["imported", "1 (greedy)", "5"]
    assert formatting.of_setting(1, is_sampled=True) == "at beam size 1 (sampled)"


def test_a_cell_is_one_line_and_what_is_not_known_a_dash():
    assert formatting.line("a\n b\x00") == "a b\ufffd" and formatting.line(None) == formatting.line(float("nan")) == "–"


def test_a_name_of_digits_is_no_number():
    assert formatting.are_numbers(["1,234", "-0.5", "+12.5 %", "–", 3]) and not formatting.are_numbers([])
    assert not formatting.are_numbers(["1.0", "000012"]) and not formatting.are_numbers(["1 (greedy)"])


def test_a_missing_or_blank_caption_is_marked_as_empty():
    assert formatting.caption("a dog") == "a dog"
    assert {formatting.caption(said) for said in ("", "  ", None, float("nan"))} == {formatting.EMPTY}


def test_a_sentence_begins_with_a_capital_and_keeps_the_rest():
    assert (formatting.capitalized("at beam size 3 (CIDEr)"), formatting.capitalized("")) == (
        "At beam size 3 (CIDEr)",
        "",
    )
