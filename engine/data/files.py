"""Files that people bring, as text and as JSON: what is wrong with one is a sentence, and what it quotes is short.

Knows encodings and JSON. Knows no format of a dataset and none of predictions: the error to raise comes in.
"""

import csv
import io
import json
import re
import reprlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_QUOTED = 80

_short = reprlib.Repr()
_short.maxlevel, _short.maxlist, _short.maxdict, _short.maxstring, _short.maxother = 3, 3, 3, _QUOTED, _QUOTED


def quoted(value: object) -> str:
    """A value as a message quotes it: as Python writes it, at most 80 characters of it, however large it is."""
    text = _short.repr(value)
    return text if len(text) <= _QUOTED else f"{text[: _QUOTED - 3]}..."


def read_text(path: Path, error: type[ValueError]) -> str:
    """The text of a UTF-8 file, with or without a byte order mark; line ends are `\\n`.

    Raises:
        error: another encoding.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as problem:
        raise error(f"{path}: not UTF-8 text ({problem}); save it as UTF-8") from problem


def parse_json(
    text: str, where: str, error: type[ValueError], pairs: Callable[[list[tuple[str, Any]]], Any] | None = None
) -> Any:
    """The value of a JSON text; `pairs` makes an object of its names and values, `where` begins a message.

    Raises:
        error: no JSON, nested too deep, or a text in it that is no text: half of a character.
    """
    try:
        content = json.loads(text, object_pairs_hook=pairs)
        # Halves come in as escapes only. Written back as UTF-8, one shows itself wherever it stands.
        if _HALF.search(text):
            json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError as problem:
        half, before = problem.object[problem.start], problem.object[max(problem.start - 20, 0) : problem.start]
        raise error(
            f"{where}: half of a character, {half!r}, after {before!r}; write it whole or leave it out"
        ) from None
    except RecursionError:
        raise error(f"{where}: not JSON that can be read: nested too deep") from None
    except ValueError as problem:  # a number of too many digits is no JSONDecodeError
        raise error(f"{where}: not JSON ({problem})") from problem
    return content


def rows(text: str, path: Path, error: type[ValueError]) -> Iterator[tuple[int, int, list[str]]]:
    """(first line, last line, fields) of each row of a CSV text, empty rows left out; a quoted field may span lines.

    Raises:
        error: a field that never ends.
    """
    # Only \n ends a line: str.splitlines would also break at the marks that are part of a text, such as U+2028.
    reader = csv.reader(io.StringIO(text, newline=""))
    last = 0
    try:
        for row in reader:
            if row:
                yield last + 1, reader.line_num, row
            last = reader.line_num
    except csv.Error as problem:
        raise error(f"{path}: line {last + 1}: {problem}; is there a quote that is never closed?") from problem


def id_text(value: object) -> str | None:
    """An id as text, since tools write one image's id as 1, "1" and 1.0; None for what is no id."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, int | str) and not isinstance(value, bool) else None


def first_line(error: BaseException) -> str:
    """What an error says, in one line: its first, else its kind."""
    return (str(error).splitlines() or [type(error).__name__])[0]
