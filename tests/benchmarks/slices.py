"""Measure whether planted slices are found, and how often runs without a slice report one.

`python tests/benchmarks/slices.py [RUN] [--planted 100] [--null 1000]`, RUN being the folder of a finished run with
references. A planted slice has 3 % of the images: half of the slices are random images that share a new condition, the
others an existing condition of 2.5 to 3.7 % of the images. In 60 % of a slice, captions are replaced by those of other
images. The run's own slices stay and compete with it. A run without a slice has the scores of all images in random
order.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from engine.diagnosis import slices
from engine.diagnosis.conditions import Conditions, conditions_of
from engine.evaluation.slices import facts_of
from engine.metrics.measure import score_captions
from engine.store import tables

SHARE, WRONG, FIRST = 0.03, 0.6, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", default=Path("results/runs/demo"))
    parser.add_argument("--planted", type=int, default=100)
    parser.add_argument("--null", type=int, default=1000)
    options = parser.parse_args()
    if not tables.has_table(options.run, "images"):
        print(f"{options.run}: expected the folder of a finished run; make the demo's with `make evaluate`")
        return
    start = time.perf_counter()
    images = tables.read_table(options.run, "images")
    found = conditions_of(list(facts_of(images)), slices.SMALLEST)
    print(f"{len(images):,} images, {len(found.names)} conditions: {time.perf_counter() - start:.2f} s")
    own, swapped = scores(options.run, images)
    start = time.perf_counter()
    print_slices(slices.find(own, found.members, found.names, preferred=found.own))
    print(f"slices of one beam size: {time.perf_counter() - start:.2f} s")
    generator = np.random.default_rng(0)
    ranks = [planted(found, own, swapped, generator, number % 2 == 0) for number in range(options.planted)]
    first = sum(rank <= FIRST for rank in ranks)
    print(f"planted slices among the first {FIRST}: {first} of {len(ranks)}; not reported: {ranks.count(NONE)}")
    alarms = sum(bool(slices.find(generator.permutation(own), found.members, found.names)) for _ in range(options.null))
    print(f"runs without a slice that report one: {alarms} of {options.null}")


def scores(run: Path, images: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Return the CIDEr of each image's caption and of another image's caption, float64[N] each."""
    rows = tables.read_table(run, "captions").select(["image_id", "beam_size", "caption"]).to_pylist()
    size = min(row["beam_size"] for row in rows)
    said = {row["image_id"]: row["caption"] for row in rows if row["beam_size"] == size}
    captions = [said[name] for name in images["image_id"].to_pylist()]
    others = np.roll(np.random.default_rng(1).permutation(len(captions)), 1)
    both = {0: captions, 1: [captions[other] for other in others]}
    every = score_captions(both, images["references"].to_pylist(), ["cider"])
    return every[0].per_image["cider"], every[1].per_image["cider"]


NONE = 10**6
"""The rank of a slice that is not reported."""


def planted(
    known: Conditions, own: np.ndarray, swapped: np.ndarray, generator: np.random.Generator, is_new: bool
) -> int:
    """Return the rank of a planted slice."""
    names, members = list(known.names), known.members
    share = members.mean(0)
    pool = np.flatnonzero((share > 0.84 * SHARE) & (share < 1.23 * SHARE))
    if is_new or not len(pool):
        rows = generator.choice(len(own), round(SHARE * len(own)), replace=False)
        name, column = "planted", np.isin(np.arange(len(own)), rows)
        names, members = [name, *names], np.column_stack([column, members])
    else:
        chosen = generator.choice(pool)
        name, rows = names[chosen], np.flatnonzero(members[:, chosen])
    wrong = generator.choice(rows, round(WRONG * len(rows)), replace=False)
    values = own.copy()
    values[wrong] = swapped[wrong]
    ranked = slices.find(values, members, names, preferred=known.own + (name == "planted"))
    named = (rank for rank, each in enumerate(ranked, 1) if name == each.condition or name in each.also)
    return next(named, NONE)


def print_slices(found: list[slices.Slice]) -> None:
    for rank, each in enumerate(found[:FIRST], 1):
        numbers = (
            f"{each.inside:.2f} instead of {each.outside:.2f}, {each.low:+.2f} to {each.high:+.2f}, q {each.q:.3f}"
        )
        print(f"{rank}. {each.condition}: {each.size:,} images, {numbers}")


if __name__ == "__main__":
    main()
