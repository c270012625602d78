"""Compare CLIPScore of a sweep with the published code's way: one call per beam size, on the same weights.

`python tests/benchmarks/clipscore.py [--data PHOTOS] [--images 64] [--settings 11] [--rounds 1]`. The architecture is
ViT-B/32 with random weights, which do not change the time. The published code (Hessel et al. 2021) encodes every photo
and every caption in every call, in batches, with captions padded to CLIP's full context. Ours encodes each photo once
per sweep and each distinct caption once, without padding to the full context.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import inputs
import numpy as np
import open_clip
import torch
from PIL import Image

from engine.evaluation import clip_settings
from engine.metrics import clipscore
from engine.models.clip import Clip, _open_clip_tokenize

CHANGED = 0.3
"""From one beam size to the next this share of captions changes."""


def build() -> tuple[Clip, object]:
    """Return the CLIP with random weights and open_clip's tokenizer."""
    torch.manual_seed(0)
    model, _, prepare = open_clip.create_model_and_transforms("ViT-B-32")
    tokenizer = open_clip.get_tokenizer("ViT-B-32")
    return Clip(model, prepare, _open_clip_tokenize(tokenizer), "ViT-B-32 at random weights", False), tokenizer


def published(clip: Clip, tokenizer: object, photos: list[Path], captions: list[str]) -> np.ndarray:
    """Make one call as the paper's code does: prefix, batches of 64, everything encoded again."""
    images, texts = [], []
    with torch.inference_mode():
        for at in range(0, len(photos), 64):
            batch = torch.stack([clip.prepare(Image.open(path).convert("RGB")) for path in photos[at : at + 64]])
            images.append(clip.model.encode_image(batch))
        for at in range(0, len(captions), 64):
            ids = tokenizer([f"A photo depicts {text}" for text in captions[at : at + 64]])
            texts.append(clip.model.encode_text(ids))
    cosines = torch.nn.functional.cosine_similarity(torch.cat(images), torch.cat(texts))
    return 2.5 * cosines.clamp(min=0).numpy()


def ours(clip: Clip, photos: list[Path], settings: dict[int, list[str]], cache: Path) -> dict[int, np.ndarray]:
    """Score as `evaluate` does: stored photo features, each distinct caption encoded once, sorted by length."""
    images, _ = clip_settings.image_features(cache, clip, photos, "benchmark")
    texts = [f"A photo depicts {text}" for captions in settings.values() for text in captions]
    found = clip.text_features(texts).features.reshape(len(settings), len(photos), -1)
    return {size: clipscore.clipscore(images, features) for size, features in zip(settings, found, strict=True)}


def sweep(data: Path | None, images: int, settings: int) -> tuple[list[Path], dict[int, list[str]]]:
    """Return photos and, per setting, captions: one of their references; a share of them changes with each setting."""
    dataset = inputs.dataset(data).on_disk()
    examples = [each for each in dataset.examples if len(each.references) >= 5][:images]
    generator = np.random.default_rng(0)
    captions, found = [example.references[0] for example in examples], {}
    for setting in range(1, settings + 1):
        for image in np.flatnonzero(generator.random(len(captions)) < CHANGED):
            captions[image] = examples[image].references[generator.integers(5)]
        found[setting] = list(captions)
    return [dataset.photo(example) for example in examples], found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    inputs.add_data(parser)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--settings", type=int, default=11)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    clip, tokenizer = build()
    photos, settings = sweep(options.data, options.images, options.settings)
    distinct = len({text for captions in settings.values() for text in captions})
    print(f"{len(photos)} photos x {len(settings)} settings, {distinct} distinct captions, {clip.name}")
    print(f"{platform.machine()}, {os.cpu_count()} cores")
    print(f"torch {torch.__version__}, open_clip {version('open_clip_torch')}")
    times: dict[str, list[float]] = {"published": [], "ours": [], "ours, photos kept": []}
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as cache:
            start = time.perf_counter()
            own = ours(clip, photos, settings, Path(cache))
            times["ours"].append(time.perf_counter() - start)
            start = time.perf_counter()
            ours(clip, photos, settings, Path(cache))
            times["ours, photos kept"].append(time.perf_counter() - start)
        start = time.perf_counter()
        theirs = {size: published(clip, tokenizer, photos, captions) for size, captions in settings.items()}
        times["published"].append(time.perf_counter() - start)
    peer = statistics.median(times["published"])
    for name, values in times.items():
        print(f"{name:<18} {statistics.median(values):7.2f} s   {peer / statistics.median(values):5.1f} x")
    print(
        f"largest difference of a score: {max(float(np.abs(own[size] - theirs[size]).max()) for size in settings):.1e}"
    )


if __name__ == "__main__":
    main()
