"""Give damaged inputs to a reader and count what escapes: `python -m tests.fuzz --count 10000`.

A reader may raise only exceptions of this project, whose text is one line for the user. Anything else is a fault, and
so is an input that takes longer than SECONDS or more than MEGABYTES of memory.
"""

import resource
import shutil
import signal
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.fuzz import mutations

SECONDS = 10.0
MEGABYTES = 1000
LONGEST = 2000
"""Characters of a message."""


@dataclass(frozen=True)
class Reader:
    """A reader of files from outside."""

    name: str
    write: Callable[[Path], None]
    """Writes a valid input into an empty folder."""
    read: Callable[[Path], object]
    """Reads what is in the folder."""
    files: Callable[[Path], list[Path]] = lambda folder: sorted(path for path in folder.rglob("*") if path.is_file())
    """The files that are damaged, one at a time."""


@dataclass
class Report:
    """What a reader did with its inputs."""

    reader: str
    inputs: int = 0
    accepted: int = 0
    refused: int = 0
    faults: list[str] = field(default_factory=list)


class TooSlow(BaseException):
    """An input that took longer than SECONDS; not an Exception, so that no reader takes it for a broken file."""


def fuzz(reader: Reader, count: int, seed: int = 0) -> Report:
    """Give `count` damaged inputs to a reader."""
    report = Report(reader.name)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "valid"
        folder.mkdir()
        reader.write(folder)
        reader.read(folder)  # a valid input must be accepted
        files = reader.files(folder)
        contents = {file: file.read_bytes() for file in files}
        for number in range(count):
            random = Random(f"{reader.name} {seed} {number}")
            file = random.choice(files)
            file.write_bytes(mutations.damaged(contents[file], random))
            _try(reader, folder, f"{reader.name} --seed {seed} input {number} ({file.name})", report)
            for each, content in contents.items():  # readers may leave files of their own, but change none
                if each == file or not each.is_file():
                    each.write_bytes(content)
        shutil.rmtree(folder)
    return report


def _try(reader: Reader, folder: Path, named: str, report: Report) -> None:
    report.inputs += 1
    before = _peak()
    try:
        with _limited():
            reader.read(folder)
        report.accepted += 1
    except (Exception, TooSlow) as error:
        if is_ours(error):
            report.refused += 1
        else:
            lines = traceback.format_exception(error)
            report.faults.append(f"{named}: {type(error).__name__}: {str(error)[:200]}\n{''.join(lines[-3:])[-1500:]}")
    grown = _peak() - before
    if grown > MEGABYTES:
        report.faults.append(f"{named}: took {grown:.0f} MB")


def is_ours(error: BaseException) -> bool:
    """Return whether an exception is one of this project with one short line, as the command line prints it."""
    text = str(error)
    is_known = type(error).__module__.startswith(("engine.", "dashboard.")) and isinstance(
        error, ValueError | RuntimeError
    )
    return is_known and 0 < len(text) < LONGEST and text.isprintable()


def _peak() -> float:
    """Return the largest memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def _limited() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TooSlow(f"more than {SECONDS:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
