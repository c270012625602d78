"""Read text, JSON and TOML files that others wrote, and quote their content briefly in messages.

Files are untrusted: a damaged or hostile file becomes one sentence and costs little time and memory. The functions know
no format of their own; the caller passes the exception class to raise.
"""

import json
import math
import re
import reprlib
import stat
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

LARGEST_SETTINGS = 16 * 2**20
"""Largest file of settings or records, in bytes."""

LARGEST_DATA = 4 * 2**30
"""Largest text file of data, in bytes: eight times the annotations of the largest COCO split."""

DEEPEST = 50
"""Most levels of lists and objects in a file of settings or records."""

LONGEST_MESSAGE = 2_000
"""Most characters of a message on the terminal."""

_LONGEST_WORD = 300
_QUOTED = 80
_LONG_WORD = re.compile(rf"\S{{{_LONGEST_WORD},}}")
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_LONG_NUMBER = re.compile(r"\d{19}")
_INT64 = 2**63

_short = reprlib.Repr()
_short.maxlevel, _short.maxlist, _short.maxdict, _short.maxstring, _short.maxother = 3, 3, 3, _QUOTED, _QUOTED


def quoted(value: object) -> str:
    """Return the `repr` of a value for an error message, cut to 80 characters."""
    if isinstance(value, int) and abs(value) >= 10**_QUOTED:
        return f"a number of more than {_QUOTED} digits"  # Python refuses to print those of more than 4,300
    text = _short.repr(value)
    return text if len(text) <= _QUOTED else f"{text[: _QUOTED - 3]}..."


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message as it may be shown, or its class name if the message is empty."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return _middle_cut(printable(first), _LONGEST_WORD)


def some_of(names: Sequence[str], most: int = 5) -> str:
    """Return a list of names for a message: at most `most`, shortened, then how many more there are."""
    shown = [_middle_cut(printable(name[:1000]).replace("\n", " "), _QUOTED) for name in names[:most]]
    more = [f"and {len(names) - most:,} more"] if len(names) > most else []
    return ", ".join(shown + more)


def message(text: str) -> str:
    """Return a message as the terminal may show it: no control characters, no endless words, at most 2,000 characters.

    File names, keys and captions come from anywhere: escape codes in them would move the cursor or hide the rest of the
    message, and a value of 70,000 characters would push it off the screen. Line breaks stay.
    """
    shown = _LONG_WORD.sub(lambda found: _middle_cut(found[0], _LONGEST_WORD), printable(text))
    return _middle_cut(shown, LONGEST_MESSAGE)


def printable(text: str) -> str:
    r"""Return a text with control characters written out, such as `\x1b`; line breaks and tabs stay.

    A terminal obeys escape codes, and characters that change the direction of writing hide what is there. Half a
    character (a surrogate) cannot be printed at all.
    """
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)


def _middle_cut(text: str, longest: int) -> str:
    """Return a text without its middle if it is too long: a message says at its end what to do."""
    half = (longest - 3) // 2
    return text if len(text) <= longest else f"{text[:half]}...{text[-half:]}"


def head(path: Path, length: int = 65_536) -> str:
    """Return the beginning of a file as text, to recognise its format; "" if it cannot be read."""
    if not path.is_file():  # opening a pipe would wait for its other end
        return ""
    try:
        with open(path, "rb") as file:
            return file.read(length).decode("utf-8-sig", errors="replace")
    except OSError:
        return ""


def read_text(path: Path, error: type[ValueError], largest: int = LARGEST_DATA) -> str:
    """Return the text of a UTF-8 file, with or without a byte order mark; all line ends become line feeds.

    Raises:
        error: the file has another encoding, is not a regular file, or has more than `largest` bytes.
        OSError: the file does not exist or cannot be read.
    """
    _check_file(path, error, largest)
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as problem:
        raise error(f"{path}: not UTF-8 text ({problem}); save it as UTF-8") from None


def read_lines(path: Path, error: type[ValueError], largest: int = LARGEST_DATA) -> Iterator[str]:
    """Yield the lines of a UTF-8 file with their line feeds; only one is in memory. See `read_text`."""
    _check_file(path, error, largest)
    number = 0
    with open(path, encoding="utf-8-sig") as file:
        try:
            for number, line in enumerate(file, 1):  # noqa: B007
                yield line
        except UnicodeDecodeError as problem:
            raise error(f"{path}: not UTF-8 text after line {number} ({problem.reason}); save it as UTF-8") from None


def _check_file(path: Path, error: type[ValueError], largest: int) -> None:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):  # a pipe or a device may never end
        raise error(f"{path}: not a file, expected a text file")
    if found.st_size > largest:
        raise error(f"{path}: {found.st_size:,} bytes, expected at most {largest:,}; is this the right file?")


def parse_json(
    text: str, where: str, error: type[ValueError], pairs: Callable[[list[tuple[str, Any]]], Any] | None = None
) -> Any:
    """Return the value of a JSON text.

    Args:
        where: prefix of error messages.
        pairs: builds an object from its names and values; None builds a dict.

    Raises:
        error: not JSON, nested too deeply, a number of more than 4,000 digits, or a string with an unpaired surrogate.
    """
    try:
        # Only for texts with long numbers, because a function per number makes parsing half as fast.
        hook = _whole_number if _LONG_NUMBER.search(text) else None
        content = json.loads(text, object_pairs_hook=pairs, parse_int=hook)
        # Unpaired surrogates can only come from escapes. Encoding the content as UTF-8 finds them at any depth.
        if _HALF.search(text):
            json.dumps(content, ensure_ascii=False).encode()
    except _LongNumberError as problem:
        raise error(f"{where}: {problem}") from None
    except UnicodeEncodeError as problem:
        half, before = problem.object[problem.start], problem.object[max(problem.start - 20, 0) : problem.start]
        raise error(
            f"{where}: the surrogate {half!r} after {before!r} is unpaired; write the whole character or remove it"
        ) from None
    except RecursionError:
        raise error(f"{where}: the JSON is nested too deeply to be read") from None
    except ValueError as problem:
        raise error(f"{where}: not JSON ({problem})") from problem
    return content


class _LongNumberError(Exception):
    """A number that Python would refuse with advice on its own settings."""


def _whole_number(digits: str) -> int:
    if len(digits) > 4_000:
        raise _LongNumberError(f"a number has {len(digits):,} digits, expected at most 4,000")
    return int(digits)


def read_object(path: Path, error: type[ValueError]) -> dict[str, Any]:
    """Return the JSON object in a file of settings or records.

    Raises:
        error: the file is not a JSON object, or has a value that no program of ours writes: more than 16 MB, more than
            50 levels, a number that is not finite or does not fit in 64 bits.
        OSError: the file does not exist or cannot be read.
    """
    content = parse_json(read_text(path, error, LARGEST_SETTINGS), str(path), error)
    if not isinstance(content, dict):
        raise error(f"{path}: expected a JSON object")
    _check_plain(content, str(path), error)
    return content


def read_toml(path: Path, error: type[ValueError]) -> dict[str, Any]:
    """Return the tables of a TOML file of settings.

    Raises:
        error: the file is not TOML, or has a value that `read_object` would refuse too.
        OSError: the file does not exist or cannot be read.
    """
    text = read_text(path, error, largest=2**18)  # tomllib takes seconds for megabytes of dotted keys
    try:
        content = tomllib.loads(text)
    except RecursionError:
        raise error(f"{path}: the TOML is nested too deeply to be read") from None
    except tomllib.TOMLDecodeError as problem:
        raise error(f"{path}: not TOML: {problem}") from problem
    except ValueError:  # Python's limit on the digits of a number
        raise error(f"{path}: a number has too many digits, expected at most 19") from None
    _check_plain(content, str(path), error)
    return content


def _check_plain(content: dict[str, Any], where: str, error: type[ValueError]) -> None:
    """Raise `error` for nesting and numbers that later code could not handle; walks without recursion."""
    level: list[Any] = [content]
    for _ in range(DEEPEST):
        inner = [each for value in level for each in (value.values() if isinstance(value, dict) else value)]
        for value in inner:
            if isinstance(value, int) and not -_INT64 <= value < _INT64:
                raise error(f"{where}: {quoted(value)} does not fit in 64 bits")
            if isinstance(value, float) and not math.isfinite(value):
                raise error(f"{where}: a number is {value}, expected a finite number")
        level = [value for value in inner if isinstance(value, dict | list)]
        if not level:
            return
    raise error(f"{where}: more than {DEEPEST} levels of lists and objects")
