"""The stage from photos to captions with a captioner of somebody else, checked where it may be wrong."""

import numpy as np
import pytest

from engine.config import DecodingConfig
from engine.data.dataset import Dataset, Example
from engine.evaluation import captioning
from engine.evaluation.captioning import CaptionSettings
from engine.evaluation.provenance import Stopwatch
from engine.explain.attention import WordMaps
from engine.protocols import Captioner, Explainer, Hypothesis, PluginError
from tests.support import tiny

CONFIG = DecodingConfig(beam_sizes=(1, 2), n_best=2)


class Bright:
    """A captioner without a model: it names the brighter half of the photo, and its maps are the brightness."""

    name, fingerprint, metadata = "bright", "bright-1", {}

    def read(self, photo):
        return np.asarray(photo.convert("L").resize((3, 2)), dtype=np.float32)

    def caption(self, photos, image_ids, config):
        halves = ["left" if photo[:, 0].sum() > photo[:, 2].sum() else "right" for photo in photos]
        texts = [[f"bright {half}", "a photo"][: config.n_best] for half in halves]
        every = [[Hypothesis(text, tuple(text.split())) for text in each] for each in texts]
        return dict.fromkeys(config.beam_sizes, every)

    def maps(self, photos, captions, config, merge):
        return [
            WordMaps.of(caption.words, np.stack([photo.ravel()[None, None]] * len(caption.words)), (2, 3))
            for photo, caption in zip(photos, captions, strict=True)
        ]

    def crop(self, width, height):
        return 0.0, 0.0, float(width), float(height)


@pytest.fixture
def dataset(tmp_path) -> Dataset:
    for number in (1, 2):
        tiny.photo(tmp_path / f"{number}.png", seed=number)
    (tmp_path / "3.png").write_bytes(b"")
    examples = tuple(Example(str(number), f"{number}.png") for number in (1, 2, 3))
    return Dataset("photos", "folder", tmp_path, "all", tmp_path, examples)


def tables_of(captioner, dataset: Dataset, attention_beams: tuple[int, ...] = (2,)) -> tuple[dict, Stopwatch]:
    read = captioning.reader(dataset, captioner)
    watch = Stopwatch()
    settings = CaptionSettings(CONFIG, attention_beams, "mean")
    photos = [read(example) for example in dataset.examples]
    found = captioning.caption(captioner, dataset.examples, photos, settings, watch)
    return {name: table.to_pylist() for name, table in found.items()}, watch


def test_a_captioner_that_is_an_explainer_gets_maps(dataset):
    assert isinstance(Bright(), Captioner) and isinstance(Bright(), Explainer)
    found, watch = tables_of(Bright(), dataset)
    assert [row["image_id"] for row in found["images"]] == ["1", "2"]
    assert [(row["image_id"], row["reason"]) for row in found["skipped"]] == [("3", "the file is empty")]
    assert len(found["captions"]) == 4 and len(found["hypotheses"]) == 8
    assert [(row["image_id"], row["beam_size"]) for row in found["attention"]] == [("1", 2), ("2", 2)]
    row = found["attention"][0]
    assert (row["shape"], row["grid_height"], row["grid_width"]) == ([2, 1, 1, 6], 2, 3)
    assert row["crop"] == {"x": 0.0, "y": 0.0, "width": 80.0, "height": 60.0}
    assert "decode" in watch.seconds


def changed(found) -> Bright:
    captioner = Bright()
    captioner.caption = lambda photos, image_ids, config: found
    return captioner


ONE = Hypothesis("a", ("a",))


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ({1: [[ONE], [ONE]]}, r"returned beam sizes \[1\], expected \[1, 2\]"),
        ({1: [[ONE]], 2: [[ONE], [ONE]]}, "returned 1 lists at beam size 1, expected 2"),
        ({1: [[ONE], []], 2: [[ONE], [ONE]]}, "returned 0 hypotheses of an image, expected 1 to 2"),
        ({1: [[ONE] * 3, [ONE]], 2: [[ONE], [ONE]]}, "returned 3 hypotheses of an image, expected 1 to 2"),
        (None, "returned beam sizes None"),
        ({1: [["a"], [ONE]], 2: [[ONE], [ONE]]}, "returned 'a', expected a Hypothesis"),
        ({1: [[Hypothesis("a b", "a b")], [ONE]], 2: [[ONE], [ONE]]}, "expected a Hypothesis with a text, a tuple"),
        ({1: [[Hypothesis("a", ("a",), score="z")], [ONE]], 2: [[ONE], [ONE]]}, "and numbers"),
    ],
)
def test_what_a_captioner_returns_is_checked(dataset, found, sentence):
    with pytest.raises(PluginError, match=sentence):
        tables_of(changed(found), dataset)


@pytest.mark.parametrize(
    ("words", "shape", "grid"),
    [(("a", "b"), (1, 1, 1, 6), (2, 3)), (("a",), (1, 1, 6), (2, 3)), (("a",), (1, 1, 1, 6), (2, 2))],
)
def test_maps_that_do_not_fit_are_refused(words, shape, grid):
    with pytest.raises(ValueError, match="expected \\[words, layers, heads, height"):
        WordMaps.of(words, np.ones(shape), grid)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1])
def test_maps_are_finite_and_not_negative(value):
    with pytest.raises(ValueError, match="finite and not negative"):
        WordMaps.of(("a",), np.full((1, 1, 1, 4), value), (2, 2))


@pytest.mark.parametrize(
    ("part", "returned", "sentence"),
    [
        ("maps", [], "returned maps of 0 captions, expected a WordMaps for each of 2"),
        (
            "maps",
            [WordMaps.of(("z",), np.ones((1, 1, 1, 6)), (2, 3))] * 2,
            r"returned maps of \['z'\], expected those of",
        ),
        (
            "maps",
            [
                WordMaps((*words,), np.ones((2, 1, 1, 6), np.uint8), np.ones((2, 1, 1)), (2, 3), np.ones(1))
                for words in [("bright", "right")] * 2
            ],
            r"returned shares \(1,\), expected one per word \(2\)",
        ),
        ("crop", (0, 0), "expected x, y, width, height"),
        ("crop", (0, 0, 5, float("nan")), "expected x, y, width, height"),
    ],
)
def test_maps_and_their_crop_are_checked(dataset, part, returned, sentence):
    captioner = Bright()
    setattr(captioner, part, lambda *args: returned)
    with pytest.raises(PluginError, match=sentence):
        tables_of(captioner, dataset)


def test_a_caption_without_words_has_maps_without_words():
    assert WordMaps.of((), np.array([]), (2, 3)).weights.shape == (0, 1, 1, 6)
