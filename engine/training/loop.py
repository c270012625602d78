"""The training loop: steps, schedule, checkpoints and exact resume, on one rank or several.

Log rows are passed to the caller. An interrupted training continues from its last state and gives the same result as an
uninterrupted one.
"""

import math
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from engine.captioners.native import checkpoints
from engine.config import Recipe, TrainingConfig
from engine.data.dataset import Dataset, Example
from engine.models.clip import Clip
from engine.reading import message
from engine.training import batches, images, ranks, state
from engine.training.batches import Part
from engine.training.build import build_captioner, readable, share_batch_statistics, tokenizer_of
from engine.training.errors import TrainingError
from engine.training.images import KeptFeatures, ReadPhotos
from engine.training.loss import CaptionLoss
from engine.training.ranks import Ranks
from engine.training.state import Progress
from engine.training.validation import Validation


def train(
    train_set: Dataset,
    validation_set: Dataset,
    recipe: Recipe,
    folder: Path,
    device: str = "cpu",
    clip: Clip | None = None,
    log: Callable[[list[dict[str, Any]]], None] = lambda rows: None,
    team: Ranks | None = None,
) -> Progress:
    """Train a captioner in `folder`, or continue an interrupted training there.

    The folder then contains the captioner with the best CIDEr on the validation set, `best_clipscore/` with the best
    CLIPScore if a CLIP is given, `tensorboard/`, and the state to continue from.

    Args:
        clip: the CLIP that validates; only rank 0 needs it.
        log: called after each epoch with every row of the `training` table so far, on rank 0.
        team: the ranks that train together; None for this process alone.

    Raises:
        TrainingError: there are no captions, the folder contains another training, or the encoder weights do not fit.
        OSError: a file cannot be written, for example because the disk is full.
    """
    return _Training(train_set, validation_set, recipe, folder, device, clip, log, team or Ranks()).run()


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
        team: Ranks,
    ) -> None:
        self.config, self.folder, self.team = recipe.training, folder, team
        self.device, self._log = torch.device(device), log
        usable = train_set.subset(example for example in train_set.examples if any(example.references))
        team.first(lambda: self._check(recipe, train_set, usable, clip))
        _check_same_data(team, train_set)
        torch.manual_seed(self.config.seed)
        self.tokenizer = team.first(lambda: tokenizer_of(train_set, usable.examples, recipe))
        self.captioner = team.in_turn(lambda: build_captioner(recipe, self.tokenizer.vocab_size).to(self.device))
        self.train_set = usable.subset(team.first(lambda: _readable(usable)))
        self.validation: Validation | None = None
        team.first(lambda: self._claim(recipe, train_set, validation_set, clip))
        self.images = team.in_turn(self._training_images)
        self.pairs = [
            (row, self.tokenizer.encode(text, self.config.max_length))
            for row, example in enumerate(self.train_set.examples)
            for text in example.references
            if text  # an empty caption would train the model to produce nothing
        ]
        self.steps = len(batches.order(self.pairs, self.config, 0)) * self.config.epochs
        if team.size > 1 and not self.config.freeze_encoder and self.device.type == "cuda":
            share_batch_statistics(self.captioner)
        trained = [parameter for parameter in self.captioner.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=self.config.learning_rate, weight_decay=self.config.weight_decay)
        self.progress, self.rows = team.in_turn(
            lambda: state.restore(folder, self.captioner, self.optimizer, self.device)
        )
        self._note_division()
        loss = CaptionLoss(self.captioner, self.images, self.tokenizer, self.config)
        self.loss = team.wrap(loss, self.device, has_trained_encoder=not self.config.freeze_encoder)
        self.writer: SummaryWriter | None = None
        if team.is_first:
            self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=self.progress.step)

    def run(self) -> Progress:
        """Train the remaining epochs."""
        for epoch in range(self.progress.epoch, self.config.epochs):
            self._epoch(epoch)
            self.progress = self.team.first(lambda epoch=epoch: self._end_epoch(epoch))
        if self.writer is not None:
            self.writer.close()
        return self.progress

    # What rank 0 does before the first step

    def _check(self, recipe: Recipe, train_set: Dataset, usable: Dataset, clip: Clip | None) -> None:
        check_folder(self.folder, recipe, train_set, clip)
        if not usable.examples:
            raise TrainingError(f"{train_set.path}: no captions in split {train_set.split!r}; training needs captions")

    def _claim(self, recipe: Recipe, train_set: Dataset, validation_set: Dataset, clip: Clip | None) -> None:
        """Read the photos to validate on, write the training's identity, and prepare the validation."""
        held = [example for example in validation_set.examples if example.references]
        shown = readable(validation_set.subset(held[: self.config.validation_images]))
        state.claim(self.folder, _identity(recipe, train_set, clip), self.train_set, self.train_set.examples)
        if shown.examples:
            still, features = replace(self.config, augment=False), self.folder / "features_validation.f16"
            self.validation = Validation(self.captioner, self.tokenizer, shown, still, features, clip)

    def _training_images(self) -> KeptFeatures | ReadPhotos:
        file = self.folder / "features_train.f16"
        return images.create(self.captioner, self.train_set, self.config, file, self.device, self.team.is_first)

    def _note_division(self) -> None:
        """Record how steps are divided, and print what differs from the epochs before."""
        before, now = (self.progress.ranks, self.progress.accumulate), (self.team.size, self.config.accumulate)
        if self.progress.epoch and before != now:
            tqdm.write(
                f"{self.folder}: earlier epochs ran with {_division(*before)}, this one runs with {_division(*now)}: "
                "batches stay the same, but dropout, other random numbers and batch statistics differ from those of an "
                "undisturbed training"
            )
        self.progress.ranks, self.progress.accumulate = now

    # One epoch

    def _epoch(self, epoch: int) -> None:
        order = batches.order(self.pairs, self.config, epoch)
        steps = [batches.divide(batch, self.team.rank, self.team.size, self.config.accumulate) for batch in order]
        # So that a resumed epoch repeats dropout and sampling, which differ by rank.
        torch.manual_seed((self.config.seed * 1_000_003 + epoch) * self.team.size + self.team.rank)
        self._train_mode()
        bar = tqdm(zip(order, steps, strict=True), f"epoch {epoch + 1}/{self.config.epochs}", len(order))
        with closing(self._inputs([part for parts in steps for part in parts])) as inputs:
            for batch, parts in bar:
                loss, norm = self._step(batch, islice(inputs, len(parts)), len(parts))
                if self.progress.step % self.config.log_steps == 0:
                    self._log_step(epoch, float(self.team.sum(loss)) / self.team.size, float(norm), bar)
                self.progress.step += 1

    def _inputs(self, parts: list[Part]) -> Generator[tuple[Part, Tensor, Tensor, Tensor]]:
        """Yield each part with its images, the image of each caption, and its captions int64[B, T]."""
        shown = [np.unique([self.pairs[i][0] for i in part.positions], return_inverse=True) for part in parts]
        sources = self.images.batches([images.tolist() for images, _ in shown])
        for part, (_, rows), source in zip(parts, shown, sources, strict=True):
            ids = batches.pad([self.pairs[i][1] for i in part.positions], self.tokenizer.pad_id)
            yield part, source, torch.from_numpy(rows).to(self.device), ids.to(self.device)

    def _train_mode(self) -> None:
        self.captioner.train()
        if self.config.freeze_encoder:
            self.captioner.encoder.eval()  # frozen includes batch statistics and dropout

    def _step(
        self, batch: np.ndarray, inputs: Iterator[tuple[Part, Tensor, Tensor, Tensor]], count: int
    ) -> tuple[Tensor, Tensor]:
        """Update the weights once with the captions of `batch`, of which this rank computes `count` parts.

        Return this rank's share of the loss, whose mean over ranks is the loss of the batch, and the gradient norm.
        """
        rate = learning_rate(self.progress.step, self.steps, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        share, total = self.progress.step / max(1, self.steps), torch.zeros((), device=self.device)
        scale = self._scale(batch)
        for number, (part, source, rows, ids) in enumerate(inputs, start=1):
            with ranks.syncing(self.loss, is_last=number == count):
                loss = self.loss(source, rows, ids, share, scale if part.is_counted else 0.0)
                loss.backward()
            total += loss.detach()
        trained = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        norm = nn.utils.clip_grad_norm_(trained, self.config.clip_norm)
        self.optimizer.step()
        return total, norm

    def _scale(self, batch: np.ndarray) -> float | None:
        """Return the factor of a part's sum over tokens; None if the only part is the whole batch.

        The sum is divided by the tokens of all parts of all ranks: a mean of means would weigh tokens differently.
        Gradients are averaged over ranks, hence the number of ranks.
        """
        if self.team.size == self.config.accumulate == 1:
            return None
        return self.team.size / batches.token_count([self.pairs[i][1] for i in batch], self.tokenizer.pad_id)

    # What rank 0 does after an epoch

    def _end_epoch(self, epoch: int) -> Progress:
        """Validate, log and save; return the progress."""
        if self.validation is None:
            self._keep(self.folder)  # without validation the last captioner is kept
        else:
            self._validate(self.validation, epoch)
        self.progress.epoch = epoch + 1
        self._log(self.rows)
        state.save(self.folder, self.progress, self.rows, self.captioner, self.optimizer)
        return self.progress

    def _validate(self, validation: Validation, epoch: int) -> None:
        scores, caption = validation.scores()
        self._keep_best("best_cider", scores["validation_cider"], self.folder)
        if "validation_clipscore" in scores:
            self._keep_best("best_clipscore", scores["validation_clipscore"], self.folder / "best_clipscore")
        self.rows.append({"step": self.progress.step, "epoch": epoch, **scores})
        for name, value in scores.items():
            self._plot(name.replace("_", "/", 1), value, epoch)
        shown = " ".join(f"{name.removeprefix('validation_')} {value:.3f}" for name, value in scores.items())
        tqdm.write(message(f"epoch {epoch + 1}: {shown}; {caption}"))

    def _keep_best(self, name: str, value: float, folder: Path) -> None:
        # Ties prefer the later epoch: with a single validation photo CIDEr is 0 in every epoch.
        if value >= getattr(self.progress, name):
            setattr(self.progress, name, value)
            self._keep(folder)

    def _keep(self, folder: Path) -> None:
        checkpoints.save(folder, self.captioner, self.tokenizer)

    # Log

    def _log_step(self, epoch: int, loss: float, norm: float, bar: tqdm) -> None:
        bar.set_postfix(loss=f"{loss:.3f}")
        if not self.team.is_first:
            return
        rate = self.optimizer.param_groups[0]["lr"]
        self.rows.append({"step": self.progress.step, "epoch": epoch, "loss": loss, "lr": rate, "grad_norm": norm})
        for name, value in (("loss", loss), ("lr", rate), ("grad_norm", norm)):
            self._plot(f"training/{name}", value, self.progress.step)

    def _plot(self, name: str, value: float, step: int) -> None:
        if self.writer is not None:
            self.writer.add_scalar(name, value, step)


def _check_same_data(team: Ranks, train_set: Dataset) -> None:
    """Check that this rank reads the photos and captions that rank 0 reads.

    Raises:
        TrainingError: it does not.
    """
    if team.first(lambda: train_set.fingerprint) != train_set.fingerprint:
        raise TrainingError(
            f"{train_set.path}: rank {team.rank} reads other photos or captions than rank 0; every machine needs the "
            "same data"
        )


def _readable(usable: Dataset) -> tuple[Example, ...]:
    found = readable(usable).examples
    if not found:
        raise TrainingError(
            f"{usable.root}: none of the {len(usable.examples):,} photos can be used, expected at least one"
        )
    return found


def _division(size: int, accumulate: int) -> str:
    return f"{size} process{'es' if size > 1 else ''} and accumulate = {accumulate}"
