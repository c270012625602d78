"""Settings of the CLIP that scores captions, and its photo features, which are cached between runs."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from engine.data.photos import PhotoError, open_photo, read_ahead
from engine.data.split import Split
from engine.evaluation.caption_blocks import RunBlocks
from engine.metrics.clipscore import ClipFamily
from engine.store import atomic

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
        photos = [path for split in blocks.splits() for path in split.photos]
        encoded, _ = image_features(results, self.clip, photos, blocks.fingerprint)

        def none(split: Split) -> np.ndarray:
            raise NotImplementedError("the blocks of a run come with the features of their photos")

        return ClipFamily(self.clip, none, self.prefix), encoded


def image_features(
    results: Path, clip: "Clip", photos: Sequence[Path | None], fingerprint: str
) -> tuple[np.ndarray, list[str | None]]:
    """Return cached CLIP features float32[N, D] of photos, NaN for skipped photos, and the reasons for skipping."""
    names = hashlib.sha256("\n".join(str(path and path.name) for path in photos).encode()).hexdigest()[:16]
    cache = results / ".cache" / "clip" / f"{clip.fingerprint}-{clip.setup}-{fingerprint}-{names}.npz"
    kept = atomic.read_arrays(cache)
    if kept is not None and _fits(kept, len(photos)):
        reasons = [str(reason) or None for reason in kept["reasons"]]
        # Skipped photos may be readable now with the same size, for example after a change of permissions.
        if not any(_is_readable(path) for path, reason in zip(photos, reasons, strict=True) if path and reason):
            return kept["features"], reasons

    def read(path: Path | None) -> Any:
        try:
            return "there is no such file" if path is None else clip.prepare(open_photo(path))
        except PhotoError as error:
            return str(error)

    features, reasons, batch = [], [], []
    for item in tqdm(read_ahead(photos, read), f"CLIP photos ({clip.name})", len(photos), unit="image"):
        reasons.append(item if isinstance(item, str) else None)
        if not isinstance(item, str):
            batch.append(item)
        if len(batch) == 64:
            features.append(clip.image_features(batch))
            batch = []
    if batch:
        features.append(clip.image_features(batch))
    width = features[0].shape[1] if features else 1
    every = np.full((len(photos), width), np.nan, np.float32)
    rows = [row for row, reason in enumerate(reasons) if reason is None]
    if features:
        every[rows] = np.concatenate(features)
    atomic.write_arrays(cache, features=every, reasons=np.array([reason or "" for reason in reasons]))
    return every, reasons


def _fits(kept: dict[str, np.ndarray], photos: int) -> bool:
    """Return whether cached arrays are the features and reasons of so many photos."""
    features, reasons = kept.get("features"), kept.get("reasons")
    if features is None or reasons is None or reasons.shape != (photos,) or reasons.dtype.kind != "U":
        return False
    return features.dtype == np.float32 and features.ndim == 2 and len(features) == photos


def _is_readable(path: Path) -> bool:
    try:
        open_photo(path)
    except PhotoError:
        return False
    return True
