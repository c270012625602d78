"""Measure how well the demo models work on the demo world; write the tables in this folder's README.

All images are from the val split, which was not used in training. `python -m engine.demo.measure` rewrites the tables:
the CLIP's from its folder and the data, the captioner's from the run that `make evaluate` wrote.
"""

import argparse
import json
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from engine.demo import judge
from engine.demo.language import SWAPS, swap
from engine.demo.scenes import compose
from engine.metrics import zeroshot
from engine.metrics.measure import score_captions
from engine.models import clip as clips
from engine.statistics import mcnemar
from engine.store import records, tables

README = Path(__file__).parent / "README.md"
DETAILED = 2  # the most detailed of the five references
CLIPSCORE_WEIGHT = 2.5  # Hessel et al. 2021


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    test: str
    value: str
    chance: str


def _features(clip: clips.Clip, paths: list[Path]) -> np.ndarray:
    """Return normalised features float32[N, D] of photos."""
    return clip.image_features([clip.prepare(Image.open(path).convert("RGB")) for path in paths])


def swap_rows(clip: clips.Clip, images: np.ndarray, references: list[list[str]], seed: int = 0) -> list[Row]:
    """Return how often an image is closer to its true caption than to one with a wrong noun, colour or count."""
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
    """Return mean and standard deviation of CLIPScore for matched and for shuffled pairs."""
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(images))
    rows = []
    for name, other in (("its own detailed reference", texts), ("another image's", texts[order])):
        scores = CLIPSCORE_WEIGHT * np.clip((images * other).sum(1), 0, None)
        rows.append(Row(f"CLIPScore of an image and {name}", f"{scores.mean():.3f} ± {scores.std():.3f}", ""))
    return rows


def recall_row(images: np.ndarray, texts: np.ndarray, captions: list[str]) -> Row:
    """Return recall@1 of the detailed reference among those of all images; equal sentences count as one."""
    found = (images @ texts.T).argmax(1)
    right = np.mean([captions[guess] == captions[number] for number, guess in enumerate(found)])
    return Row(f"image to text, recall@1 among {len(images)}", f"{right:.1%}", f"{1 / len(images):.1%}")


def zero_shot_rows(clip: clips.Clip, folder: Path) -> list[Row]:
    """Return the accuracy of each template on the folder of classes, and McNemar's test for each pair of templates."""
    labels = list(json.loads((folder / "id2label.json").read_text(encoding="utf-8")).values())
    paths = sorted((folder / "val").glob("*.png"))
    images, truth = _features(clip, paths), [labels[int(path.stem.split("_")[0])] for path in paths]
    correct: dict[str, list[bool]] = {}
    for template in zeroshot.TEMPLATES:
        texts = clip.text_features(zeroshot.prompts(template, labels)).features
        guesses = [found.label for found in zeroshot.classify(images, texts, labels, clip.logit_scale)]
        correct[template] = [guess == true for guess, true in zip(guesses, truth, strict=True)]
    chance = f"{1 / len(labels):.1%}"
    accuracies = [
        Row(f"zero-shot, '{template}' ({len(paths)} images)", f"{np.mean(right):.1%}", chance)
        for template, right in correct.items()
    ]
    return accuracies + [_paired_row(*pair) for pair in combinations(correct.items(), 2)]


def _paired_row(left: tuple[str, list[bool]], right: tuple[str, list[bool]]) -> Row:
    only = [
        sum(a and not b for a, b in zip(*sides, strict=True)) for sides in ((left[1], right[1]), (right[1], left[1]))
    ]
    p = mcnemar(left[1], right[1])
    shown = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    return Row(f"correct only with '{left[0]}' / only with '{right[0]}'", f"{only[0]} / {only[1]}, {shown}", "")


def measure(clip: clips.Clip, data: Path) -> list[Row]:
    """Return the rows of the CLIP's table for the val split and the classes under `data`."""
    content = json.loads((data / "annotations" / "captions_val.json").read_text(encoding="utf-8"))
    references: dict[int, list[str]] = {image["id"]: [] for image in content["images"]}
    for note in content["annotations"]:
        references[note["image_id"]].append(note["caption"])
    images = _features(clip, [data / "val" / image["file_name"] for image in content["images"]])
    captions = [texts[DETAILED] for texts in references.values()]
    texts = clip.text_features(captions).features
    return [
        *swap_rows(clip, images, list(references.values())),
        *clipscore_rows(images, texts),
        recall_row(images, texts, captions),
        *zero_shot_rows(clip, data / "p1_data"),
    ]


def captioner_rows(results: Path, run: str) -> list[Row]:
    """Return the rows of the captioner's table, from its stored run on the val split."""
    folder = records.run_folder(results, run)
    images = tables.read_table(folder, "images").to_pylist()
    captions = {
        row["image_id"]: row["caption"]
        for row in tables.read_table(folder, "captions").to_pylist()
        if row["beam_size"] == 1
    }
    corpus = tables.read_table(folder, "corpus_scores").to_pylist()
    greedy = next(row["value"] for row in corpus if row["metric"] == "cider" and row["beam_size"] == 1)
    return [
        *_cider_rows(greedy, [image["references"] for image in images]),
        *_mistake_rows(images, captions),
        *_pointing_rows(tables.read_table(folder, "grounding").to_pylist()),
    ]


def _cider_rows(greedy: float, references: list[list[str]]) -> list[Row]:
    people = leave_one_out_cider(references)
    return [
        Row(f"CIDEr of greedy captions ({len(references)} images)", f"{greedy:.3f}", ""),
        Row("CIDEr of the references, each against the other four", f"{people:.3f}", ""),
        Row("the first as a share of the second", f"{greedy / people:.1%}", ""),
    ]


def leave_one_out_cider(references: list[list[str]]) -> float:
    """Return the mean CIDEr of each reference against the others of its image."""
    values = []
    for left in range(min(map(len, references))):
        others = [[text for number, text in enumerate(texts) if number != left] for texts in references]
        scores = score_captions({1: [texts[left] for texts in references]}, others, ["cider"])
        values.append(scores[1].corpus["cider"].value)
    return float(np.mean(values))


def _mistake_rows(images: list[dict], captions: dict[str, str]) -> list[Row]:
    found = {
        image["image_id"]: judge.mistakes(compose(int(image["image_id"])), captions[image["image_id"]])
        for image in images
    }
    hard = {image["image_id"] for image in images if image["conditions"]}

    def share(ids: set[str], aspect: str | None = None) -> str:
        wrong = [i for i in ids if any(aspect in (None, mistake.aspect) for mistake in found[i])]
        return f"{len(wrong) / len(ids):.1%} of {len(ids)}"

    every = set(found)
    rows = [
        Row("greedy captions that say something wrong", share(every), ""),
        Row("the same on scenes that are hard on purpose", share(hard), ""),
        Row("the same on all others", share(every - hard), ""),
    ]
    return rows + [Row(f"wrong {aspect}", share(every, aspect), "") for aspect in judge.ASPECTS]


def _pointing_rows(rows: list[dict]) -> list[Row]:
    """Return the pointing game (Zhang et al., ECCV 2016): how often a noun's map peaks inside a box of its object."""
    own = [row for row in rows if row["beam_size"] == 1 and row["offset"] == 0]
    last = max(row["layer"] for row in own)
    names = {head: "mean of the heads" if head == -1 else f"head {head + 1}" for head in {row["head"] for row in own}}
    found = []
    for head, name in sorted(names.items()):
        chosen = [row for row in own if row["layer"] == last and row["head"] == head]
        held = [row["shuffled_hit"] for row in chosen if row["shuffled_hit"] is not None]
        hits = np.mean([row["hit"] for row in chosen])
        found.append(
            Row(
                f"last layer's map peaks in the box, {name} ({len(chosen)} nouns)",
                f"{hits:.1%}",
                f"{np.mean(held):.1%}",
            )
        )
    return found


def table(rows: list[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = [f"| {row.test} | {row.value} | {row.chance} |" for row in rows]
    return "\n".join(["| test | result | chance |", "|---|---|---|", *lines])


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Measure the demo models; write the tables into engine/demo/README.md."
    )
    parser.add_argument("--clip", type=Path, default=Path("engine/demo/clip"), help="folder of the CLIP")
    parser.add_argument("--data", type=Path, default=Path("data/demo"), help="folder of the generated world")
    parser.add_argument("--results", type=Path, default=Path("results"), help="results folder with the captioner's run")
    parser.add_argument("--run", default="demo", help="the captioner's run on the val split")
    parser.add_argument("--only", choices=("clip", "captioner"), help="measure one of the two")
    parser.add_argument("--print-only", action="store_true", help="leave the README as it is")
    options = parser.parse_args()
    if options.only != "captioner":
        _publish("clip", measure(clips.load(str(options.clip)), options.data), options.print_only)
    if options.only != "clip":
        _publish("captioner", captioner_rows(options.results, options.run), options.print_only)


def _publish(model: str, rows: list[Row], print_only: bool) -> None:
    """Print a table, and write it between its markers in the README."""
    written = table(rows)
    print(f"\n{written}")
    if print_only:
        return
    begin, end = f"<!-- {model}: python -m engine.demo.measure -->", f"<!-- end of {model} -->"
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(begin)
    README.write_text(f"{before}{begin}\n{written}\n{end}{rest.split(end)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
