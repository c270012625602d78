"""Words and numbers on a page."""

import pytest

from dashboard import text


@pytest.mark.parametrize("stranger", ["**bold**", "<b>x</b>", "$x^2$", ":red[x]", "[a](http://b)", "# title", "`a`"])
def test_markdown_leaves_no_mark_unescaped(stranger):
    written = text.markdown(stranger)
    assert written.replace("\\", "") == stranger
    marks = [place for place, character in enumerate(written) if not (character.isalnum() or character in " \\")]
    assert all(written[place - 1] == "\\" for place in marks)


def test_a_line_break_cannot_begin_a_heading_or_a_list():
    assert text.markdown("a\n# b") == r"a \# b"


def test_html_is_escaped_in_elements_and_attributes():
    assert text.escaped("""<i a="b" c='d'>""") == "&lt;i a=&quot;b&quot; c=&#x27;d&#x27;&gt;"


def test_numbers_have_sensible_digits_and_unknown_ones_a_dash():
    assert text.score("cider", 1.23456) == "1.235"
    assert text.number(float("nan")) == text.number(None) == text.percent(float("nan")) == "–"
    assert text.number(-0.0001) == "0.000"
    assert text.percent(0.0625) == "6.2 %"
    assert text.interval(-0.0001, 0.2) == "0.000 to 0.200" and text.interval(-1, 0.2, 1, "+") == "-1.0 to +0.2"
    assert text.interval(0.1, 0.2) == "0.100 to 0.200" and text.interval(float("nan"), 1.0) == ""
    assert text.count(1, "image") == "1 image" and text.count(1200, "image") == "1,200 images"


def test_beam_sizes_have_names():
    assert [text.beam(size) for size in (0, 1, 5)] == ["imported", "1 (greedy)", "5"]
    assert text.of_setting(1, is_sampled=True) == "at beam size 1 (sampled)"


def test_a_cell_is_one_line_and_what_is_not_known_a_dash():
    assert text.line("a\n b\x00") == "a b\ufffd" and text.line(None) == text.line(float("nan")) == "–"


def test_a_name_of_digits_is_no_number():
    assert text.are_numbers(["1,234", "-0.5", "+12.5 %", "–", 3]) and not text.are_numbers([])
    assert not text.are_numbers(["1.0", "000012"]) and not text.are_numbers(["1 (greedy)"])


def test_a_caption_that_is_missing_or_blank_is_said_to_be_empty():
    assert text.caption("a dog") == "a dog"
    assert {text.caption(said) for said in ("", "  ", None, float("nan"))} == {text.EMPTY}


def test_a_sentence_begins_with_a_capital_and_keeps_the_rest():
    assert (text.begun("at beam size 3 (CIDEr)"), text.begun("")) == ("At beam size 3 (CIDEr)", "")
