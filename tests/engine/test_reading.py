"""Damaged and hostile text, JSON and TOML: one sentence each, at once, and without much memory."""

import json
import os
import time

import pytest

from engine.reading import DEEPEST, LONGEST_MESSAGE, message, parse_json, quoted, read_object, read_text, read_toml


def refusal(path, content: bytes, read=read_object) -> str:
    path.write_bytes(content)
    start = time.perf_counter()
    with pytest.raises(ValueError) as raised:
        read(path, ValueError)
    assert time.perf_counter() - start < 5
    text = str(raised.value)
    assert text.startswith(f"{path}: ") and "\n" not in text and len(text) < 500 and "sys.set_int" not in text
    return text.removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"[" * 100_000, "the JSON is nested too deeply to be read"),
        (b'{"a":' * 100_000, "the JSON is nested too deeply to be read"),
        (b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}", f"more than {DEEPEST} levels of lists and objects"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "a number has 5,000 digits, expected at most 4,000"),
        (b'{"a": [-' + b"9" * 3_000 + b"]}", "a number of more than 80 digits does not fit in 64 bits"),
        (b'{"a": 9223372036854775808}', "9223372036854775808 does not fit in 64 bits"),
        (b'{"a": [NaN]}', "a number is nan, expected a finite number"),
        (b'{"a": -Infinity}', "a number is -inf, expected a finite number"),
        (b'{"a": 1e999}', "a number is inf, expected a finite number"),
        (b"", "not JSON (Expecting value: line 1 column 1 (char 0))"),
        (b'{"a": 1', "not JSON (Expecting ',' delimiter: line 1 column 8 (char 7))"),
        (b"[1]", "expected a JSON object"),
        (b"null", "expected a JSON object"),
        (b'{"a": "\xff"}', "not UTF-8 text ("),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8 text ("),
        (b'{"a": "\\ud800"}', "the surrogate '\\ud800' after 'a\": \"' is unpaired"),
        (b" " * (16 * 2**20 + 1), "16,777,217 bytes, expected at most 16,777,216; is this the right file?"),
    ],
)
def test_a_hostile_json_file_is_one_sentence(tmp_path, content, expected):
    assert expected[:20] in refusal(tmp_path / "run.json", content)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a = " + b"[" * 3_000 + b"]" * 3_000, "the TOML is nested too deeply to be read"),
        (b".".join([b"a"] * 3_000) + b" = 1", f"more than {DEEPEST} levels"),
        (b"[" + b".".join([b"a"] * 20_000) + b"]", f"more than {DEEPEST} levels"),
        (b"a = " + b"9" * 5_000, "a number has too many digits"),
        (b"a = " + b"9" * 30, "does not fit in 64 bits"),
        (b"a = nan", "a number is nan, expected a finite number"),
        (b"a = \xff", "not UTF-8 text ("),
        (b"a", "not TOML: "),
        (b"#" * 300_000, "300,000 bytes, expected at most 262,144"),
    ],
)
def test_a_hostile_toml_file_is_one_sentence(tmp_path, content, expected):
    assert expected in refusal(tmp_path / "recipe.toml", content, read_toml)


def test_a_byte_order_mark_and_the_largest_numbers_are_read(tmp_path):
    content = {"a": [2**63 - 1, -(2**63), 1.5e300, True, None, {"b": "caf\xe9"}]}
    (tmp_path / "x").write_bytes(json.dumps(content).encode("utf-8-sig"))
    assert read_object(tmp_path / "x", ValueError) == content
    (tmp_path / "x").write_bytes("a = 1\r\n".encode("utf-8-sig"))
    assert read_toml(tmp_path / "x", ValueError) == {"a": 1}


def test_data_may_have_long_numbers(tmp_path):
    assert parse_json(f'{{"id": {10**3_000}}}', "x", ValueError) == {"id": 10**3_000}


def test_a_pipe_and_a_folder_are_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(ValueError, match="not a file, expected a text file"):
            read_text(path, ValueError)
    with pytest.raises(FileNotFoundError):
        read_text(tmp_path / "nothing", ValueError)


def test_a_message_has_no_escape_codes_and_a_bounded_length():
    shown = message("a\x1b[31mred\x9b1m\u202e\x00 caf\xe9 \u72d7\nb")
    assert shown == "a\\x1b[31mred\\x9b1m\\u202e\\x00 caf\xe9 \u72d7\nb"
    long = message(f"no such file: {'x' * 70_000}; choose another")
    assert len(long) < 400 and long.startswith("no such file: xxx") and long.endswith("; choose another")
    many = message("word " * 20_000 + "what to do")
    assert len(many) <= LONGEST_MESSAGE and many.endswith("what to do")
    assert message("an ordinary sentence.") == "an ordinary sentence."


def test_a_quote_of_a_number_with_more_digits_than_python_prints_is_short():
    assert quoted(10**5_000) == quoted(-(10**5_000)) == "a number of more than 80 digits"
    assert quoted(True) == "True"
