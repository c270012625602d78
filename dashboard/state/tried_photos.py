"""Photos that a user tries: each becomes a run of one image in a folder of its own, which the pages read like any run.

Knows the records of runs and the command line of the engine. The model runs in `model_process`.
"""

import atexit
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2s
from pathlib import Path

import streamlit as st

from dashboard.state import model_process
from dashboard.state.record import Run

_KEPT = ("--captioner", "--prompt", "--model", "--tokenizer", "--precision", "--device-map", "--device", "--rule")
_KEPT += ("--max-length", "--length-penalty", "--repetition-penalty", "--no-repeat-ngram", "--seed")
"""Options of a run's command that a tried photo takes over; each has one value."""

_SUFFIX = re.compile(r"\.[a-z0-9]{1,5}")


@dataclass(frozen=True)
class Tried:
    """A results folder with one run of one photo."""

    results: Path
    run: str


def options_of(run: Run) -> list[str]:
    """Return the options of the captioner of a run, from the command that made it; [] if it names no captioner."""
    try:
        parts = shlex.split(run.text("command"))
    except ValueError:
        return []
    found = list(_values(parts))
    return found if "--captioner" in found else []


def _values(parts: list[str]) -> Iterator[str]:
    for name, value in zip(parts, parts[1:], strict=False):
        if name in _KEPT:
            yield from (name, value)


def caption(source: Run, results: Path, photo: bytes, name: str, beams: tuple[int, ...]) -> tuple[Tried, str]:
    """Caption a photo with the captioner of a run; return where the result is, and "" or what went wrong.

    Args:
        results: the results folder of `source`, whose alarm is used.
        name: file name of the photo; its ending is kept.
    """
    options = options_of(source)
    digest = blake2s(repr((options, beams)).encode() + photo).hexdigest()[:16]
    folder = _home() / digest
    photos, tried = folder / "photos", Tried(folder / "results", "photo")
    suffix = Path(name).suffix.lower()
    if (tried.results / "runs" / tried.run / "run.json").exists():
        return tried, ""
    photos.mkdir(parents=True, exist_ok=True)
    (photos / f"photo{suffix if _SUFFIX.fullmatch(suffix) else '.jpg'}").write_bytes(photo)
    arguments = ["evaluate", "--data", str(photos), "--format", "folder", "--split", "all", "--run", tried.run]
    arguments += ["--results", str(tried.results), "--beams", *map(str, beams), *options]
    if source.part("alarm"):
        _link(results / "runs" / source.name, tried.results / "runs" / source.name)
        arguments += ["--alarm", source.name]
    return tried, model_process.shared().run(arguments).replace(f"{folder}/", "")


def _link(there: Path, here: Path) -> None:
    """Make the run of the alarm known to the results folder of the photo."""
    here.parent.mkdir(parents=True, exist_ok=True)
    if not here.exists():
        here.symlink_to(there.resolve(), target_is_directory=True)


@st.cache_resource(show_spinner=False)
def _home() -> Path:
    """Return the folder of the tried photos, which is deleted when the server ends."""
    folder = Path(tempfile.mkdtemp(prefix="captionscope-photos-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
