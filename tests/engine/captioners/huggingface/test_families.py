"""Every supported family against its own `generate()`: the same tokens and scores at every beam size."""

import numpy as np
import pytest
import torch
from PIL import Image

from engine.captioners.huggingface import handover
from engine.captioners.huggingface.pipeline import HuggingFaceCaptioner
from engine.config import DecodingConfig
from tests.support import tiny_transformers

LENGTH = 8
SIZES = (1, 2, 3, 5, 10)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def folder(name):
        if name not in made:
            made[name] = tiny_transformers.make(name, tmp_path_factory.mktemp("hf") / name)
        return made[name]

    return folder


def photos() -> list[Image.Image]:
    generator = np.random.default_rng(0)
    sizes = [(60, 40), (40, 60), (48, 48)]
    noise = [generator.integers(0, 255, (5, 5, 3), dtype=np.uint8) for _ in sizes]
    return [Image.fromarray(each).resize(size) for each, size in zip(noise, sizes, strict=True)]


def generated(captioner: HuggingFaceCaptioner, beams: int) -> tuple[list[tuple[int, ...]], list[float]]:
    """Tokens after the prompt, up to the first end token, and the score of each photo, by `generate()`."""
    loaded = captioner._loaded
    inputs = handover.model_inputs(loaded, photos(), captioner._prompt)
    batch = handover.open_batch(loaded, inputs, DecodingConfig(max_length=LENGTH))
    with torch.no_grad():
        found = loaded.model.generate(
            **inputs,
            max_new_tokens=LENGTH,
            do_sample=False,
            num_beams=beams,
            length_penalty=1.0,
            early_stopping=False,
            return_dict_in_generate=True,
            output_scores=True,
        )
    new = found.sequences[:, -len(found.scores) :] if beams == 1 else found.sequences
    prompt = found.sequences.shape[1] - len(found.scores)
    captions = []
    for row in found.sequences[:, max(prompt, 0) :] if beams == 1 else found.sequences:
        tokens = row.tolist()
        if beams > 1:  # with or without the prompt, which padding may follow
            start = (
                batch.ids.shape[1] if found.sequences.shape[1] > LENGTH or loaded.model.config.is_encoder_decoder else 0
            )
            tokens = tokens[start:]
        end = next((at for at, token in enumerate(tokens) if token in batch.end_ids), len(tokens) - 1)
        captions.append(tuple(tokens[: end + 1]))
    del new
    if beams > 1:
        return captions, found.sequences_scores.tolist()
    steps = [each.log_softmax(-1) for each in found.scores]
    scores = [
        sum(float(steps[at][row, token]) for at, token in enumerate(tokens)) / len(tokens)
        for row, tokens in enumerate(captions)
    ]
    return captions, scores


@pytest.mark.parametrize("name", tiny_transformers.FAMILIES)
def test_tokens_and_scores_equal_those_of_generate_at_every_beam_size(folders, name):
    captioner = HuggingFaceCaptioner.load(f"hf:{folders(name)}")
    config = DecodingConfig(beam_sizes=SIZES, max_length=LENGTH)
    found = captioner.caption([captioner.read(photo) for photo in photos()], ["a", "b", "c"], config)
    for size in SIZES:
        tokens, scores = generated(captioner, size)
        assert [each[0].tokens for each in found[size]] == tokens, (name, size)
        np.testing.assert_allclose([each[0].score for each in found[size]], scores, atol=2e-5, err_msg=f"{name} {size}")
