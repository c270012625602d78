"""Render the training set of the demo models: pixels on disk, a label per patch, captions, prompts and wrong captions.

Rendering once takes minutes; drawing the scenes again in every epoch would take as long as training on them.
"""

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from random import Random

import numpy as np
from tqdm import tqdm

from engine.demo.backdrops import PLACES, SIDE
from engine.demo.language import SWAPS, swap
from engine.demo.scenes import ROLES, Picture, Scene, compose, describe, draw, portrait
from engine.demo.sprites import COLOURS
from engine.demo.world import BLOCK, CATEGORIES, CLASSES, FIRST_SEED

PATCH = 16  # pixels
GRID = SIDE // PATCH
PORTRAIT_SHARE = 0.25  # single objects, to learn the short prompts of zero-shot classification
PATCH_NAMES = (*ROLES, *(name for name in CATEGORIES if name != "person"), *PLACES)
COLOUR_NAMES = tuple(COLOURS)
NO_COLOUR = 255  # the colour label of a patch without a colour
# Class prompts for training. They do not contain the templates of the evaluation: a CLIP that has seen a template in
# training hardly depends on the wording, so a comparison of prompts would show nothing.
TRAINING_PROMPTS = (
    "a photo of a {object}.",
    "a drawing of a {object}.",
    "there is a {object} here.",
    "{object}",
)
CHUNK = 500  # scenes per task of a worker


@dataclass(frozen=True)
class Corpus:
    """A rendered training set of N scenes."""

    pixels: np.ndarray  # uint8[N, SIDE, SIDE, 3], memory-mapped
    patches: np.ndarray  # uint8[N, 2, GRID * GRID]: index into PATCH_NAMES, index into COLOUR_NAMES or NO_COLOUR
    captions: list[list[str]]  # five per scene
    kinds: list[list[str]]  # COCO names of all visible objects, the main one first

    def __len__(self) -> int:
        return len(self.captions)


def patch_labels(scene: Scene, picture: Picture) -> np.ndarray:
    """Return the object on each patch and its colour, uint8[2, GRID * GRID]; the place if none covers a quarter."""
    labels = np.full((2, GRID * GRID), NO_COLOUR, dtype=np.uint8)
    labels[0] = PATCH_NAMES.index(scene.place)
    areas = picture.masks.reshape(-1, GRID, PATCH, GRID, PATCH).sum((2, 4)).reshape(-1, GRID * GRID)
    largest, covered = areas.argmax(0), areas.max(0) * 4 >= PATCH * PATCH
    for number, thing in enumerate(scene.things):
        own = covered & (largest == number)
        labels[0, own] = PATCH_NAMES.index(thing.role or thing.kind)
        labels[1, own] = COLOUR_NAMES.index(thing.colour) if thing.colour else NO_COLOUR
    return labels


def training_scene(number: int, count: int, portrait_share: float = PORTRAIT_SHARE) -> Scene:
    """Return scene `number` of a training set of `count`: portraits first, then free compositions."""
    seed = FIRST_SEED["train"] + BLOCK // 2 + number  # the lower half of the block is the train split's
    portraits = int(count * portrait_share)
    return portrait(CLASSES[number % len(CLASSES)], seed) if number < portraits else compose(seed)


def _render_chunk(
    folder: Path, first: int, count: int, portrait_share: float
) -> tuple[int, np.ndarray, list[list[str]], list[list[str]]]:
    pixels = np.load(folder / "pixels.npy", mmap_mode="r+")
    stop = min(first + CHUNK, count)
    labels = np.zeros((stop - first, 2, GRID * GRID), dtype=np.uint8)
    captions, kinds = [], []
    for number in range(first, stop):
        scene = training_scene(number, count, portrait_share)
        picture = draw(scene)
        pixels[number] = np.asarray(picture.image)
        labels[number - first] = patch_labels(scene, picture)
        captions.append(describe(scene, scene.seed))
        kinds.append(list(dict.fromkeys(group.kind for group in scene.groups)))
    return first, labels, captions, kinds


def render(folder: Path, count: int, workers: int = 2, portrait_share: float = PORTRAIT_SHARE) -> None:
    """Render `count` scenes into `folder` with one process per worker; captions are written last."""
    folder.mkdir(parents=True, exist_ok=True)
    np.lib.format.open_memmap(folder / "pixels.npy", "w+", np.uint8, (count, SIDE, SIDE, 3)).flush()
    patches = np.zeros((count, 2, GRID * GRID), dtype=np.uint8)
    captions: list = [None] * count
    kinds: list = [None] * count
    starts = range(0, count, CHUNK)
    with ProcessPoolExecutor(workers) as pool, tqdm(total=count, desc="rendering", unit="scene") as bar:
        for first, labels, texts, seen in pool.map(
            _render_chunk, repeat(folder), starts, repeat(count), repeat(portrait_share)
        ):
            stop = first + len(texts)
            patches[first:stop], captions[first:stop], kinds[first:stop] = labels, texts, seen
            bar.update(len(texts))
    np.save(folder / "patches.npy", patches)
    (folder / "captions.json").write_text(json.dumps({"captions": captions, "kinds": kinds}), encoding="utf-8")


def load(folder: Path) -> Corpus:
    """Load the training set in `folder`; raise FileNotFoundError if its rendering did not finish."""
    content = json.loads((folder / "captions.json").read_text(encoding="utf-8"))
    return Corpus(np.load(folder / "pixels.npy", mmap_mode="r"), np.load(folder / "patches.npy"), **content)


def prompt(kind: str, rng: Random) -> str:
    """Return a random training prompt for a kind."""
    return rng.choice(TRAINING_PROMPTS).format(object=kind)


def wrong(caption: str, rng: Random) -> str | None:
    """Return the caption with one noun, colour or count replaced; None if it has none of them."""
    for what in rng.sample(SWAPS, len(SWAPS)):
        changed = swap(caption, what, rng)
        if changed is not None:
            return changed
    return None
