"""What people say of cases: the study's two questions, each answered yes, partly or no, with a note.

Kept in `results/verdicts/<run>.json`, a file a run. Knows cases by image and beam size. Draws nothing, asks no query.
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

FILTERS = {
    "": "Any",
    "judged": "Judged",
    "open": "Not judged",
    **{f"{key}:{answer}": f"{SHORT[key].capitalize()}: {answer}" for key in QUESTIONS for answer in ANSWERS},
}
"""What verdicts can be filtered by, and how it is called."""


@dataclass(frozen=True)
class Verdict:
    """What somebody said of a case. An answer is one of ANSWERS, or "" where the question is open."""

    image_id: str
    beam_size: int
    caption: str = ""  # that was judged: a run that is made again may say another
    reasonable: str = ""
    attends: str = ""
    note: str = ""
    changed: str = ""  # when, as ISO 8601 in UTC

    @property
    def empty(self) -> bool:
        """Whether nothing is said."""
        return not (self.reasonable or self.attends or self.note)

    @property
    def described(self) -> str:
        """`caption yes, attention partly, with a note`."""
        said = [f"{SHORT[key]} {getattr(self, key)}" for key in QUESTIONS if getattr(self, key)]
        return ", ".join([*said, *(["with a note"] if self.note else [])])

    def answers(self, wanted: str) -> bool:
        """Whether it is one of those that a key of FILTERS means."""
        question, _, answer = wanted.partition(":")
        return wanted == "judged" or (question in QUESTIONS and getattr(self, question) == answer)


@dataclass(frozen=True)
class Verdicts:
    """All verdicts on a run by (image_id, beam_size); `problem` says why the file could not be read."""

    by_case: dict[tuple[str, int], Verdict]
    problem: str = ""

    def of(self, image_id: str, beam: int) -> Verdict:
        """The verdict on a case; an empty one where there is none."""
        return self.by_case.get((image_id, int(beam)), Verdict(image_id, int(beam)))

    def images(self, beam: int, wanted: str) -> tuple[str, ...]:
        """The images whose verdict at a beam size is one of those that `wanted` means, by name."""
        return tuple(sorted(v.image_id for v in self.by_case.values() if v.beam_size == beam and v.answers(wanted)))


def path(results: Path, run: str) -> Path:
    """Where the verdicts on a run are kept."""
    return results / "verdicts" / f"{run}.json"


def read(results: Path, run: str) -> Verdicts:
    """The verdicts on a run; a file that cannot be read is a sentence and no error."""
    try:
        found = json_store.read(path(results, run), _verdict)
    except JsonStoreError as error:
        return Verdicts({}, str(error))
    return Verdicts({(each.image_id, each.beam_size): each for each in found if not each.empty})


def keep(results: Path, run: str, case: Verdict, **said: str) -> None:
    """Changes what is `said` of a case (answers, note) and leaves the rest as it stands in the file.

    Raises:
        JsonStoreError: the file cannot be read or not be written.
        ValueError: an answer that is none of ANSWERS.
    """
    wrong = [value for key, value in said.items() if key in QUESTIONS and value not in ("", *ANSWERS)]
    if wrong:
        raise ValueError(f"answer {wrong[0]!r}: expected one of {', '.join(ANSWERS)}, or none")

    def edit(entries: list[Verdict]) -> list[Verdict]:
        kept = {(each.image_id, each.beam_size): each for each in entries}
        place = (case.image_id, case.beam_size)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        kept[place] = replace(kept.get(place, case), caption=case.caption, changed=now, **said)
        return [each for _, each in sorted(kept.items()) if not each.empty]

    json_store.change(path(results, run), _verdict, edit)


def _verdict(entry: dict[str, Any]) -> Verdict:
    words = {key: json_store.text_of(entry, key) for key in ("image_id", "caption", "note", "changed")}
    answers = {key: entry.get(key) if entry.get(key) in ANSWERS else "" for key in QUESTIONS}
    size = entry.get("beam_size")
    if not words["image_id"] or not isinstance(size, int):
        raise ValueError(f"an entry without image_id or beam_size ({str(entry)[:80]})")
    return Verdict(beam_size=size, **words, **answers)


def table(run: Run, found: Verdicts) -> Table:
    """All verdicts on a run, by image and beam size."""
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
