"""Metrics that are commands: `--metrics exec:COMMAND` scores captions by a program in any language.

The command reads JSON lines and answers with JSON lines, see docs/extending.md. `exec_process` runs it.
"""

import hashlib
import json
import math
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from engine.data.split import Split
from engine.metrics.base import PerImage, with_ones
from engine.metrics.exec_process import ExecError, answers
from engine.reading import quoted
from engine.store.schema import MetricDefinition

PREFIX = "exec:"
"""What the name of such a metric begins with."""

SECONDS = 600
"""Without an answer after which a command is ended, if its header has no timeout."""

_TEXTS = ("key", "title", "unit", "definition")
_HEADER = (*_TEXTS, "digits", "higher_is_better", "needs", "timeout")
_LONGEST = 86_400  # seconds of a timeout
_WIDTH = 80  # characters of a definition


class ExecMetric(PerImage):
    """A metric that a command computes; its corpus value is the mean over images."""

    def __init__(self, name: str, words: Sequence[str], digest: str, header: Mapping[str, Any]) -> None:
        """Describe a metric by the header of its command.

        Args:
            name: as on the command line.
            words: the program and its arguments.
            digest: of the command and its files.
            header: what the command says of itself; every entry may be missing.
        """
        stem = _stem(words)
        self._where, self._words = f"metric {quoted(name)}", tuple(words)
        self._seconds = header.get("timeout", SECONDS)
        self.key: str = header.get("key", stem)
        self.title: str = header.get("title", self.key.replace("_", " ").capitalize())
        self.unit: str = header.get("unit", "number")
        self.digits: int = header.get("digits", MetricDefinition.digits)
        self.higher_is_better: bool = header.get("higher_is_better", True)
        self.definition: str = header.get("definition", f"computed by {Path(words[0]).name}, a command")[:_WIDTH]
        self.needs = header.get("needs", ())
        self.tool = f"exec-{digest}"
        self.signature = {"command": "".join(each if each.isprintable() and each != "|" else " " for each in name)}

    def statistics(self, captions: Sequence[str], split: Split) -> np.ndarray:
        """Return float64[N, 2]: the score and 1."""
        return self.together({0: captions}, split)[0]

    def together(self, settings: Mapping[int, Sequence[str]], split: Split) -> dict[int, np.ndarray]:
        """Return the statistics float64[N, 2] of the captions of every setting, from one start of the command.

        Raises:
            ExecError: the command failed, or an answer is not a score of its caption.
        """
        rows = [row for captions in settings.values() for row in _rows(captions, split)]
        scores = self._scores(rows)
        parts = np.split(scores, len(settings)) if settings else []
        return {setting: with_ones(part) for setting, part in zip(settings, parts, strict=True)}

    def _scores(self, rows: Sequence[dict[str, Any]]) -> np.ndarray:
        """Return the score of each row, float64[rows]; NaN where the command has none."""
        ids = [row["image_id"] for row in rows]
        places = {image_id: place for place, image_id in enumerate(ids)}
        # An image with several captions is ambiguous: then the answers must come in the order of the lines.
        is_free = len(places) == len(ids)
        found = np.full(len(rows), np.nan)
        answered: set[int] = set()
        with closing(
            answers(self._words, rows, self._seconds, self._where)
        ) as lines:  # ends the command after an error
            for number, answer in enumerate(_without_header(lines)):
                if number >= len(rows):
                    raise ExecError(f"{self._where}: more than {len(rows):,} answers, expected one per caption")
                place = self._place(answer, number, places if is_free else None, ids)
                if place in answered:
                    raise ExecError(f"{self._where}: two answers for image {quoted(ids[place])}, expected one each")
                answered.add(place)
                found[place] = self._score(answer, ids[place])
        if len(answered) < len(rows):
            raise ExecError(f"{self._where}: {len(answered):,} of {len(rows):,} captions have an answer, expected all")
        return found

    def _place(self, answer: Any, number: int, places: Mapping[str, int] | None, ids: Sequence[str]) -> int:
        """Return the row that an answer belongs to: by its image id, else by its order."""
        if not isinstance(answer, dict) or "score" not in answer:
            raise ExecError(f'{self._where}: answer {number + 1} is {quoted(answer)}, expected {{"score": number}}')
        if "image_id" not in answer:
            return number
        named = str(answer["image_id"])
        if places is None and named != ids[number]:
            raise ExecError(
                f"{self._where}: answer {number + 1} is of image {quoted(named)}, expected {quoted(ids[number])}; "
                "answer in the order of the lines, because an image has several captions"
            )
        if places is not None and named not in places:
            raise ExecError(f"{self._where}: answer {number + 1} is of image {quoted(named)}, which was not asked for")
        return number if places is None else places[named]

    def _score(self, answer: Mapping[str, Any], image_id: str) -> float:
        score = answer["score"]
        if score is None:
            return math.nan
        try:
            value = float(score) if isinstance(score, int | float) and not isinstance(score, bool) else math.nan
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            raise ExecError(
                f"{self._where}: the score of image {quoted(image_id)} is {quoted(score)}, expected a finite number, "
                "or null for an image without a score"
            )
        return value


def _rows(captions: Sequence[str], split: Split) -> list[dict[str, Any]]:
    photos = split.photos or (None,) * len(split)
    return [
        {
            "image_id": image_id,
            "caption": caption,
            "references": list(references),
            "photo": None if photo is None else str(photo.absolute()),
        }
        for image_id, caption, references, photo in zip(
            split.image_ids, captions, split.references, photos, strict=True
        )
    ]


def _without_header(found: Iterable[Any]) -> Iterator[Any]:
    return (answer for number, answer in enumerate(found) if number or not _is_header(answer))


def _is_header(answer: Any) -> bool:
    return isinstance(answer, dict) and "score" not in answer and any(name in answer for name in _HEADER)


# Loading


def load(name: str) -> ExecMetric:
    """Return the metric `exec:COMMAND`. Its command is started once without input, to read its header.

    Raises:
        ExecError: the command is empty or cannot be started, or its header is not one.
    """
    try:
        words = shlex.split(name.removeprefix(PREFIX))
    except ValueError as error:
        raise ExecError(f"metric {quoted(name)}: {error}; expected exec: and a command with balanced quotes") from error
    if not words or not words[0]:
        raise ExecError(f"metric {quoted(name)}: expected a command after exec:, such as exec:'python my_metric.py'")
    return _loaded(name, tuple(words), _digest_of_files(words), str(Path.cwd()))


@cache
def _loaded(name: str, words: tuple[str, ...], files: str, folder: str) -> ExecMetric:
    """Load a metric once for the same command, files and folder."""
    header = _header(name, words)
    # The header decides what the numbers mean, and may come from a file that the command reads.
    content = json.dumps([words, files, sorted(header.items())])
    return ExecMetric(name, words, hashlib.sha256(content.encode()).hexdigest()[:16], header)


def _digest_of_files(words: Sequence[str]) -> str:
    """Return a digest of the program and of its first argument, where these are files."""
    digest = hashlib.sha256()
    for word in words[:2]:
        try:
            path = Path(word)
            digest.update(path.read_bytes() if path.is_file() else b"\0")
        except OSError as error:
            raise ExecError(f"{word}: {error.strerror or error}; make the file readable") from error
    return digest.hexdigest()


def _header(name: str, words: Sequence[str]) -> dict[str, Any]:
    """Return what a command prints about itself when its input is empty; {} if it prints nothing."""
    where = f"metric {quoted(name)}"
    found = list(answers(words, (), SECONDS, where))
    if not found:
        return {}
    if len(found) > 1 or not _is_header(found[0]):
        last = quoted(found[-1])
        raise ExecError(
            f"{where}: it printed {last} without input, expected nothing, or a header with {_list(_HEADER)}"
        )
    header = found[0]
    unknown = next((key for key in header if key not in _HEADER), None)
    if unknown is not None:
        raise ExecError(f"{where}: its header has {quoted(unknown)}, expected {_list(_HEADER)}")
    wrong = next((key for key in _TEXTS if key in header and not isinstance(header[key], str)), None)
    if wrong is not None:
        raise ExecError(f"{where}: {wrong} of its header is {quoted(header[wrong])}, expected a text")
    seconds = header.get("timeout", SECONDS)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= _LONGEST:
        raise ExecError(f"{where}: timeout is {quoted(seconds)}, expected seconds, above 0 and at most {_LONGEST:,}")
    return header


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)


def _stem(words: Sequence[str]) -> str:
    """Return the key of a command without a header: the name of its script, else of its program."""
    word = next((each for each in words[1:2] if Path(each).is_file()), words[0])
    stem = re.sub(r"[^a-z0-9]+", "_", Path(word).stem.lower()).strip("_")
    return stem if stem[:1].isalpha() else f"exec_{stem}".strip("_")
