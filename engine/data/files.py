"""Read text, JSON and CSV files of users, and quote their content briefly in error messages.

The functions know no dataset format; the caller passes the exception class to raise.
"""

import csv
import io
import json
import re
import reprlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_QUOTED = 80

_short = reprlib.Repr()
_short.maxlevel, _short.maxlist, _short.maxdict, _short.maxstring, _short.maxother = 3, 3, 3, _QUOTED, _QUOTED


def quoted(value: object) -> str:
    """Return the `repr` of a value for an error message, cut to 80 characters."""
    text = _short.repr(value)
    return text if len(text) <= _QUOTED else f"{text[: _QUOTED - 3]}..."


def read_text(path: Path, error: type[ValueError]) -> str:
    """Return the text of a UTF-8 file, with or without a byte order mark; all line ends become line feeds.

    Raises:
        error: the file has another encoding.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as problem:
        raise error(f"{path}: not UTF-8 text ({problem}); save it as UTF-8") from problem


def some_of(names: Sequence[str], most: int = 5) -> str:
    """Return a list of names for a message: at most `most`, shortened, then how many more there are."""
    clean = ["".join(sign if sign.isprintable() else "?" for sign in name[: _QUOTED + 1]) for name in names[:most]]
    shown = [name if len(name) <= _QUOTED else f"{name[: _QUOTED - 3]}..." for name in clean]
    more = [f"and {len(names) - most:,} more"] if len(names) > most else []
    return ", ".join(shown + more)


def head(path: Path, length: int = 65_536) -> str:
    """Return the beginning of a file as text, to recognise its format; "" if it cannot be read."""
    if not path.is_file():  # opening a pipe would wait for its other end
        return ""
    try:
        with open(path, "rb") as file:
            return file.read(length).decode("utf-8-sig", errors="replace")
    except OSError:
        return ""


def parse_json(
    text: str, where: str, error: type[ValueError], pairs: Callable[[list[tuple[str, Any]]], Any] | None = None
) -> Any:
    """Return the value of a JSON text.

    Args:
        where: prefix of error messages.
        pairs: builds an object from its names and values; None builds a dict.

    Raises:
        error: not JSON, nested too deeply, or a string with an unpaired surrogate.
    """
    try:
        content = json.loads(text, object_pairs_hook=pairs)
        # Unpaired surrogates can only come from escapes. Encoding the content as UTF-8 finds them at any depth.
        if _HALF.search(text):
            json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError as problem:
        half, before = problem.object[problem.start], problem.object[max(problem.start - 20, 0) : problem.start]
        raise error(
            f"{where}: the surrogate {half!r} after {before!r} is unpaired; write the whole character or remove it"
        ) from None
    except RecursionError:
        raise error(f"{where}: the JSON is nested too deeply to be read") from None
    except ValueError as problem:  # a number with too many digits does not raise JSONDecodeError
        raise error(f"{where}: not JSON ({problem})") from problem
    return content


def rows(text: str, path: Path, error: type[ValueError], delimiter: str = ",") -> Iterator[tuple[int, int, list[str]]]:
    """Yield (first line, last line, fields) of each non-empty row of a CSV text; a quoted field may span lines.

    Raises:
        error: a quoted field is not closed.
    """
    # Only \n ends a line; str.splitlines would also split at characters that belong to the text, such as U+2028.
    quoting = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL  # quotes are text in TSV
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting)
    last = 0
    try:
        for row in reader:
            if row:
                yield last + 1, reader.line_num, row
            last = reader.line_num
    except csv.Error as problem:
        raise error(f"{path}: line {last + 1}: {problem}; is there a quote that is never closed?") from problem


def id_text(value: object) -> str | None:
    """Return an id as text, since tools write the same id as 1, "1" or 1.0; None if `value` is not an id."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, int | str) and not isinstance(value, bool) else None


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its class name if the message is empty."""
    return (str(error).splitlines() or [type(error).__name__])[0]
