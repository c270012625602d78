"""The command that captions or scores chosen images of a run again."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from engine.reading import printable

_DROPPED = ("--run", "--only", "--limit")
"""Options of the run's command that are replaced."""


def command(run: str, record: Mapping[str, Any], image_ids: Sequence[str]) -> str:
    """Return the run's command for these images only, under another name; "" if its command is not known.

    Args:
        record: the content of `run.json`.
    """
    typed = record.get("command")
    if not isinstance(typed, str):
        return ""
    try:
        words = [printable(word) for word in shlex.split(typed)]
    except ValueError:
        return ""
    if len(words) < 4 or words[3 if words[1] == "-m" else 1] not in ("evaluate", "score"):
        return ""
    return shlex.join([*_without(words, _DROPPED), "--run", f"{run}-slice", "--only", *image_ids])


def _without(words: Sequence[str], options: Sequence[str]) -> list[str]:
    """Return a command line without some options and their values."""
    kept: list[str] = []
    is_dropped = False
    for word in words:
        if word.startswith("--"):
            is_dropped = word.split("=", 1)[0] in options
        if not is_dropped:
            kept.append(word)
    return kept
