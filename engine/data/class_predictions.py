"""Read predicted classes made elsewhere: the course's CSV, `filename,label`, next to the classes of `id2label.json`."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from engine.data.dataset import Dataset
from engine.data.files import rows
from engine.data.predictions import PredictionsError
from engine.reading import quoted, read_text

_WHOLE = re.compile(r"(-?)0*(\d+)(?:\.0*)?")


@dataclass(frozen=True)
class PredictedClass:
    """A photo's predicted and true class, both as the numbers used in the course's file names."""

    file_name: str
    """Without folders."""
    predicted: str
    true: str


def read(path: Path, classes: Dataset | None = None) -> list[PredictedClass]:
    """Read the course's `filename,label` file. The true label is the part of the file name before `_`.

    A number may be written in any way (`1`, `01`, `1.0`).

    Args:
        classes: the classification set, if known. A label may then also be the name of a class.

    Raises:
        PredictionsError: the file is missing or has another header, a line is not a file name and a label, a label is
            not a class, or a photo occurs twice.
    """
    if not path.is_file():
        raise PredictionsError(f"{path}: there is no such file; expected a CSV with the header filename,label")
    table = rows(read_text(path, PredictionsError), path, PredictionsError)
    _, _, header = next(table, (0, 0, []))
    if header != ["filename", "label"]:
        raise PredictionsError(f"{path}: the first line is {quoted(header)}, expected the header filename,label")
    labels = _Labels(classes)
    found = [_class_row(f"{path}: line {line}", row, labels) for line, _, row in table]
    twice = next((name for name, count in Counter(each.file_name for each in found).items() if count > 1), None)
    if twice is not None:
        raise PredictionsError(f"{path}: the photo {quoted(twice)} occurs twice; keep one label")
    if not found:
        raise PredictionsError(f"{path}: contains no predictions")
    return found


class _Labels:
    """Turns a label, as written, into the number of its class."""

    def __init__(self, classes: Dataset | None) -> None:
        self._classes = classes
        pairs = zip(classes.label_ids, classes.labels, strict=True) if classes else ()
        self._numbers: dict[str, str] = {}
        self._names: dict[str, str] = {}
        for number, name in pairs:
            self._numbers[_canonical(number)] = number
            self._names[_folded(name)] = number

    def number(self, where: str, label: str) -> str:
        """Return the class of a label; raise `PredictionsError` if it is not a class."""
        if self._classes is None:
            return _canonical(label)
        found = self._numbers.get(_canonical(label)) or self._names.get(_folded(label))
        if found is None:
            first = f"{self._classes.label_ids[0]!r} or {self._classes.labels[0]!r}" if self._names else "none"
            raise PredictionsError(
                f"{where}: the label {quoted(label)} is not one of the {len(self._names)} classes of "
                f"{self._classes.path}; expected a number or a name, such as {first}"
            )
        return found

    def check_alike(self, where: str, true: str, predicted: str) -> None:
        """Raise `PredictionsError` if only one of two labels is a number: without the classes they are never equal."""
        if self._classes is None and _WHOLE.fullmatch(true) and not _WHOLE.fullmatch(predicted):
            raise PredictionsError(
                f"{where}: the label {quoted(predicted)} is not a whole number like the {true} in the file name; "
                "correct it, or pass the folder with id2label.json as --data if labels are class names"
            )


def _canonical(label: str) -> str:
    """Return a whole number in its usual form; any other label as it is."""
    found = _WHOLE.fullmatch(label)
    return f"{found[1]}{found[2]}" if found else label


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()


def _class_row(where: str, row: list[str], labels: _Labels) -> PredictedClass:
    name = row[0].strip().replace("\\", "/").rpartition("/")[2]
    if len(row) != 2 or "_" not in name:
        raise PredictionsError(f"{where} is {quoted(','.join(row))}, expected {{label}}_{{id}}.png,label")
    true, predicted = name.split("_")[0], row[1].strip()
    labels.check_alike(where, true, predicted)
    return PredictedClass(name, labels.number(where, predicted), labels.number(where, true))
