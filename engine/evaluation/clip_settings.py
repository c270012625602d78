"""Settings of the CLIP that scores captions, and its photo features, which are cached between runs."""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from engine.data.photos import PhotoError, open_photo, read_ahead
from engine.data.split import Split
from engine.evaluation.caption_blocks import RunBlocks
from engine.metrics.clipscore import ClipFamily
from engine.reading import read_object
from engine.store import atomic
from engine.store.errors import ResultsError

if TYPE_CHECKING:  # torch and open_clip take seconds to import, and scores from references need neither
    from engine.models.clip import Clip


@dataclass(frozen=True)
class ClipSettings:
    """The CLIP that scores captions, and the prefix of each text."""

    clip: "Clip"
    prefix: str = ""

    def identity(self) -> dict[str, Any]:
        """Return the settings that must be equal for the same numbers."""
        return {"clip": [self.clip.fingerprint, self.prefix], "clip_setup": self.clip.setup}

    def metadata(self) -> dict[str, Any]:
        """Return the CLIP's entries in run.json."""
        return {
            "model": self.clip.name,
            "name": self.clip.name,
            "fingerprint": self.clip.fingerprint,
            "setup": self.clip.setup,
            "demo": self.clip.is_demo,
            "prefix": self.prefix,
        }

    def family(self, results: Path) -> ClipFamily:
        """Return CLIPScore and RefCLIPScore; features of photos are cached in `results`."""

        def features(split: Split) -> np.ndarray:
            # A photo is encoded once even if a split contains several captions of it.
            photos = dict(zip(split.image_ids, split.photos, strict=True))
            encoded, _ = image_features(results, self.clip, list(photos.values()), split.fingerprint)
            rows = {image_id: row for row, image_id in enumerate(photos)}
            return encoded[[rows[image_id] for image_id in split.image_ids]]

        return ClipFamily(self.clip, features, self.prefix, lambda batches: tqdm(batches, "CLIP texts", unit="batch"))

    def of_run(self, results: Path, blocks: RunBlocks) -> tuple[ClipFamily, np.ndarray]:
        """Return the family for the blocks of a run, and the features of its photos, float32[N, D]."""
        encoded, _ = image_features(results, self.clip, _Photos(blocks), blocks.fingerprint)

        def none(split: Split) -> np.ndarray:
            raise NotImplementedError("the blocks of a run come with the features of their photos")

        return ClipFamily(self.clip, none, self.prefix), encoded


class _Photos(Collection):
    """The photos of a run, read again from its folder by every iteration."""

    def __init__(self, blocks: RunBlocks) -> None:
        self._blocks, self._count = blocks, sum(map(len, blocks.splits()))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Path | None]:
        return (path for split in self._blocks.splits() for path in split.photos)

    def __contains__(self, path: object) -> bool:
        return any(each == path for each in self)


_MISSING = "there is no such file"
_BATCH = 64
"""Photos that CLIP encodes together."""


def image_features(
    results: Path, clip: "Clip", photos: Collection[Path | None], fingerprint: str
) -> tuple[np.ndarray, list[str | None]]:
    """Return CLIP features float32[N, D] of photos, NaN for skipped photos, and the reasons for skipping.

    They are kept in `results` for other runs, and are returned as mapped memory.
    """
    digest, separator = hashlib.sha256(), b""
    for path in photos:
        digest.update(separator + str(path and path.name).encode())
        separator = b"\n"
    name = f"{clip.fingerprint}-{clip.setup}-{fingerprint}-{digest.hexdigest()[:16]}"
    file = results / ".cache" / "clip" / f"{name}.npy"
    kept, known = atomic.read_rows(file, len(photos)), _read_reasons(file.with_suffix(".json"))
    if kept is not None and known is not None:
        reasons = [_MISSING if path is None else known.get(row) for row, path in enumerate(photos)]
        # Skipped photos may be readable now with the same size, for example after a change of permissions.
        if not any(_is_readable(path) for path, reason in zip(photos, reasons, strict=True) if path and reason):
            return kept, reasons
    reasons = []
    atomic.write_rows(file, len(photos), _encoded(clip, photos, reasons))
    skipped = {str(row): reason for row, reason in enumerate(reasons) if reason is not None and reason != _MISSING}
    atomic.write_json(file.with_suffix(".json"), {"reasons": skipped}, shared=True)
    kept = atomic.read_rows(file, len(photos))
    assert kept is not None  # it was just written
    return kept, reasons


def _encoded(clip: "Clip", photos: Collection[Path | None], reasons: list[str | None]) -> Iterator[np.ndarray]:
    """Yield the features of consecutive photos float32[n, D], and append why each was skipped to `reasons`."""

    def read(path: Path | None) -> Any:
        try:
            return _MISSING if path is None else clip.prepare(open_photo(path))
        except PhotoError as error:
            return str(error)

    batch, written, width = [], 0, 1

    def encoded() -> np.ndarray:
        features = clip.image_features(batch) if batch else np.zeros((0, width), np.float32)
        part = np.full((len(reasons) - written, features.shape[1]), np.nan, np.float32)
        part[[row for row, reason in enumerate(reasons[written:]) if reason is None]] = features
        return part

    for item in tqdm(read_ahead(photos, read), f"CLIP photos ({clip.name})", len(photos), unit="image"):
        reasons.append(item if isinstance(item, str) else None)
        if not isinstance(item, str):
            batch.append(item)
        if len(batch) == _BATCH:
            yield (part := encoded())
            batch, written, width = [], len(reasons), part.shape[1]
    yield encoded()


def _read_reasons(file: Path) -> dict[int, str] | None:
    """Return row -> why a photo was skipped; None if the file is missing or damaged."""
    try:
        found = read_object(file, ResultsError).get("reasons")
        return {int(row): str(reason) for row, reason in found.items()} if isinstance(found, dict) else None
    except (OSError, ValueError, RuntimeError):
        return None


def _is_readable(path: Path) -> bool:
    try:
        open_photo(path)
    except PhotoError:
        return False
    return True
