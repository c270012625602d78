"""Verdicts of users on cases: the study's two questions, answered yes, partly or no, and a note.

Kept in `results/verdicts/<run>.json`, one file per run. Identifies a case by image and beam size. Draws nothing.
"""

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from dashboard.annotations import json_store
from dashboard.annotations.json_store import JsonStoreError
from dashboard.items import Table
from dashboard.state.record import Run
from dashboard.text import formatting

QUESTIONS = {
    "reasonable": "Is the caption reasonable?",
    "attends": "Does the attended region reflect the words?",
}
SHORT = {"reasonable": "caption", "attends": "attention"}
ANSWERS = ("yes", "partly", "no")
_LARGEST = 1_000_000  # beam size

FILTERS = {
    "": "Any",
    "judged": "Judged",
    "open": "Not judged",
    **{f"{key}:{answer}": f"{SHORT[key].capitalize()}: {answer}" for key in QUESTIONS for answer in ANSWERS},
}
"""Filters by verdict, with their labels."""


@dataclass(frozen=True)
class Verdict:
    """A verdict on a case. An answer is one of ANSWERS, or "" if the question is open."""

    image_id: str
    beam_size: int
    caption: str = ""  # that was judged; a repeated run may have another one
    reasonable: str = ""
    attends: str = ""
    note: str = ""
    changed: str = ""  # when, as ISO 8601 in UTC

    @property
    def empty(self) -> bool:
        """Whether there is neither an answer nor a note."""
        return not (self.reasonable or self.attends or self.note)

    @property
    def described(self) -> str:
        """`caption yes, attention partly, with a note`."""
        answers = [f"{SHORT[key]} {getattr(self, key)}" for key in QUESTIONS if getattr(self, key)]
        return ", ".join([*answers, *(["with a note"] if self.note else [])])

    def answers(self, wanted: str) -> bool:
        """Return whether a filter, a key of FILTERS, includes this verdict."""
        question, _, answer = wanted.partition(":")
        return wanted == "judged" or (question in QUESTIONS and getattr(self, question) == answer)


@dataclass(frozen=True)
class Verdicts:
    """All verdicts on a run by (image_id, beam_size); `problem` is why the file could not be read, or ""."""

    by_case: dict[tuple[str, int], Verdict]
    problem: str = ""

    def of(self, image_id: str, beam: int) -> Verdict:
        """Return the verdict on a case; an empty one if there is none."""
        return self.by_case.get((image_id, int(beam)), Verdict(image_id, int(beam)))

    def images(self, beam: int, wanted: str) -> tuple[str, ...]:
        """Return the images whose verdict at a beam size passes the filter `wanted`, by name."""
        return tuple(sorted(v.image_id for v in self.by_case.values() if v.beam_size == beam and v.answers(wanted)))


def path(results: Path, run: str) -> Path:
    """Return the file of the verdicts on a run."""
    return results / "verdicts" / f"{run}.json"


def read(results: Path, run: str) -> Verdicts:
    """Return the verdicts on a run; an unreadable file gives a `problem` instead of an error."""
    try:
        found = json_store.read(path(results, run), _verdict)
    except JsonStoreError as error:
        return Verdicts({}, str(error))
    return Verdicts({(each.image_id, each.beam_size): each for each in found if not each.empty})


def keep(results: Path, run: str, case: Verdict, **changes: str) -> None:
    """Change answers or the note of a case and leave everything else in the file as it is.

    Raises:
        JsonStoreError: the file cannot be read or not be written.
        ValueError: an answer is not one of ANSWERS.
    """
    wrong = [value for key, value in changes.items() if key in QUESTIONS and value not in ("", *ANSWERS)]
    if wrong:
        raise ValueError(f"answer {wrong[0]!r}: expected one of {', '.join(ANSWERS)}, or an empty text")

    def edit(entries: list[Verdict]) -> list[Verdict]:
        kept = {(each.image_id, each.beam_size): each for each in entries}
        place = (case.image_id, case.beam_size)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        kept[place] = replace(kept.get(place, case), caption=case.caption, changed=now, **changes)
        return [each for _, each in sorted(kept.items()) if not each.empty]

    json_store.change(path(results, run), _verdict, edit)


def _verdict(entry: dict[str, Any]) -> Verdict:
    words = {key: json_store.text_of(entry, key) for key in ("image_id", "caption", "note", "changed")}
    answers = {key: entry.get(key) if entry.get(key) in ANSWERS else "" for key in QUESTIONS}
    size = entry.get("beam_size")
    if not words["image_id"] or not isinstance(size, int) or not 0 <= size <= _LARGEST:
        raise ValueError(f"entry {json_store.shown(entry)} has no image_id, or no beam_size from 0 to {_LARGEST:,}")
    return Verdict(beam_size=size, **words, **answers)


def table(run: Run, found: Verdicts) -> Table:
    """Return all verdicts on a run, by image and beam size."""
    rows = [each for _, each in sorted(found.by_case.items())]
    shown = pd.DataFrame(
        {
            "Image": [each.image_id for each in rows],
            "Beam size": [run.beam(each.beam_size) for each in rows],
            "Caption": [each.caption for each in rows],
            "Reasonable": [each.reasonable or "–" for each in rows],
            "Attends": [each.attends or "–" for each in rows],
            "Note": [each.note for each in rows],
        }
    )
    values = pd.DataFrame([asdict(each) for each in rows], columns=list(Verdict.__dataclass_fields__))
    return Table("verdicts", f"Verdicts on {run.name}", shown, values, " ".join(QUESTIONS.values()))


def counts_by_setting(run: Run, found: Verdicts) -> list[str]:
    """Return `at beam size 3, 12 cases: caption yes 8, partly 3, no 1; attention yes 2, partly 0, no 0`, per size."""
    sizes = sorted({each.beam_size for each in found.by_case.values()})
    return [f"{formatting.of_setting(size, run.is_sampled)}, {_counts(found, size)}" for size in sizes]


def _counts(found: Verdicts, beam: int) -> str:
    judged = [each for each in found.by_case.values() if each.beam_size == beam]
    parts = []
    for key in QUESTIONS:
        answers = [getattr(each, key) for each in judged]
        parts.append(f"{SHORT[key]} " + ", ".join(f"{answer} {answers.count(answer)}" for answer in ANSWERS))
    return f"{formatting.count(len(judged), 'case')}: {'; '.join(parts)}"
