"""Rank methods of explanation by what causes a word: the change of log p(word) when an object is removed.

Each object of a scene is removed in turn. The change of log p of every noun of the caption is the effect of that
object, which is known because only the object differs. A method claims an effect by the share of its map on the object.
Both are compared over all nouns and objects by Spearman's correlation.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from tqdm import tqdm

from engine.captioners.native.pipeline import NativeCaptioner
from engine.config import DecodingConfig
from engine.demo.twins import Twin, removals
from engine.demo.world import CATEGORIES, FIRST_SEED
from engine.diagnosis.lexicon import Mentions
from engine.evaluation.explanations import probe_of
from engine.explain.methods import METHODS, Evidence

FEWEST = 2
"""Objects of a scene: with one there is nothing to rank."""

LEAST = 0.25
"""Share of a cell that an object covers, from which the cell is covered with it."""

COVERED, WITHOUT = "object in grey", "object in the colour of its surroundings"
"""What covering the object says, which needs its outline: the second is the column `object_effect` of `words`."""

_CONFIG = DecodingConfig(beam_sizes=(1,))
_RESAMPLES = 1_000


@dataclass(frozen=True)
class Effect:
    """A noun of a caption and an object of the scene."""

    seed: int
    word: str
    removed: str
    """Label of the removed object."""
    change: float
    """Log p(word) with the object minus that without it, nats."""
    claims: dict[str, float]
    """Method -> what it says the effect is: the share of its map on the object, or the change when it is covered."""


@dataclass(frozen=True)
class Rank:
    """A method's correlation with the truth, and its 95 % interval; scenes are resampled."""

    method: str
    correlation: float
    low: float
    high: float


def effects(captioner: NativeCaptioner, seed: int, methods: Sequence[str]) -> list[Effect]:
    """Return the effects of each object of a scene on each noun of its caption; none with fewer than FEWEST objects."""
    twins = removals(seed)
    if len(twins) < FEWEST:
        return []
    photos = [captioner.read(each.twin.image) for each in twins]
    photo = captioner.read(twins[0].original.image)
    caption = captioner.caption([photo], [str(seed)], _CONFIG)[1][0][0]
    nouns = [stop - 1 for _, stop, _ in Mentions(CATEGORIES).spans(caption.words)]
    if not nouns:
        return []
    maps = captioner.maps([photo], [caption], _CONFIG, "mean")[0]
    probe = probe_of(captioner, photo, caption, maps.grid, _CONFIG)
    changes = probe.differences(photos)[:, nouns]
    evidence = Evidence(probe, nouns, maps.floats(), seed)
    found = {name: METHODS[name].maps(evidence) for name in methods}
    inside = np.stack([_cells(each, maps.grid) for each in twins])
    hidden = inside >= LEAST
    covered = {
        COVERED: probe.differences([probe.covered(~each) for each in hidden])[:, nouns],
        WITHOUT: probe.differences([probe.without(each) for each in hidden])[:, nouns],
    }
    return [
        Effect(
            seed,
            caption.words[word],
            twin.thing.kind,
            float(changes[at, number]),
            {name: _weight(each[number], inside[at]) for name, each in found.items()}
            | {name: float(each[at, number]) for name, each in covered.items()},
        )
        for number, word in enumerate(nouns)
        for at, twin in enumerate(twins)
    ]


def _cells(twin: Twin, grid: tuple[int, int]) -> np.ndarray:
    """Return the share of each cell that the object covers, float64[P]; the captioner sees the whole picture."""
    mask = torch.from_numpy(twin.mask.astype(np.float32))[None, None]
    return torch.nn.functional.adaptive_avg_pool2d(mask, grid).flatten().double().numpy()


def _weight(map_: np.ndarray, inside: np.ndarray) -> float:
    """Return the share of a map, above its median, that is on an object."""
    above = np.maximum(map_ - np.median(map_), 0)
    return float(above @ inside / max(above.sum(), 1e-12))


def ranked(found: Sequence[Effect]) -> list[Rank]:
    """Return the correlation of each method's claims with the true changes, best first."""
    seeds = sorted({each.seed for each in found})
    rows = {seed: [at for at, each in enumerate(found) if each.seed == seed] for seed in seeds}
    truth = np.array([each.change for each in found])
    random = np.random.default_rng(0)
    draws = [
        np.concatenate([rows[seeds[at]] for at in random.integers(len(seeds), size=len(seeds))])
        for _ in range(_RESAMPLES)
    ]
    ranks = []
    for name in found[0].claims:
        claims = np.array([each.claims[name] for each in found])
        values = [float(spearmanr(claims[some], truth[some]).statistic) for some in draws]
        low, high = np.nanpercentile(values, [2.5, 97.5])
        ranks.append(Rank(name, float(spearmanr(claims, truth).statistic), float(low), float(high)))
    return sorted(ranks, key=lambda each: -each.correlation)


def scenes(captioner: NativeCaptioner, number: int, methods: Sequence[str], first_seed: int) -> Iterator[list[Effect]]:
    """Yield the effects of `number` scenes that have some."""
    seed = first_seed
    while number:
        if found := effects(captioner, seed, methods):
            yield found
            number -= 1
        seed += 1


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the ranking of the methods."""
    parser = argparse.ArgumentParser(prog="python -m engine.demo.causes", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--scenes", type=int, default=50, metavar="N", help="scenes (default: %(default)s)")
    parser.add_argument("--methods", nargs="+", choices=tuple(METHODS), default=list(METHODS), metavar="METHOD")
    parser.add_argument("--seed", type=int, default=FIRST_SEED["test"], help="first scene (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.scenes < 1:
        sys.exit(f"error: --scenes {options.scenes}: expected a number above 0")
    captioner = NativeCaptioner.load(Path(__file__).parent / "captioner")
    made = scenes(captioner, options.scenes, options.methods, options.seed)
    found = [each for scene in tqdm(made, "scenes", options.scenes) for each in scene]
    print(
        f"{len(found)} pairs of a noun and an object in {options.scenes} scenes; Spearman's correlation with its effect"
    )
    for each in ranked(found):
        print(f"{each.method:42} {each.correlation:6.3f}  ({each.low:.3f} to {each.high:.3f})")


if __name__ == "__main__":
    main()
