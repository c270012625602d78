"""A finished run as the dashboard knows it: its name, how much it holds, and what its record says.

Knows `run.json`, which may come from another program or version. Reads no file, and depends on no page: the report
on the command line uses it too.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from dashboard.text import formatting
from engine.store.schema import ATTENTION_PASSES

_KINDS = {"captioner": "captioner", "predictions": "imported predictions", "zero_shot": "zero-shot only"}
_COUNTS = ["captions", "images", "skipped", "attention", "zero_shot"]


@dataclass(frozen=True)
class Run:
    """A finished run: its name, how many rows it has of what, and its record.

    The record may come from another program or version: every key may be missing or of another type.
    """

    name: str
    record: dict[str, Any] = field(hash=False)
    captions: int = 0
    images: int = 0
    skipped: int = 0
    attention: int = 0
    zero_shot: int = 0

    def part(self, *path: str) -> Any:
        """What stands under nested keys of the record, or None."""
        found: Any = self.record
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return found

    def text(self, *path: str, default: str = "") -> str:
        """The same as text; `default` where there is nothing to show."""
        found = self.part(*path)
        return str(found) if isinstance(found, str | int | float) and str(found) else default

    def root(self, kind: str) -> Path | None:
        """The folder that `images` or `zero_shot` file names are relative to, or None."""
        folder = self.text("roots", kind)
        return Path(folder) if folder else None

    def described(self) -> list[str]:
        """What the run is, in a few words each: its kind, its data, its images."""
        whole = self.part("data", "of_images")
        partial = isinstance(whole, int) and whole > self.images
        images = self.images or self.zero_shot
        counted = (
            f"{self.images:,} of {formatting.count(whole, 'image')}" if partial else formatting.count(images, "image")
        )
        return [part for part in (*self._named(), counted, self._seen_in_training()) if part]

    def classified(self, images: int) -> list[str]:
        """The same for what is about `images` photos of classes: they are others than those with captions."""
        return [part for part in (*self._named(), f"{formatting.count(images, 'image')} classified by prompts") if part]

    def _named(self) -> tuple[str, str]:
        kind = _KINDS.get(self.text("kind"), self.text("kind", default="run"))
        return kind, " ".join(filter(None, [self.text("data", "name"), self.text("data", "split")]))

    def _seen_in_training(self) -> str:
        seen = self.part("trained_on")
        return f"⚠ {formatting.count(seen, 'image')} of its own training" if isinstance(seen, int) and seen > 0 else ""

    def beam(self, size: int) -> str:
        """A beam size of this run as a word: size 1 is greedy, unless its tokens were drawn by chance."""
        return formatting.beam(size, self.is_sampled)

    @property
    def is_sampled(self) -> bool:
        """Whether captions were drawn by chance instead of searched for."""
        return self.part("decoding", "sample") is True

    @property
    def attention_pass(self) -> str:
        """The pass that the attention maps come from; runs made before it was recorded replayed captions causally."""
        return self.text("attention", "pass", default=ATTENTION_PASSES["standard"])

    def seconds_per_image(self) -> pd.DataFrame:
        """Columns beam_size, seconds (to decode an image), as far as the record has them and they make sense."""
        recorded = self.part("seconds_per_image")
        rows = [
            {"beam_size": int(size), "seconds": float(value)}
            for size, value in (recorded.items() if isinstance(recorded, dict) else [])
            if str(size).isdigit() and isinstance(value, int | float)
        ]
        return pd.DataFrame(rows, columns=["beam_size", "seconds"]).sort_values("beam_size")

    @property
    def demo_clip(self) -> bool:
        """Whether CLIPScores come from the demo CLIP."""
        return self.part("clip", "demo") is True


def runs_of(frame: pd.DataFrame) -> list[Run]:
    """The runs of `queries.runs`."""
    return [
        Run(row.run, json.loads(row.record), **{name: int(getattr(row, name)) for name in _COUNTS})
        for row in frame.itertuples()
    ]
