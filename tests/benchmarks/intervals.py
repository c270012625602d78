"""Measure the intervals and paired tests of a sweep, next to scipy's bootstrap of one metric.

`python tests/benchmarks/intervals.py [--images 1789]`. Eleven beam sizes x eight metrics x 1,000 resamples, four of the
metrics BLEU over n-gram counts; then the smallest beam size that is not significantly worse than the best. The input is
random numbers, which do not change the time.
"""

import argparse
import os
import platform
import time
from importlib.metadata import version

import numpy as np
from scipy.stats import bootstrap

from engine import statistics
from engine.metrics import base, pooling

BEAMS, MEANS, RESAMPLES = 11, 4, 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1789)
    images = parser.parse_args().images
    generator = np.random.default_rng(0)
    means = generator.gamma(4, 0.25, (BEAMS, MEANS, images))
    lengths = generator.integers(5, 20, (BEAMS, images, 1))
    counts = np.concatenate([lengths, lengths, lengths - [0, 1, 2, 3], lengths // 2 - [0, 1, 2, 2]], axis=-1).astype(
        float
    )
    print(f"{platform.machine()}, {os.cpu_count()} cores, numpy {version('numpy')}, scipy {version('scipy')}")
    start = time.perf_counter()
    for beam in range(BEAMS):
        for values in means[beam]:
            base.mean_with_interval(values)
        sums = statistics.bootstrap_sums(counts[beam], RESAMPLES)
        for order in range(1, 5):
            np.quantile(pooling.bleu(sums, order), [0.025, 0.975])
    ours = time.perf_counter() - start
    print(f"{BEAMS} beam sizes x 8 metrics x {RESAMPLES} resamples of {images} images: {ours:.2f} s")
    start = time.perf_counter()
    found = statistics.smallest_not_worse({beam + 1: means[beam, 0] for beam in range(BEAMS)})
    print(f"smallest and best beam size ({found.smallest}, {found.best}): {time.perf_counter() - start:.2f} s")
    start = time.perf_counter()
    bootstrap((means[0, 0],), np.mean, n_resamples=RESAMPLES, method="percentile", rng=0)
    peer = time.perf_counter() - start
    print(f"scipy.stats.bootstrap, one mean: {peer:.3f} s, so {peer * 88 / ours:.1f} times ours for 88")


if __name__ == "__main__":
    main()
