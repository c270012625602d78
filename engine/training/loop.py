"""The training loop: loss, schedule, mixed precision, validation, checkpoints and exact resume.

Log rows are passed to the caller. An interrupted training continues from its last state and gives the same result as an
uninterrupted one.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from engine.captioners.native import checkpoints
from engine.config import DecodingConfig, Recipe, TrainingConfig
from engine.data.dataset import Dataset
from engine.data.photos import open_photo
from engine.data.split import Split
from engine.decoding import sweep
from engine.metrics import registry
from engine.metrics.clipscore import ClipFamily
from engine.metrics.measure import measure
from engine.models.clip import Clip
from engine.reading import message
from engine.training import images, state
from engine.training.build import build_captioner, readable, tokenizer_of
from engine.training.errors import TrainingError
from engine.training.images import ENCODE_BATCH
from engine.training.state import Progress

_IGNORED = -100  # the default ignore_index of cross_entropy


def train(
    train_set: Dataset,
    validation_set: Dataset,
    recipe: Recipe,
    folder: Path,
    device: str = "cpu",
    clip: Clip | None = None,
    log: Callable[[list[dict[str, Any]]], None] = lambda rows: None,
) -> Progress:
    """Train a captioner in `folder`, or continue an interrupted training there.

    The folder then contains the captioner with the best CIDEr on the validation set, `best_clipscore/` with the best
    CLIPScore if a CLIP is given, `tensorboard/`, and the state to continue from.

    Args:
        log: called after each epoch with every row of the `training` table so far.

    Raises:
        TrainingError: there are no captions, the folder contains another training, or the encoder weights do not fit.
        OSError: a file cannot be written, for example because the disk is full.
    """
    return _Training(train_set, validation_set, recipe, folder, device, clip, log).run()


def is_finished(folder: Path, recipe: Recipe, train_set: Dataset, clip: Clip | None = None) -> bool:
    """Return whether `folder` contains a complete training with this recipe, these data and this CLIP.

    Raises:
        TrainingError: the state of the training is damaged.
    """
    if state.content(folder / state.IDENTITY) != _identity(recipe, train_set, clip):
        return False
    return state.epochs_done(folder) == recipe.training.epochs


def check_folder(folder: Path, recipe: Recipe, train_set: Dataset, clip: Clip | None = None) -> None:
    """Check that a training can start or continue in `folder`.

    Raises:
        TrainingError: `folder` is a file, or contains another training.
    """
    state.check_folder(folder, _identity(recipe, train_set, clip))


def _identity(recipe: Recipe, train_set: Dataset, clip: Clip | None) -> bytes:
    return state.identity(recipe, train_set, getattr(clip, "name", None))


def learning_rate(step: int, steps: int, config: TrainingConfig) -> float:
    """Return the learning rate at `step`: linear warm-up, then half a cosine down to 0 at `steps`."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, steps - config.warmup_steps)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


class _Training:
    def __init__(
        self,
        train_set: Dataset,
        validation_set: Dataset,
        recipe: Recipe,
        folder: Path,
        device: str,
        clip: Clip | None,
        log: Callable[[list[dict[str, Any]]], None],
    ) -> None:
        self.recipe, self.config, self.folder = recipe, recipe.training, folder
        self.device, self.clip, self._log = torch.device(device), clip, log
        check_folder(folder, recipe, train_set, clip)
        torch.manual_seed(self.config.seed)
        usable = [example for example in train_set.examples if any(example.references)]
        if not usable:
            raise TrainingError(f"{train_set.path}: no captions in split {train_set.split!r}; training needs captions")
        self.tokenizer = tokenizer_of(train_set, usable, recipe)
        self.captioner = build_captioner(recipe, self.tokenizer.vocab_size).to(self.device)
        self.train_set = readable(train_set.subset(usable))
        if not self.train_set.examples:
            raise TrainingError(
                f"{train_set.root}: none of the {len(usable):,} photos can be used, expected at least one"
            )
        held = [example for example in validation_set.examples if example.references]
        self.validation_set = readable(validation_set.subset(held[: self.config.validation_images]))
        state.claim(folder, _identity(recipe, train_set, clip), self.train_set, self.train_set.examples)
        self.images = images.create(
            self.captioner, self.train_set, self.config, folder / "features_train.f16", self.device
        )
        still = replace(self.config, augment=False)
        self.validation_images = images.create(
            self.captioner, self.validation_set, still, folder / "features_validation.f16", self.device
        )
        self.pairs = [
            (row, self.tokenizer.encode(text, self.config.max_length))
            for row, example in enumerate(self.train_set.examples)
            for text in example.references
            if text  # an empty caption would train the model to produce nothing
        ]
        self.steps = len(self._batches(0)) * self.config.epochs
        trained = [parameter for parameter in self.captioner.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=self.config.learning_rate, weight_decay=self.config.weight_decay)
        self.progress, self.rows = state.restore(folder, self.captioner, self.optimizer, self.device)
        self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=self.progress.step)
        self._clip_images: np.ndarray | None = None

    def run(self) -> Progress:
        """Train the remaining epochs."""
        for epoch in range(self.progress.epoch, self.config.epochs):
            self._epoch(epoch)
            self._validate(epoch)
            self.progress.epoch = epoch + 1
            self._log(self.rows)
            self._save()
        self.writer.close()
        return self.progress

    # One epoch

    def _epoch(self, epoch: int) -> None:
        batches = self._batches(epoch)
        torch.manual_seed(self.config.seed * 1_000_003 + epoch)  # so that a resumed epoch repeats dropout and sampling
        self._train_mode()
        shown = [np.unique([self.pairs[i][0] for i in batch], return_inverse=True) for batch in batches]
        bar = tqdm(self.images.batches([images.tolist() for images, _ in shown]), total=len(batches))
        bar.set_description(f"epoch {epoch + 1}/{self.config.epochs}")
        for batch, (_, rows), source in zip(batches, shown, bar, strict=True):
            loss, norm = self._step(source, torch.from_numpy(rows).to(self.device), [self.pairs[i][1] for i in batch])
            if self.progress.step % self.config.log_steps == 0:
                self._log_step(epoch, loss, norm)
                bar.set_postfix(loss=f"{loss:.3f}")
            self.progress.step += 1

    def _batches(self, epoch: int) -> list[np.ndarray]:
        """Return the positions in `pairs` of each step of an epoch."""
        generator, size = np.random.default_rng([self.config.seed, epoch]), self.config.batch_size
        if not self.config.group_captions:
            order = generator.permutation(len(self.pairs))
        else:
            by_image: dict[int, list[int]] = {}
            for position, (image, _) in enumerate(self.pairs):
                by_image.setdefault(image, []).append(position)
            images = list(by_image.values())
            order = np.concatenate([images[number] for number in generator.permutation(len(images))])
        return [order[at : at + size] for at in range(0, len(order), size)]

    def _train_mode(self) -> None:
        self.captioner.train()
        if self.config.freeze_encoder:
            self.captioner.encoder.eval()  # frozen includes batch statistics and dropout

    def _step(self, source: Tensor, rows: Tensor, captions: Sequence[list[int]]) -> tuple[float, float]:
        """Update the weights once; caption i belongs to image rows[i] of `source`. Return loss and gradient norm."""
        rate = learning_rate(self.progress.step, self.steps, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        ids = pad(captions, self.tokenizer.pad_id).to(self.device)
        with self._autocast():
            memory = self.images.memory(source)
            inputs, targets = ids[:, :-1], ids[:, 1:]
            if self.config.scheduled_sampling:
                inputs = self._sampled(inputs, memory, rows)
            logits = self.captioner.logits(inputs, memory, rows)
            loss = F.cross_entropy(
                logits.float().flatten(0, 1),
                targets.where(targets.ne(self.tokenizer.pad_id), _IGNORED).flatten(),
                ignore_index=_IGNORED,
                label_smoothing=self.config.label_smoothing,
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        trained = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        norm = nn.utils.clip_grad_norm_(trained, self.config.clip_norm)
        self.optimizer.step()
        return float(loss.detach()), float(norm)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16")

    def _sampled(self, inputs: Tensor, memory: Tensor, rows: Tensor) -> Tensor:
        """Return inputs int64[B, T] with a share of the tokens replaced by the model's predictions."""
        share = self.progress.step / max(1, self.steps)
        with torch.no_grad():
            guesses = self.captioner.logits(inputs[:, :-1], memory.detach(), rows).argmax(-1)
        special = inputs.eq(self.tokenizer.pad_id) | inputs.eq(self.tokenizer.eos_id)
        replaced = (torch.rand(inputs.shape, device=inputs.device) < share) & special.logical_not()
        replaced[:, 0] = False  # the start token stays
        return inputs.where(replaced.logical_not(), torch.cat([inputs[:, :1], guesses], dim=1))

    # Validation

    def _validate(self, epoch: int) -> None:
        if not self.validation_set.examples:
            checkpoints.save(
                self.folder, self.captioner, self.tokenizer
            )  # without validation the last captioner is kept
            return
        captions = self._greedy_captions()
        split = _split(self.validation_set)
        cider = measure({1: captions}, split, registry.named(["cider"]))[1].corpus["cider"].value
        row = {"step": self.progress.step, "epoch": epoch, "validation_cider": cider}
        self._keep_best("best_cider", cider, self.folder)
        if self.clip is not None:
            row["validation_clipscore"] = self._clipscore(self.clip, captions, split)
            self._keep_best("best_clipscore", row["validation_clipscore"], self.folder / "best_clipscore")
        self.rows.append(row)
        for name in ("validation_cider", "validation_clipscore"):
            if name in row:
                self.writer.add_scalar(name.replace("_", "/", 1), row[name], epoch)
        shown = " ".join(f"{name.removeprefix('validation_')} {value:.3f}" for name, value in list(row.items())[2:])
        tqdm.write(message(f"epoch {epoch + 1}: {shown}; {captions[0]}"))

    def _greedy_captions(self) -> list[str]:
        self.captioner.eval()
        captions, config = [], DecodingConfig(beam_sizes=(1,), max_length=self.config.max_length)
        rows = list(range(len(self.validation_set.examples)))
        batches = [rows[at : at + ENCODE_BATCH] for at in range(0, len(rows), ENCODE_BATCH)]
        for batch, source in zip(batches, self.validation_images.batches(batches), strict=True):
            with torch.inference_mode(), self._autocast():
                memory = self.validation_images.memory(source)
                steps = self.captioner.start(memory, config.max_length)
                bos, eos = self.tokenizer.bos_id, self.tokenizer.eos_id
                found = sweep.search(steps, len(batch), 1, bos, eos, config, self.device)
            captions += [self.tokenizer.decode(hypothesis.tokens) for hypothesis in found]
        return captions

    def _clipscore(self, clip: Clip, captions: list[str], split: Split) -> float:
        if self._clip_images is None:
            photos = (self.validation_set.photo(example) for example in self.validation_set.examples)
            self._clip_images = clip.image_features([clip.prepare(open_photo(path)) for path in photos])
        images = self._clip_images
        clipscore, _ = ClipFamily(clip, lambda _: images).metrics
        return measure({1: captions}, split, [clipscore])[1].corpus["clipscore"].value

    def _keep_best(self, name: str, value: float, folder: Path) -> None:
        # Ties prefer the later epoch: with a single validation photo CIDEr is 0 in every epoch.
        if value >= getattr(self.progress, name):
            setattr(self.progress, name, value)
            checkpoints.save(folder, self.captioner, self.tokenizer)

    # Log and state

    def _log_step(self, epoch: int, loss: float, norm: float) -> None:
        rate = self.optimizer.param_groups[0]["lr"]
        self.rows.append({"step": self.progress.step, "epoch": epoch, "loss": loss, "lr": rate, "grad_norm": norm})
        for name, value in (("loss", loss), ("lr", rate), ("grad_norm", norm)):
            self.writer.add_scalar(f"training/{name}", value, self.progress.step)

    def _save(self) -> None:
        state.save(self.folder, self.progress, self.rows, self.captioner, self.optimizer)


def pad(captions: Sequence[list[int]], pad_id: int) -> Tensor:
    """Return captions of different lengths as int64[B, T], padded on the right."""
    width = max(map(len, captions))
    return torch.tensor([ids + [pad_id] * (width - len(ids)) for ids in captions])


def _split(dataset: Dataset) -> Split:
    """Return the validation images as a `Split` for metrics."""
    return Split(
        tuple(example.image_id for example in dataset.examples),
        tuple(tuple(example.references) for example in dataset.examples),
        tuple(dataset.photo(example) for example in dataset.examples),
        fingerprint=dataset.fingerprint,
    )
