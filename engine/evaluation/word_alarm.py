"""The alarm of a run: fitted to the nouns whose truth is known, one per beam size, with a measure of how good it is."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from engine.diagnosis import alarm
from engine.diagnosis.alarm import FOLDS, Alarm, auroc
from engine.evaluation.sampling import fold_of

SIGNALS = (
    *("agreement", "label_logprob", "other_logprob", "gain_grey"),
    *("mean_logprob", "repeats", "map_distance", "attention_share"),
)
"""What the alarm is computed from; see `signals_of`."""

MOST = 50_000
"""Nouns of a beam size that an alarm is fitted to and measured on."""

KNOWN = 0.95
"""Share of nouns for which a signal must be known to be used."""

FEWEST = 20
"""Wrong nouns, and right ones, that a fit needs."""

BINS = 5
_RESAMPLES = 1_000


@dataclass
class _Nouns:
    """Nouns of a beam size whose truth is known."""

    values: list[list[float]] = field(default_factory=list)
    wrong: list[bool] = field(default_factory=list)
    folds: list[int] = field(default_factory=list)
    images: list[str] = field(default_factory=list)


def signals_of(caption: Sequence[Mapping[str, Any]]) -> list[list[float] | None]:
    """Return the signals of each word of a caption, NaN for those that are not known; None for words without a label.

    Args:
        caption: the rows of `words` of the caption, in order.
    """
    mean = sum(row["logprob"] for row in caption) / max(len(caption), 1)
    found: list[list[float] | None] = []
    seen: dict[str, int] = {}
    for row in caption:
        if row["label"] is None:
            found.append(None)
            continue
        derived = {"mean_logprob": mean, "repeats": float(seen.get(row["label"], 0))}
        values = (derived.get(name, row.get(name)) for name in SIGNALS)
        found.append([math.nan if value is None else float(value) for value in values])
        seen[row["label"]] = seen.get(row["label"], 0) + 1
    return found


class NounSignals:
    """Collects the signals of nouns, by beam size."""

    def __init__(self) -> None:
        self.sizes: dict[int, _Nouns] = {}

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add the nouns among some rows of `words`, which have their signals under `signals`."""
        for row in rows:
            if row["signals"] is None or row.get("verdict") not in ("correct", "wrong"):
                continue
            nouns = self.sizes.setdefault(row["beam_size"], _Nouns())
            if len(nouns.values) >= MOST:
                continue
            nouns.values.append(row["signals"])
            nouns.wrong.append(row["verdict"] == "wrong")
            nouns.folds.append(fold_of(row["image_id"], FOLDS))
            nouns.images.append(row["image_id"])


class Alarms:
    """The alarms of a run."""

    def __init__(self, signals: NounSignals, given: Mapping[str, Any]) -> None:
        """Fit an alarm to each beam size that has enough nouns.

        Args:
            given: the alarm of another run, as `Alarm.as_json` returns it, for sizes without a fit; {} for none.
        """
        self._given = alarm.from_json(given) if given else None
        self._folds: dict[int, dict[int, Alarm]] = {}
        self._all: dict[int, Alarm] = {}
        self.quality: list[dict[str, Any]] = []
        """Rows of the table `alarms`."""
        self.bins: list[dict[str, Any]] = []
        """Rows of the table `alarm_bins`."""
        for size, nouns in sorted(signals.sizes.items()):
            self._fit(size, nouns)

    def _fit(self, size: int, nouns: _Nouns) -> None:
        wrong = np.array(nouns.wrong, dtype=bool)
        every, folds, images = np.array(nouns.values), np.array(nouns.folds), np.array(nouns.images)
        # Maps are stored for some beam sizes, and may be stored for some images only.
        used = [at for at, share in enumerate(np.isfinite(every).mean(0)) if share >= KNOWN]
        known = np.isfinite(every[:, used]).all(1)
        values, wrong, folds, images = every[known][:, used], wrong[known], folds[known], images[known]
        names = tuple(SIGNALS[at] for at in used)
        if not names or min(wrong.sum(), (~wrong).sum()) < FEWEST:
            return
        fitted = alarm.cross_fitted(names, values, wrong, folds)
        if len(fitted) < FOLDS:
            return
        self._folds[size], self._all[size] = fitted, alarm.fit(names, values, wrong)
        said = np.empty(len(values))
        for fold, own in fitted.items():
            said[folds == fold] = own.probability(values[folds == fold])
        self.quality.append({"beam_size": size, **_quality(said, wrong, images)})
        self.bins += [{"beam_size": size, **row} for row in reliability(said, wrong)]

    def as_json(self) -> dict[str, Any]:
        """Return the alarms that were fitted to all nouns, by beam size, for `run.json` and for other data."""
        return {str(size): found.as_json() for size, found in self._all.items()}

    def of(self, words: pa.Table) -> pa.Array:
        """Return the alarm of each row of `words`, float32; NULL for words without a label and without an alarm.

        Args:
            words: rows with the column `signals`.
        """
        found = np.full(len(words), np.nan)
        sizes, ids = words["beam_size"].to_numpy(), words["image_id"].to_pylist()
        values = np.full((len(words), len(SIGNALS)), np.nan)
        nouns = np.flatnonzero(words["signals"].is_valid().to_numpy(zero_copy_only=False))
        if len(nouns):
            values[nouns] = np.array(words["signals"].take(nouns).to_pylist())
        for size in np.unique(sizes[nouns]):
            for rows, own in self._applicable(int(size), nouns[sizes[nouns] == size], ids):
                found[rows] = own.probability(values[rows][:, [SIGNALS.index(name) for name in own.signals]])
        return pa.array(found, pa.float32(), mask=~np.isfinite(found))

    def _applicable(self, size: int, rows: np.ndarray, ids: Sequence[str]) -> Iterator[tuple[np.ndarray, Alarm]]:
        """Yield rows with the alarm that judges them: one that has not seen their images, or the given one."""
        if size in self._folds:
            folds = np.array([fold_of(ids[row], FOLDS) for row in rows])
            yield from ((rows[folds == fold], own) for fold, own in self._folds[size].items())
        elif self._given is not None:
            yield rows, self._given


def reliability(said: np.ndarray, wrong: np.ndarray) -> list[dict[str, Any]]:
    """Return what the alarm said and what was, in BINS groups of equal size, lowest first."""
    groups = np.array_split(np.argsort(said, kind="stable"), BINS)
    return [
        {"bin": number, "nouns": len(rows), "said": float(said[rows].mean()), "wrong": float(wrong[rows].mean())}
        for number, rows in enumerate(groups, 1)
        if len(rows)
    ]


def _quality(said: np.ndarray, wrong: np.ndarray, images: np.ndarray) -> dict[str, Any]:
    low, high = interval(said, wrong, images)
    return {"nouns": len(said), "wrong": int(wrong.sum()), "auroc": auroc(said, wrong), "low": low, "high": high}


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
