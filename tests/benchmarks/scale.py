"""Measure time and peak memory of the caption metrics on 100,000 captions with five references each.

`python tests/benchmarks/scale.py [--captions 100000] [--data DATA]`. References are those of real images with a share
of their words replaced by words of other images, so that the number and variety of n-grams are close to those of as
many real references. The progress bar is the one that users see. There is no peer: pycocoevalcap keeps the n-grams of
all references in memory.
"""

import argparse
import os
import platform
import resource
import time
from pathlib import Path

import inputs
import numpy as np

from engine.metrics.measure import score_captions

REPLACED = 0.15
"""Share of a reference's words that are replaced when it is reused."""


def captions_of(data: Path | None, count: int) -> tuple[list[str], list[list[str]]]:
    """Return `count` captions with five references each."""
    examples = [each for each in inputs.dataset(data).examples if len(each.references) >= 5]
    generator = np.random.default_rng(0)
    words = np.array([word for each in examples for text in each.references for word in text.split()])
    captions, references = [], []
    for number in range(count):
        texts = [text.split() for text in examples[number % len(examples)].references[:5]]
        changed = [
            [words[generator.integers(len(words))] if generator.random() < REPLACED else word for word in text]
            for text in texts
        ]
        references.append([" ".join(text) for text in changed])
        captions.append(" ".join(texts[number % 5]))
    return captions, references


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=int, default=100_000)
    inputs.add_data(parser)
    options = parser.parse_args()
    captions, references = captions_of(options.data, options.captions)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    found = score_captions({1: captions}, references)[1]
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{platform.machine()}, {os.cpu_count()} cores")
    print(
        f"{len(captions):,} captions x 5 references: {seconds:.1f} s, peak memory {peak:,.0f} MB ({before:,.0f} before)"
    )
    print(f"CIDEr {found.corpus['cider'].value:.4f}, BLEU-4 {found.corpus['bleu_4'].value:.4f}")


if __name__ == "__main__":
    main()
