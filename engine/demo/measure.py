"""How well the demo CLIP knows the demo world: the table in this folder's README.

Knows the tests and their chance levels. Refuses to know how the CLIP was trained. Every image is one of the val split,
which training never saw. `python -m engine.demo.measure --clip engine/demo/clip --data data/demo` rewrites the table.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from engine import clip as clips
from engine import zeroshot
from engine.demo.language import SWAPS, swap

README = Path(__file__).parent / "README.md"
BEGIN, END = "<!-- numbers: python -m engine.demo.measure -->", "<!-- end of numbers -->"
DETAILED = 2  # the most detailed of the five references
CLIPSCORE_WEIGHT = 2.5  # of Hessel et al. 2021


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    test: str
    value: str
    chance: str


def _features(clip: clips.Clip, paths: list[Path]) -> np.ndarray:
    """float32[N, D] of photos, normalised."""
    return clip.image_features([clip.prepare(Image.open(path).convert("RGB")) for path in paths])


def swap_rows(clip: clips.Clip, images: np.ndarray, references: list[list[str]], seed: int = 0) -> list[Row]:
    """How often an image prefers its true caption to one that is wrong in one noun, colour or count."""
    rows = []
    for what in SWAPS:
        rng = Random(seed)
        numbers, true, false = [], [], []
        for number, texts in enumerate(references):
            for text in texts:
                changed = swap(text, what, rng)
                if changed is not None:
                    numbers.append(number)
                    true.append(text)
                    false.append(changed)
        good, bad = (clip.text_features(texts).features for texts in (true, false))
        wins = ((images[numbers] * good).sum(1) > (images[numbers] * bad).sum(1)).mean()
        rows.append(Row(f"true caption preferred to one with a wrong {what} ({len(true)} pairs)", f"{wins:.1%}", "50%"))
    return rows


def clipscore_rows(images: np.ndarray, texts: np.ndarray, seed: int = 0) -> list[Row]:
    """Mean and standard deviation of CLIPScore for matched pairs and for shuffled ones."""
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(images))
    rows = []
    for name, other in (("its own detailed reference", texts), ("another image's", texts[order])):
        scores = CLIPSCORE_WEIGHT * np.clip((images * other).sum(1), 0, None)
        rows.append(Row(f"CLIPScore of an image and {name}", f"{scores.mean():.3f} ± {scores.std():.3f}", ""))
    return rows


def recall_row(images: np.ndarray, texts: np.ndarray, captions: list[str]) -> Row:
    """Recall@1 of the detailed reference among all images' detailed references; equal sentences count as one."""
    found = (images @ texts.T).argmax(1)
    right = np.mean([captions[guess] == captions[number] for number, guess in enumerate(found)])
    return Row(f"image to text, recall@1 among {len(images)}", f"{right:.1%}", f"{1 / len(images):.1%}")


def zero_shot_rows(clip: clips.Clip, folder: Path) -> list[Row]:
    """Accuracy of each template on the folder of classes."""
    labels = list(json.loads((folder / "id2label.json").read_text(encoding="utf-8")).values())
    paths = sorted((folder / "val").glob("*.png"))
    images, truth = _features(clip, paths), [labels[int(path.stem.split("_")[0])] for path in paths]
    rows = []
    for template in zeroshot.TEMPLATES:
        texts = clip.text_features(zeroshot.prompts(template, labels)).features
        guesses = [found.label for found in zeroshot.classify(images, texts, labels, clip.logit_scale)]
        right = np.mean([guess == true for guess, true in zip(guesses, truth, strict=True)])
        rows.append(Row(f"zero-shot, '{template}' ({len(paths)} images)", f"{right:.1%}", f"{1 / len(labels):.1%}"))
    return rows


def measure(clip: clips.Clip, data: Path) -> list[Row]:
    """Every row of the table, for the val split and the classes under `data`."""
    told = json.loads((data / "annotations" / "captions_val.json").read_text(encoding="utf-8"))
    references: dict[int, list[str]] = {image["id"]: [] for image in told["images"]}
    for note in told["annotations"]:
        references[note["image_id"]].append(note["caption"])
    images = _features(clip, [data / "val" / image["file_name"] for image in told["images"]])
    captions = [texts[DETAILED] for texts in references.values()]
    texts = clip.text_features(captions).features
    return [
        *swap_rows(clip, images, list(references.values())),
        *clipscore_rows(images, texts),
        recall_row(images, texts, captions),
        *zero_shot_rows(clip, data / "p1_data"),
    ]


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    lines = [f"| {row.test} | {row.value} | {row.chance} |" for row in rows]
    return "\n".join(["| test | result | chance |", "|---|---|---|", *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the demo CLIP; write the table into engine/demo/README.md.")
    parser.add_argument("--clip", type=Path, default=Path("engine/demo/clip"), help="folder of the CLIP")
    parser.add_argument("--data", type=Path, default=Path("data/demo"), help="folder of the generated world")
    parser.add_argument("--print-only", action="store_true", help="leave the README as it is")
    options = parser.parse_args()
    written = table(measure(clips.load(str(options.clip)), options.data))
    print(written)
    if not options.print_only:
        text = README.read_text(encoding="utf-8")
        before, rest = text.split(BEGIN)
        README.write_text(f"{before}{BEGIN}\n{written}\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
