"""A finished run in the dashboard: its name, its row counts and its record.

Knows `run.json`, which may come from another program or version. Reads no file and needs no page, so that the report
on the command line can use it.
"""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from dashboard.text import formatting
from engine.store.frames import named_rows
from engine.store.schema import ATTENTION_PASSES

_KINDS = {"captioner": "captioner", "predictions": "imported predictions", "zero_shot": "zero-shot only"}
_COUNTS = ["captions", "images", "skipped", "attention", "zero_shot"]


_LONGEST, _SENTENCE, _COMMAND = 300, 600, 4000  # characters of a text, of a sentence and of a command


def _written(value: Any) -> str:
    """Return a scalar as text, and "" for anything else; a number of thousands of digits cannot be written."""
    try:
        return str(value) if isinstance(value, str | int | float) else ""
    except ValueError:
        return ""


@dataclass(frozen=True)
class Run:
    """A finished run: its name, its number of rows per table, and its record.

    The record may come from another program or version: every key may be missing or have another type.
    """

    name: str
    record: dict[str, Any] = field(hash=False)
    captions: int = 0
    images: int = 0
    skipped: int = 0
    attention: int = 0
    zero_shot: int = 0
    title: str = ""  # that a user gave the run, or ""
    is_hidden: bool = False  # whether a user hid it from lists

    @property
    def shown(self) -> str:
        """Return the name that lists and tables show: the title that a user gave, else the name of its folder."""
        return self.title or self.name

    def part(self, *path: str) -> Any:
        """Return the value under nested keys of the record, or None."""
        found: Any = self.record
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return found

    @property
    def has_sampled_attention(self) -> bool:
        """Whether the run stores the attention of some images only, and adds that of others on request."""
        return self.part("plan", "attention_images") not in (None, "all") and bool(self.text("command"))

    def text(self, *path: str, default: str = "") -> str:
        """Return the value under nested keys as text, or `default` if it is missing or not a scalar.

        A long text is shortened: no name is longer, and a record may come from anywhere.
        """
        found = self.part(*path)
        longest = _COMMAND if path == ("command",) else _LONGEST
        return formatting.shortened(_written(found), longest) or default

    def root(self, kind: str) -> Path | None:
        """Return the folder that the file names of `images` or `zero_shot` are relative to, or None."""
        folder = self.part("roots", kind)
        return Path(folder) if isinstance(folder, str) and folder else None

    def described(self) -> list[str]:
        """Return a few words each on the kind of the run, its data and its images."""
        whole = self.part("data", "of_images")
        partial = isinstance(whole, int) and whole > self.images
        images = self.images or self.zero_shot
        counted = (
            f"{self.images:,} of {formatting.count(whole, 'image')}" if partial else formatting.count(images, "image")
        )
        return [part for part in (*self._named(), counted, self._seen_in_training()) if part]

    def classified(self, images: int) -> list[str]:
        """Return the same for `images` photos that were classified; they differ from the captioned ones."""
        return [part for part in (*self._named(), f"{formatting.count(images, 'image')} classified by prompts") if part]

    def remarks(self) -> list[str]:
        """Return what the reader of the data left out, one clause each."""
        found = self.part("data", "remarks")
        return [remark for remark in found if isinstance(remark, str)][:20] if isinstance(found, list) else []

    def findings(self) -> list[tuple[str, str]]:
        """Return what is wrong with the data: sentence and remedy of each finding, the most important first."""
        found = self.part("findings")
        known = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
        pairs = [(each.get("title"), each.get("remedy")) for each in known]
        return [
            (formatting.shortened(title, _SENTENCE), formatting.shortened(remedy, _SENTENCE))
            for title, remedy in pairs
            if isinstance(title, str) and isinstance(remedy, str)
        ][:20]

    def _named(self) -> tuple[str, str]:
        kind = _KINDS.get(self.text("kind"), self.text("kind", default="run"))
        named = filter(None, [self.text("data", "name"), self.text("data", "split")])
        return formatting.shortened(kind, 60), " ".join(formatting.shortened(name, 60) for name in named)

    def _seen_in_training(self) -> str:
        seen = self.part("trained_on")
        return (
            f"⚠ {formatting.count(seen, 'image')} from its own training data"
            if isinstance(seen, int) and seen > 0
            else ""
        )

    def beam(self, size: int) -> str:
        """Return a beam size of this run as a word: size 1 is greedy search, unless captions were sampled."""
        return formatting.beam(size, self.is_sampled)

    @property
    def is_sampled(self) -> bool:
        """Whether captions were sampled instead of searched for."""
        return self.part("decoding", "sample") is True

    @property
    def attention_pass(self) -> str:
        """The pass that attention maps were read from; records without it belong to runs with a causal replay."""
        return self.text("attention", "pass", default=ATTENTION_PASSES["standard"])

    @property
    def reason_without_maps(self) -> str:
        """Why the captioner of this run has no attention maps, or "" if it has them or does not say so."""
        return self.text("captioner", "maps")

    def seconds_per_image(self) -> pd.DataFrame:
        """Return columns beam_size and seconds (to decode one image); invalid values of the record are left out."""
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
    """Return the runs of a frame of `queries.runs`."""
    return [
        replace(Run(row.run, json.loads(row.record)), **{name: int(getattr(row, name)) for name in _COUNTS})
        for row in named_rows(frame)
    ]
