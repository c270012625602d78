"""SPICE through pycocoevalcap's wrapper, or a message about what is missing.

Its models are 384 MB that no package contains, and its jar does not support recent versions of Java. Nothing is
downloaded here.
"""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pycocoevalcap.spice import spice as peer

MODELS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")
NEWEST_JAVA = 15
"""Later versions forbid the reflection that the jar's parser uses."""

_LIB = Path(peer.__file__).with_name("lib")


class SpiceError(RuntimeError):
    """SPICE cannot run here; the message says what is missing and what to do."""


def check() -> None:
    """Check that SPICE can run.

    Raises:
        SpiceError: the models or Java are missing, or Java is too new.
    """
    missing = [name for name in MODELS if not (_LIB / name).is_file()]
    if missing:
        raise SpiceError(
            f"SPICE is skipped: {missing[0]} is not in {_LIB}; on a machine with a network run "
            "python -c 'from pycocoevalcap.spice.spice import Spice; Spice()', or copy the two CoreNLP 3.6.0 jars there"
        )
    version = java_version()
    if version is None or version > NEWEST_JAVA:
        found = "none was found" if version is None else f"found {version}"
        raise SpiceError(
            f"SPICE is skipped: it needs Java 8 to {NEWEST_JAVA} as `java` on the PATH, {found}; "
            "install one, or put it first on the PATH for this command"
        )


def java_version() -> int | None:
    """Return the major version of `java` on the PATH, or None."""
    if shutil.which("java") is None:
        return None
    done = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(?:1\.)?(\d+)', done.stderr + done.stdout)
    return int(found[1]) if found else None


def score(captions: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """Return SPICE's F-score of N tokenised captions, float64[N].

    Raises:
        SpiceError: it cannot run here, or failed.
    """
    check()
    results = {number: [caption] for number, caption in enumerate(captions)}
    try:
        _, each = peer.Spice().compute_score({n: list(texts) for n, texts in enumerate(references)}, results)
    except (subprocess.CalledProcessError, OSError, ValueError, KeyError) as error:
        raise SpiceError(f"SPICE failed ({error}); see its output above; the other metrics are not affected") from error
    return np.array([entry["All"]["f"] for entry in each], dtype=np.float64)
