"""Certificates of explanation methods: the demo's captioner, and captioners with random weights, which must be refused.

A map of a model that has learned nothing explains nothing, however plausible it looks (Adebayo et al., 2018).
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from engine.captioners.native import checkpoints
from engine.captioners.native.pipeline import NativeCaptioner
from engine.config import DecodingConfig
from engine.data import registry
from engine.data.photos import open_photo
from engine.demo import world
from engine.evaluation.explanations import ExplainSettings, explained, measured
from engine.explain.certificate import Certificate, NounMeasure, certify, recommended
from engine.protocols import Hypothesis

CONFIG = DecodingConfig(beam_sizes=(1,))
DEMO = Path(__file__).parents[2] / "engine" / "demo" / "captioner"
METHODS = ("attention", "gradient", "guided")


def certificates(
    captioner: NativeCaptioner, data: Path, methods: Sequence[str], nouns: int, own: bool
) -> list[Certificate]:
    """Return the certificates of a captioner over at least `nouns` nouns.

    Args:
        own: explain its own captions; otherwise the references, because a random model says no nouns.
    """
    dataset = registry.load(data, None, "val", 0)
    labels = tuple(sorted({box.label for each in dataset.examples for box in each.objects}))
    settings, found = ExplainSettings(labels, tuple(methods)), {}
    for example in dataset.examples:
        photo = open_photo(dataset.photo(example))
        prepared = captioner.read(photo)
        caption = (
            captioner.caption([prepared], [example.image_id], CONFIG)[1][0][0]
            if own
            else _reference(captioner, example.references[0])
        )
        sizes = [photo.size]
        for each in explained(captioner, captioner, [example], [prepared], sizes, [caption], CONFIG, settings):
            for row in measured(each, settings, example.image_id):
                names = ("hit", "chance", "deletion", "insertion", "seconds")
                found.setdefault(row["method"], []).append(
                    NounMeasure(example.image_id, **{name: row[name] for name in names})
                )
        if len(found.get("attention", ())) >= nouns:
            break
    return certify(found)


def _reference(captioner: NativeCaptioner, text: str) -> Hypothesis:
    tokens = tuple(captioner.tokenizer.encode(text)[1:])
    words = tuple(word.text for word in captioner.tokenizer.words(tokens))
    return Hypothesis(text, words, tokens)


def random_captioners(number: int, folder: Path) -> Iterator[NativeCaptioner]:
    """Yield captioners of the demo's shape whose weights are drawn anew."""
    model, tokenizer = checkpoints.load(DEMO)
    for seed in range(number):
        torch.manual_seed(seed)
        for module in model.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter.data, std=0.05)
        own = folder / str(seed)
        checkpoints.save(own, model, tokenizer)
        yield NativeCaptioner.load(own)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--nouns", type=int, default=200)
    parser.add_argument("--models", type=int, default=20, help="captioners with random weights, 20 nouns each")
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        world.write_split(folder / "world", "val", max(options.nouns, 40))
        print(f"{'method':16} {'hit':>6} {'chance':>7} {'deletion':>9} {'insertion':>10} {'s/noun':>7}  certified")
        found = certificates(NativeCaptioner.load(DEMO), folder / "world", options.methods, options.nouns, own=True)
        for each in found:
            print(
                f"{each.method:16} {each.hit.value:6.3f} {each.chance:7.3f} {each.deletion.value:9.4f} "
                f"{each.insertion.value:10.4f} {each.seconds:7.3f}  {'yes' if each.is_certified else 'no'}"
            )
        best = recommended(found)
        print(f"{found[0].nouns} nouns; recommended: {'none' if best is None else best.method}")
        refused = 0
        for captioner in random_captioners(options.models, folder):
            every = certificates(captioner, folder / "world", options.methods, 20, own=False)
            refused += recommended(every) is None
        print(json.dumps({"random models": options.models, "refused": refused}))


if __name__ == "__main__":
    main()
