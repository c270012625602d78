"""Measure how CPU time and memory of every stage of a run grow with the number of images.

`python tests/benchmarks/growth.py [--images 2000 10000 50000] [--beams 1 3]`

A run of each size is computed in a process of its own. The captioner is made up and takes no time, so that what remains
is the work around it: chunks, tables, metrics, failure tags, attention of a tenth of the images and of tagged captions,
grounding, and what the pages show of all images. Every image has five references, as varied as real ones, and one box.
The exponent of a stage is that of the power law between the two largest sizes: 1 is linear.
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import inputs
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run as a file, the tests are not on the path

from engine.config import DecodingConfig
from engine.data.dataset import Box, Dataset, Example
from engine.explain.attention import WordMaps
from engine.protocols import Hypothesis
from tests.benchmarks.scale import REPLACED

LEAST = 1.0
"""CPU seconds at the largest size below which a stage has no exponent: start-up would decide it."""

_OBJECTS = ("dog", "man", "woman", "ball", "boat", "bird", "bike", "car")


def references(data: Path | None, count: int) -> list[tuple[str, ...]]:
    """Return five references of each of `count` images, as varied as those of as many real images; see `scale`."""
    real = [each.references[:5] for each in inputs.dataset(data).examples if len(each.references) >= 5]
    words = [word for each in real for text in each for word in text.split()]
    generator, found = np.random.default_rng(0), []
    for number in range(count):
        texts = [text.split() for text in real[number % len(real)]]
        for text in texts if number >= len(real) else ():
            for at in np.flatnonzero(generator.random(len(text)) < REPLACED):
                text[at] = words[int(generator.random() * len(words))]
        found.append(tuple(" ".join(text) for text in texts))
    return found


class MadeUp:
    """A captioner without a model: a caption is a reference of another image, and maps are small."""

    name, fingerprint, metadata, chunk_size = "made up", "made-up-1", {}, 256

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = [tuple(text.split()) for text in texts]

    def read(self, photo: Image.Image) -> None:
        """Return nothing: the photo does not matter."""

    def caption(self, photos: Sequence[Any], image_ids: Sequence[str], config: DecodingConfig) -> dict:
        """Return one caption per image and size."""
        found = {}
        for size in config.beam_sizes:
            made = [self._texts[(int(image_id) * 7 + size) % len(self._texts)] for image_id in image_ids]
            found[size] = [[Hypothesis(" ".join(words), words, tuple(range(8)), -3.0, -1.0, True)] for words in made]
        return found

    def maps(self, photos: Sequence[Any], captions: Sequence[Hypothesis], config: DecodingConfig, merge: str) -> list:
        """Return even maps."""
        return [WordMaps.of(each.words, np.full((len(each.words), 1, 2, 16), 1 / 16), (4, 4)) for each in captions]

    def crop(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Return the whole photo."""
        return 0.0, 0.0, float(width), float(height)


def dataset(folder: Path, texts: Sequence[tuple[str, ...]]) -> Dataset:
    """Return a dataset whose images share one small photo; each has a box of an object."""
    Image.new("RGB", (16, 16)).save(folder / "photo.png")
    examples = [
        Example(f"{number:08d}", "photo.png", own, (Box(_OBJECTS[number % len(_OBJECTS)], 2, 2, 8, 8),))
        for number, own in enumerate(texts)
    ]
    return Dataset("made up", "coco", folder, "val", folder, tuple(examples))


def cpu() -> float:
    """Return the CPU seconds of this process and of children that have ended."""
    usage = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in usage)


def watched(spent: dict[str, float], name: str, function: Callable) -> Callable:
    """Return a function that adds its CPU seconds to `spent`."""

    def called(*arguments: Any, **named: Any) -> Any:
        before = cpu()
        try:
            return function(*arguments, **named)
        finally:
            spent[name] = spent.get(name, 0.0) + cpu() - before

    return called


STAGES = {
    "caption chunks": ("pool", "compute"),
    "scores": (None, "_score"),
    "attention": (None, "_write_maps"),
    "files of captions": ("caption_files", "write"),
    "answers of the pages": ("page_answers", "write"),
    "record": (None, "_metadata"),
}
"""Stage -> module of `captioner_run` and function."""


def one(images: int, beams: Sequence[int], data: Path | None) -> dict[str, Any]:
    """Compute a run in this process; return CPU seconds per stage, wall seconds and peak memory in MB."""
    from engine.captioners import registry
    from engine.evaluation import captioner_run, pool
    from engine.models import device

    spent: dict[str, float] = {}
    for name, (module, function) in STAGES.items():
        owner = captioner_run if module is None else getattr(captioner_run, module, None)
        if owner is not None:
            setattr(owner, function, watched(spent, name, getattr(owner, function)))
    device.prepare("cpu")  # as the command does
    texts = references(data, images)
    captioner = MadeUp([own[0] for own in texts[:8_000]])
    registry.load = lambda *_: captioner
    with tempfile.TemporaryDirectory() as folder:
        made = dataset(Path(folder), texts)
        start, before = time.perf_counter(), cpu()
        captioner_run.evaluate(
            captioner_run.CaptionerRun(
                name="growth",
                results=Path(folder) / "results",
                dataset=made,
                captioner="made up",
                decoding=DecodingConfig(beam_sizes=tuple(beams)),
                attention_images=images // 10,
                place=pool.Here(),
            )
        )
        spent["everything"] = cpu() - before
    peaks = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {"cpu": spent, "wall": time.perf_counter() - start, "own": peaks[0], "child": peaks[1]}


def measured(images: int, beams: Sequence[int], data: Path | None) -> dict[str, Any]:
    """Return the figures of a run in a process of its own."""
    command = [sys.executable, __file__, "--one", str(images), "--beams", *map(str, beams)]
    command += ["--data", str(data)] if data else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[2_000, 10_000, 50_000])
    parser.add_argument("--beams", type=int, nargs="+", default=[1, 3])
    inputs.add_data(parser)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one, options.beams, options.data)))
        return
    found = {images: measured(images, options.beams, options.data) for images in sorted(options.images)}
    print(f"{os.cpu_count()} cores, beam sizes {options.beams}, CPU seconds")
    print(f"{'stage':<20}" + "".join(f"{images:>10,}" for images in found) + "  exponent")
    for name in (*STAGES, "everything"):
        values = [each["cpu"].get(name, 0.0) for each in found.values()]
        print(f"{name:<20}" + "".join(f"{value:>10.2f}" for value in values) + f"  {_exponent(list(found), values)}")
    for name, key in (("peak memory, MB", "own"), ("  of a child, MB", "child")):
        print(f"{name:<20}" + "".join(f"{each[key]:>10.0f}" for each in found.values()))
    print(f"{'wall, s':<20}" + "".join(f"{each['wall']:>10.1f}" for each in found.values()))


def _exponent(images: list[int], values: list[float]) -> str:
    if len(values) < 2 or values[-1] < LEAST:
        return "-"
    return f"{math.log(values[-1] / values[-2]) / math.log(images[-1] / images[-2]):.2f}"


if __name__ == "__main__":
    main()
