"""The alarms of a run: fitted to the claims whose truth is known, with a measure of how good they are."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from engine.diagnosis import alarm
from engine.diagnosis.alarm import FOLDS, Alarm, auroc
from engine.evaluation.sampling import fold_of

_ALWAYS = ("agreement", "gain_grey", "mean_logprob", "map_distance", "attention_share")
_OTHERS = (*_ALWAYS, "logprob", "entropy", "gain_other")
SIGNALS: dict[str, tuple[str, ...]] = {
    "object": (*_ALWAYS, "label_logprob", "other_logprob", "repeats"),
    **dict.fromkeys(("colour", "count", "relation"), _OTHERS),
}
"""Kind of claim -> what its alarm is computed from; see `signals_of`."""

MOST = 50_000
"""Claims that an alarm is fitted to and measured on."""

KNOWN = 0.95
"""Share of claims for which a signal must be known to be used."""

FEWEST = 20
"""Wrong claims, and right ones, that a fit needs."""

BINS = 5
_RESAMPLES = 1_000


@dataclass
class _Claims:
    """Claims of a beam size and a kind whose truth is known."""

    values: list[list[float]] = field(default_factory=list)
    wrong: list[bool] = field(default_factory=list)
    folds: list[int] = field(default_factory=list)
    images: list[str] = field(default_factory=list)


def kind_of(row: Mapping[str, Any]) -> str | None:
    """Return the kind of alarm that a word has: an object wherever the word names a label, else what it claims."""
    if row["label"] is not None:
        return "object"
    return None if row.get("fact") == "object" else row.get("fact")


def signals_of(caption: Sequence[Mapping[str, Any]]) -> list[list[float] | None]:
    """Return the signals of each word of a caption, NaN for those that are not known; None for words without an alarm.

    Args:
        caption: the rows of `words` of the caption, in order.
    """
    mean = sum(row["logprob"] for row in caption) / max(len(caption), 1)
    found: list[list[float] | None] = []
    seen: dict[str | None, int] = {}
    for row in caption:
        names = SIGNALS.get(kind_of(row) or "")
        if names is None:
            found.append(None)
            continue
        derived = {"mean_logprob": mean, "repeats": float(seen.get(row["label"], 0))}
        values = (derived.get(name, row.get(name)) for name in names)
        found.append([math.nan if value is None else float(value) for value in values])
        seen[row["label"]] = seen.get(row["label"], 0) + 1
    return found


Key = tuple[int, str]
"""Beam size and kind of claim."""


class ClaimSignals:
    """Collects the signals of claims whose truth is known."""

    def __init__(self) -> None:
        self.by_key: dict[Key, _Claims] = {}

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add the claims among some rows of `words`, which have their signals under `signals`."""
        for row in rows:
            kind = kind_of(row)
            if row["signals"] is None or row.get("fact") != kind or row.get("verdict") not in ("correct", "wrong"):
                continue
            claims = self.by_key.setdefault((row["beam_size"], str(kind)), _Claims())
            if len(claims.values) < MOST:
                claims.values.append(row["signals"])
                claims.wrong.append(row["verdict"] == "wrong")
                claims.folds.append(fold_of(row["image_id"], FOLDS))
                claims.images.append(row["image_id"])


class Alarms:
    """The alarms of a run: one per beam size and kind of claim."""

    def __init__(self, signals: ClaimSignals, given: Mapping[str, Alarm]) -> None:
        """Fit an alarm wherever there are enough claims.

        Args:
            given: kind -> alarm of other data, for claims without a fit.
        """
        self._given = given
        self._folds: dict[Key, dict[int, Alarm]] = {}
        self._all: dict[Key, Alarm] = {}
        self.quality: list[dict[str, Any]] = []
        """Rows of the table `alarms`."""
        self.bins: list[dict[str, Any]] = []
        """Rows of the table `alarm_bins`."""
        for key, claims in sorted(signals.by_key.items()):
            self._fit(key, claims)

    def _fit(self, key: Key, claims: "_Claims") -> None:
        size, kind = key
        wrong = np.array(claims.wrong, dtype=bool)
        every, folds, images = np.array(claims.values), np.array(claims.folds), np.array(claims.images)
        # Maps are stored for some beam sizes, and may be stored for some images only.
        used = [at for at, share in enumerate(np.isfinite(every).mean(0)) if share >= KNOWN]
        known = np.isfinite(every[:, used]).all(1)
        values, wrong, folds, images = every[known][:, used], wrong[known], folds[known], images[known]
        names = tuple(SIGNALS[kind][at] for at in used)
        if not names or min(wrong.sum(), (~wrong).sum()) < FEWEST:
            return
        fitted = alarm.cross_fitted(names, values, wrong, folds)
        if len(fitted) < FOLDS:
            return
        self._folds[key], self._all[key] = fitted, alarm.fit(names, values, wrong)
        said = np.empty(len(values))
        for fold, own in fitted.items():
            said[folds == fold] = own.probability(values[folds == fold])
        named = {"beam_size": size, "kind": kind}
        self.quality.append({**named, **_quality(said, wrong, images)})
        self.bins += [{**named, **row} for row in reliability(said, wrong)]

    def as_json(self) -> dict[str, Any]:
        """Return the alarms that were fitted to all claims: beam size -> kind -> coefficients."""
        found: dict[str, Any] = {}
        for (size, kind), own in self._all.items():
            found.setdefault(str(size), {})[kind] = own.as_json()
        return found

    def of(self, words: pa.Table) -> pa.Array:
        """Return the alarm of each row of `words`, float32; NULL for words without one.

        Args:
            words: rows with the column `signals`.
        """
        found = np.full(len(words), np.nan)
        rows = words.select(["beam_size", "label", "fact", "signals", "image_id"]).to_pylist()
        groups: dict[tuple[int, str, int], list[int]] = {}
        for at, row in enumerate(rows):
            if row["signals"] is not None:
                key = row["beam_size"], str(kind_of(row)), fold_of(row["image_id"], FOLDS)
                groups.setdefault(key, []).append(at)
        for (size, kind, fold), places in groups.items():
            own = self._folds.get((size, kind), {}).get(fold) or self._given.get(kind)
            if own is not None:
                columns = [SIGNALS[kind].index(name) for name in own.signals]
                values = np.array([rows[at]["signals"] for at in places])[:, columns]
                found[places] = own.probability(values)
        return pa.array(found, pa.float32(), mask=~np.isfinite(found))


def reliability(said: np.ndarray, wrong: np.ndarray) -> list[dict[str, Any]]:
    """Return what the alarm said and what was, in BINS groups of equal size, lowest first."""
    groups = np.array_split(np.argsort(said, kind="stable"), BINS)
    return [
        {"bin": number, "words": len(rows), "said": float(said[rows].mean()), "wrong": float(wrong[rows].mean())}
        for number, rows in enumerate(groups, 1)
        if len(rows)
    ]


def _quality(said: np.ndarray, wrong: np.ndarray, images: np.ndarray) -> dict[str, Any]:
    low, high = interval(said, wrong, images)
    return {"words": len(said), "wrong": int(wrong.sum()), "auroc": auroc(said, wrong), "low": low, "high": high}


def interval(said: np.ndarray, wrong: np.ndarray, images: np.ndarray) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the AUROC; whole images are resampled."""
    _, image = np.unique(images, return_inverse=True)
    rows_of = np.split(np.argsort(image, kind="stable"), np.cumsum(np.bincount(image))[:-1])
    random = np.random.default_rng(0)
    values = []
    for _ in range(_RESAMPLES if len(said) <= 5_000 else _RESAMPLES // 5):
        rows = np.concatenate([rows_of[each] for each in random.integers(len(rows_of), size=len(rows_of))])
        values.append(auroc(said[rows], wrong[rows]))
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)
