"""Build the captioner and tokenizer of a recipe, and select the photos that can be read."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import torch
from timm.layers import convert_sync_batchnorm
from torch import nn
from tqdm import tqdm

from engine import limits
from engine.captioners.native.captioner import CaptionerModel, encoder_width
from engine.config import CaptionerConfig, ConfigError, Recipe
from engine.data.dataset import Dataset, Example
from engine.data.photos import PhotoError, open_photo, read_ahead
from engine.models import state_dicts
from engine.models.hub import quiet_downloads
from engine.models.tokenizer import CaptionTokenizer
from engine.reading import message
from engine.training.errors import TrainingError


def build_captioner(recipe: Recipe, vocab_size: int) -> CaptionerModel:
    """Return the recipe's captioner with its initial weights; a frozen encoder has no gradients.

    Raises:
        TrainingError: the captioner is too large, or the encoder weights are missing or do not fit.
    """
    values = asdict(recipe.model)
    width = values.pop("d_model") or encoder_width(recipe.model.encoder, recipe.model.encoder_kwargs)
    config = CaptionerConfig(vocab_size=vocab_size, d_model=width, **values)
    with torch.device("meta"):
        parameters = sum(each.numel() for each in CaptionerModel(config).parameters())
    if parameters > limits.PARAMETERS:
        raise TrainingError(
            f"the captioner of the recipe has {parameters:,} parameters, expected at most {limits.PARAMETERS:,}; "
            "reduce its sizes"
        )
    with quiet_downloads() if recipe.training.pretrained else nullcontext():
        captioner = CaptionerModel(config, pretrained=recipe.training.pretrained)
    if recipe.training.encoder_weights:
        _fill_encoder(captioner.encoder, Path(recipe.training.encoder_weights))
    if recipe.training.freeze_encoder:
        captioner.encoder.requires_grad_(False)
    return captioner


def _fill_encoder(encoder: nn.Module, file: Path) -> None:
    where = f"encoder_weights {str(file)!r}"
    if not file.is_file():
        raise TrainingError(f"{where}: there is no such file; expected a safetensors file")
    if file.suffix != ".safetensors":
        raise TrainingError(f"{where}: expected a safetensors file")
    # The file may contain an ImageNet classifier, which captioners do not have. In a captioner's file, names have the
    # prefix `encoder.`.
    weights = state_dicts.read(file, TrainingError)
    bare = {name.removeprefix("encoder."): tensor.float() for name, tensor in weights.items()}
    own = encoder.state_dict()
    wanted = {name: tensor for name, tensor in bare.items() if name in own}
    if why := state_dicts.misfit(wanted, own):
        raise TrainingError(f"{where}: does not fit the encoder: {why}")
    encoder.load_state_dict(wanted)


def share_batch_statistics(captioner: CaptionerModel) -> None:
    """Let the encoder's batch normalisation take its statistics from the captions of all ranks; needs GPUs."""
    # timm's function, because torch's would drop the activations of timm's layers.
    captioner.encoder = convert_sync_batchnorm(captioner.encoder)


def tokenizer_of(dataset: Dataset, examples: Sequence[Example], recipe: Recipe) -> CaptionTokenizer:
    """Return the tokenizer of the recipe or the dataset, or train one on the captions of `examples`."""
    given = recipe.training.tokenizer or dataset.tokenizer
    if given:
        return CaptionTokenizer.load(Path(given))
    texts = (text for example in examples for text in example.references)
    return CaptionTokenizer.train(texts, recipe.training.vocab_size)


def readable(dataset: Dataset) -> Dataset:
    """Return the dataset without photos that cannot be opened; print the name of each."""

    def check(example: Example) -> Example | None:
        try:
            open_photo(dataset.photo(example))
        except PhotoError as error:
            tqdm.write(message(f"skipped {example.file_name}: {error}"))
            return None
        return example

    bar = tqdm(read_ahead(dataset.examples, check), f"check {dataset.split} photos", len(dataset.examples), leave=False)
    return dataset.subset(example for example in bar if example is not None)


def resolve_paths(recipe: Recipe, folder: Path) -> Recipe:
    """Return the recipe with absolute paths; in the file they are relative to the recipe's folder."""
    paths = {
        name: str((folder / value).resolve())
        for name in ("encoder_weights", "tokenizer")
        if (value := getattr(recipe.training, name))
    }
    try:
        return replace(recipe, training=replace(recipe.training, **paths))
    except ConfigError as error:
        raise TrainingError(str(error)) from error
