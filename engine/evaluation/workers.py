"""Who captioned the chunks of a run: machines, their processors, and the time they took."""

from collections.abc import Iterable
from typing import Any

from engine.evaluation import chunks
from engine.evaluation.chunks import Computed


def workers_of(found: Iterable[Computed]) -> list[dict[str, Any]]:
    """Return the entry `workers` of run.json: node, device, chunks, images, seconds, by node."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for each in found:
        if not each.node:  # stored by an older version
            continue
        new = {"node": each.node, "device": each.device, "chunks": 0, "images": 0, "seconds": 0.0}
        row = rows.setdefault((each.node, each.device), new)
        row["chunks"] += 1
        row["images"] += each.images
        row["seconds"] += sum(seconds for name, seconds in each.seconds.items() if name in _BUSY)
    for row in rows.values():
        row["seconds"] = round(row["seconds"], 3)
    return [rows[key] for key in sorted(rows)]


_BUSY = (chunks.WAITED, "encode", "decode", "attention")
"""Parts of the captioning time that do not overlap."""
