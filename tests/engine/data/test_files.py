import pytest

from engine.data.files import id_text
from engine.reading import first_line, parse_json, quoted, read_text


def test_a_quote_is_short_whatever_it_quotes():
    nested: object = []
    for _ in range(900):
        nested = [nested]
    for value in ("word " * 10_000, [["word"] * 1000] * 1000, {"a": {"b": list(range(1000))}}, 10**4000, nested):
        assert len(quoted(value)) <= 80
    assert quoted("a dog\u2028") == r"'a dog\u2028'"


def test_an_id_is_the_same_text_however_it_is_written():
    assert [id_text(value) for value in (1, "1", 1.0)] == ["1"] * 3
    assert [id_text(value) for value in (None, [1], {}, 1.5, True)] == [None] * 5


def test_half_of_a_character_is_an_error_and_a_whole_one_is_none():
    assert parse_json(r'{"a": "\ud83d\ude00 \\ud83d"}', "x", ValueError) == {"a": "\U0001f600 \\ud83d"}
    with pytest.raises(ValueError, match=r"^x: the surrogate '\\ude00' after"):
        parse_json(r'{"\ude00": 1}', "x", ValueError)


def test_a_text_is_utf8_with_or_without_a_byte_order_mark(tmp_path):
    (tmp_path / "t").write_bytes("caf\xe9\r\n".encode("utf-8-sig"))
    assert read_text(tmp_path / "t", ValueError) == "caf\xe9\n"
    (tmp_path / "t").write_bytes("caf\xe9".encode("utf-16"))
    with pytest.raises(ValueError, match="not UTF-8 text"):
        read_text(tmp_path / "t", ValueError)


@pytest.mark.parametrize(
    ("error", "line"), [(OSError("no room\nmore"), "no room"), (ValueError(), "ValueError"), (KeyError(""), "''")]
)
def test_the_first_line_of_an_error_is_never_empty(error, line):
    assert first_line(error) == line
