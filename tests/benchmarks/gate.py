"""Measure how often the gate raises an alarm without a loss, and how often it finds a planted loss.

`python tests/benchmarks/gate.py [RUN] [--comparisons 1000] [--planted 200]`, RUN being the folder of a finished run
with references and samples. Without a loss: old and new captions of each image are two different ones of its samples,
so both settings are independent draws of the same model. Planted: words are dropped from the captions of random images
until the corpus CIDEr is 3 % lower; new captions are the old ones, or another draw of samples, with words dropped.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from engine.gate.decision import Limit, Verdict, decide
from engine.metrics.measure import score_captions
from engine.store import tables

LIMIT, LOSS = Limit(0.01, is_relative=True), 0.03


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", default=Path("results/runs/demo"))
    parser.add_argument("--comparisons", type=int, default=1000)
    parser.add_argument("--planted", type=int, default=200)
    options = parser.parse_args()
    if not tables.has_table(options.run, "samples"):
        print(
            f"{options.run}: expected the folder of a finished run with samples; make the demo's with `make evaluate`"
        )
        return
    whole, dropped = scores(options.run)
    images, draws = whole.shape
    generator = np.random.default_rng(0)
    print(f"{images:,} images, {draws} samples each, CIDEr {whole.mean():.3f}, limit {LIMIT}")
    start, verdicts, needed = time.perf_counter(), [], []
    for _ in range(options.comparisons):
        old, new = pair(generator, images, draws)
        found = decide(whole[np.arange(images), old], whole[np.arange(images), new], LIMIT)
        verdicts.append(found.verdict)
        needed.append(found.needed or 0)
    print(f"without a loss: {summed(verdicts)} in {time.perf_counter() - start:.1f} s")
    print(f"images that detect a loss of 1 % between independent draws: {int(np.median(needed)):,}")
    for name, is_same in (("the same captions", True), ("an independent draw", False)):
        verdicts, losses = [], []
        for _ in range(options.planted):
            old, new = pair(generator, images, draws)
            new = old if is_same else new
            values = planted(whole, dropped, new, generator)
            found = decide(whole[np.arange(images), old], values, LIMIT)
            verdicts.append(found.verdict)
            losses.append(found.loss / found.old)
        print(f"loss of {100 * LOSS:g} % in {name}: {summed(verdicts)}, measured loss {100 * np.mean(losses):.2f} %")


def pair(generator: np.random.Generator, images: int, draws: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two different samples of each image, int64[images] each."""
    old = generator.integers(draws, size=images)
    return old, (old + generator.integers(1, draws, size=images)) % draws


def planted(whole: np.ndarray, dropped: np.ndarray, chosen: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return the scores float64[images] of chosen samples with words dropped from as few random images as needed."""
    rows, order = np.arange(len(whole)), generator.permutation(len(whole))
    before, after = whole[rows, chosen], dropped[rows, chosen]
    lost = np.cumsum((before - after)[order]) / before.sum()
    count = int(np.argmax(lost >= LOSS)) + 1 if (lost >= LOSS).any() else len(order)
    values = before.copy()
    values[order[:count]] = after[order[:count]]
    return values


def summed(verdicts: list[Verdict]) -> str:
    return ", ".join(f"{verdicts.count(each)} {each.value}" for each in Verdict) + f" of {len(verdicts)}"


def scores(run: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the CIDEr of all samples and of the samples without one word, float64[images, samples] each."""
    images, samples = tables.read_table(run, "images"), tables.read_table(run, "samples")
    every: dict[str, list[str]] = {}
    for row in samples.to_pylist():
        every.setdefault(row["image_id"], []).extend(row["captions"])
    names = [name for name in images["image_id"].to_pylist() if every.get(name)]
    references = dict(zip(images["image_id"].to_pylist(), images["references"].to_pylist(), strict=True))
    draws, generator = min(len(every[name]) for name in names), np.random.default_rng(1)
    captions = {draw: [every[name][draw] for name in names] for draw in range(draws)}
    captions |= {draws + draw: [_without_word(text, generator) for text in captions[draw]] for draw in range(draws)}
    found = score_captions(captions, [references[name] for name in names], ["cider"])
    both = np.column_stack([found[place].per_image["cider"] for place in range(2 * draws)])
    return both[:, :draws], both[:, draws:]


def _without_word(text: str, generator: np.random.Generator) -> str:
    words = text.split()
    if words:
        words.pop(int(generator.integers(len(words))))
    return " ".join(words)


if __name__ == "__main__":
    main()
