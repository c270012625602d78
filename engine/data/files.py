"""Read CSV files of users and compare their ids."""

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path


def rows(
    text: str | Iterable[str], path: Path, error: type[ValueError], delimiter: str = ","
) -> Iterator[tuple[int, int, list[str]]]:
    """Yield (first line, last line, fields) of each non-empty row of a CSV text; a quoted field may span lines.

    Args:
        text: the text, or its lines with their line feeds.
        path: the file, for messages.

    Raises:
        error: a quoted field is not closed.
    """
    # Only \n ends a line; str.splitlines would also split at characters that belong to the text, such as U+2028.
    quoting = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL  # quotes are text in TSV
    lines = io.StringIO(text, newline="") if isinstance(text, str) else text
    reader = csv.reader(lines, delimiter=delimiter, quoting=quoting)
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
