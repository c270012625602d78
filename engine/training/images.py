"""The images for training: cached features of a frozen encoder, or photos that are read for every batch."""

import math
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2
from tqdm import tqdm

from engine.captioners.native.captioner import CaptionerModel
from engine.config import TrainingConfig
from engine.data.dataset import Dataset
from engine.data.photos import open_photo, read_ahead
from engine.training.errors import TrainingError
from engine.writing import no_space, replacing, sync_folder

ENCODE_BATCH = 32


class KeptFeatures:
    """Encoder features of all images, computed once and stored in a file, float16[N, P, width].

    Args:
        is_first: this is rank 0, which computes them; other ranks read its file.

    Raises:
        TrainingError: another rank does not find the file of rank 0.
        OSError: the file cannot be written.
    """

    def __init__(
        self, captioner: CaptionerModel, dataset: Dataset, file: Path, device: torch.device, is_first: bool = True
    ) -> None:
        self._captioner, self._device = captioner, device
        shape = (len(dataset.examples), *self._shape())
        if is_first:
            self._compute_once(dataset, file, 2 * math.prod(shape))
        elif file_size(file) != 2 * math.prod(shape):
            raise TrainingError(
                f"{file}: not the features that rank 0 has written; --out must be a folder that all machines share"
            )
        self._features = np.memmap(file, np.float16, "r", shape=shape)

    def _compute_once(self, dataset: Dataset, file: Path, size: int) -> None:
        """Write the file of `size` bytes if it is not there or belongs to other photos or another encoder."""
        key = f"{dataset.fingerprint} {_encoder_fingerprint(self._captioner)}".encode()
        mark = file.with_suffix(".key")
        if mark.is_file() and mark.read_bytes() == key and file_size(file) == size:
            return
        # The key is written last and removed first: an interruption must not leave that of an incomplete file.
        mark.unlink(missing_ok=True)
        sync_folder(mark.parent)
        try:
            self._compute(dataset, file)
        except OSError as error:
            raise no_space(file, error) or error from error
        with replacing(mark) as temporary:
            temporary.write_bytes(key)

    def _compute(self, dataset: Dataset, file: Path) -> None:
        """Write the features of all images batch by batch.

        A truncated file is recognised by its size, and a full disk raises an error; with mapped memory it would kill
        the process by a signal.
        """
        prepare = self._captioner.preprocessing.window_bytes
        paths = [dataset.photo(example) for example in dataset.examples]
        bar = tqdm(read_ahead(paths, lambda path: prepare(open_photo(path))), "encode photos", len(paths))
        with file.open("wb") as kept, torch.inference_mode():
            for batch in _batched(iter(bar), ENCODE_BATCH):
                pixels = self._captioner.pixels(torch.from_numpy(np.stack(batch)).to(self._device))
                kept.write(self._captioner.features(pixels).half().cpu().numpy().tobytes())
            kept.flush()
            os.fsync(kept.fileno())

    def _shape(self) -> tuple[int, int]:
        size = self._captioner.config.image_size
        with torch.inference_mode():
            found = self._captioner.eval().features(torch.zeros(1, 3, size, size, device=self._device))
        return found.shape[1], found.shape[2]

    def batches(self, rows: Sequence[Sequence[int]]) -> Iterator[Tensor]:
        """Yield the features of each batch of images, float[B, P, width]."""
        for batch in rows:
            yield torch.from_numpy(self._features[list(batch)]).to(self._device).float()

    def memory(self, features: Tensor) -> Tensor:
        """Return the memory for the decoder, [B, P, D]."""
        return self._captioner.projection(features)


class ReadPhotos:
    """Photos that are read for every batch, optionally augmented; the encoder runs in the training step."""

    def __init__(
        self, captioner: CaptionerModel, dataset: Dataset, config: TrainingConfig, device: torch.device
    ) -> None:
        self._captioner, self._device, self._frozen = captioner, device, config.freeze_encoder
        self._paths = [dataset.photo(example) for example in dataset.examples]
        self._augment = v2.Compose([v2.RandomHorizontalFlip(), v2.RandAugment()]) if config.augment else None

    def batches(self, rows: Sequence[Sequence[int]]) -> Iterator[Tensor]:
        """Yield the pixels of each batch, float32[B, 3, S, S]."""
        flat = [self._paths[row] for batch in rows for row in batch]
        photos = read_ahead(flat, lambda path: self._captioner.preprocessing.window(open_photo(path)))
        for batch in rows:
            # Augmented here and not in the reading threads, so that the order of random draws is fixed.
            windows = [self._augmented(next(photos)) for _ in batch]
            yield torch.from_numpy(np.stack(windows)).to(self._device)

    def _augmented(self, window: Image.Image) -> np.ndarray:
        changed = window if self._augment is None else self._augment(window)
        return self._captioner.preprocessing.normalise(np.asarray(changed, dtype=np.uint8))

    def memory(self, pixels: Tensor) -> Tensor:
        """Return the memory for the decoder, [B, P, D]."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self._frozen):
            features = self._captioner.features(pixels)
        return self._captioner.projection(features)


def create(
    captioner: CaptionerModel,
    dataset: Dataset,
    config: TrainingConfig,
    file: Path,
    device: torch.device,
    is_first: bool = True,
) -> KeptFeatures | ReadPhotos:
    """Return cached features if the encoder is frozen and photos are not augmented, else photos that are read."""
    if config.freeze_encoder and not config.augment:
        return KeptFeatures(captioner, dataset, file, device, is_first)
    return ReadPhotos(captioner, dataset, config, device)


def file_size(file: Path) -> int:
    """Return the size of a file in bytes, -1 if it does not exist."""
    return file.stat().st_size if file.is_file() else -1


def _encoder_fingerprint(captioner: CaptionerModel) -> str:
    total = sum(float(tensor.double().abs().sum()) for tensor in captioner.encoder.state_dict().values())
    return f"{captioner.config.encoder} {total!r} {captioner.preprocessing}"


def _batched(items: Iterator, size: int) -> Iterator[list]:
    """Yield the items in lists of `size`; the last may be shorter."""
    while batch := list(islice(items, size)):
        yield batch
