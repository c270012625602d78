"""Signatures as numbered footnotes of a report: figures and tables refer to them, the end lists them.

Knows figures, tables and the form of a signature (`metric|name:value|...`). Knows no run and no file.
"""

import re
from collections.abc import Iterable
from dataclasses import replace

from dashboard.items import Figure, Table

TITLE = "Signatures"

_SIGNATURE = re.compile(r"[^\s|]+\|[a-z_]+:.*")

_SIDE = re.compile(r"^(Left|Right): ")
_BEAM = re.compile(r"\|beam:(\d+(?:,\d+)*)")


def is_signature(line: str) -> bool:
    """Return whether a line of small print is a signature and nothing else."""
    return bool(_SIGNATURE.fullmatch(line))


class Footnotes:
    """The signatures of a report, numbered from 1 in the order of its figures and tables.

    Signatures that differ only in the beam size share a footnote, which names all of their beam sizes.
    """

    def __init__(self, items: Iterable[Figure | Table]) -> None:
        self._sizes: dict[str, set[str]] = {}  # of beams, by signature without them
        for signature in (each for item in items for each in _of(item)):
            key, sizes = _without_beam(signature)
            self._sizes.setdefault(key, set()).update(sizes)
        self._numbers = {key: number for number, key in enumerate(self._sizes, 1)}

    def referring(self, item: Figure | Table) -> Figure | Table:
        """Return `item` with a reference to its signatures in report.md instead of the signatures."""
        lines = [line for line in item.note.splitlines() if not is_signature(line)]
        where = self.named(item)
        return replace(item, note="\n".join([*lines, *([f"{where} in report.md"] if where else [])]), signatures=())

    def named(self, item: Figure | Table) -> str:
        """Return `Signature 2` or `Signatures 1-3, 5`, or "" for an item without signatures."""
        numbers = sorted({self._numbers[_without_beam(signature)[0]] for signature in _of(item)})
        return f"Signature{'s' if len(numbers) > 1 else ''} {_ranges(numbers)}" if numbers else ""

    def lines(self) -> list[str]:
        """Return the list for the end of report.md, in Markdown."""
        whole = (
            key.replace("|beam:", f"|beam:{','.join(sorted(sizes, key=int))}", 1) for key, sizes in self._sizes.items()
        )
        return [f"{number}. `{signature.replace('`', ' ')}`" for number, signature in enumerate(whole, 1)]


def _of(item: Figure | Table) -> list[str]:
    """Return the signatures of an item, without the prefix of a side."""
    return [_SIDE.sub("", each) for each in (*item.signatures, *filter(is_signature, item.note.splitlines()))]


def _without_beam(signature: str) -> tuple[str, list[str]]:
    """Return a signature with an empty list of beam sizes, and the beam sizes that it had."""
    found = _BEAM.search(signature)
    return (_BEAM.sub("|beam:", signature, count=1), found[1].split(",")) if found else (signature, [])


def _ranges(numbers: list[int]) -> str:
    """Return sorted numbers as `1-3, 5`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
