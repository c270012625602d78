"""The loss of a captioner: teacher-forced cross-entropy, in one module with everything that has gradients."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.captioners.native.captioner import CaptionerModel
from engine.config import TrainingConfig
from engine.models.tokenizer import CaptionTokenizer
from engine.training.images import KeptFeatures, ReadPhotos

_IGNORED = -100  # the default ignore_index of cross_entropy


class CaptionLoss(nn.Module):
    """Cross-entropy of captions given images.

    Data-parallel training needs the whole computation, from the images to the loss, inside `forward`.
    """

    def __init__(
        self,
        captioner: CaptionerModel,
        images: KeptFeatures | ReadPhotos,
        tokenizer: CaptionTokenizer,
        config: TrainingConfig,
    ) -> None:
        super().__init__()
        self.captioner = captioner
        self._images, self._tokenizer, self._config = images, tokenizer, config

    def forward(
        self, source: Tensor, rows: Tensor, ids: Tensor, share: float = 0.0, scale: float | None = None
    ) -> Tensor:
        """Return the loss of captions ids int64[B, T]; caption i belongs to image rows[i] of `source`.

        Args:
            share: probability that scheduled sampling replaces an input token.
            scale: factor of the sum over tokens; None takes the mean over tokens.
        """
        with autocast(ids.device, self._config):
            memory = self._images.memory(source)
            inputs, targets = ids[:, :-1], ids[:, 1:]
            if self._config.scheduled_sampling:
                inputs = self._sampled(inputs, memory, rows, share)
            logits = self.captioner.logits(inputs, memory, rows)
            loss = F.cross_entropy(
                logits.float().flatten(0, 1),
                targets.where(targets.ne(self._tokenizer.pad_id), _IGNORED).flatten(),
                ignore_index=_IGNORED,
                label_smoothing=self._config.label_smoothing,
                # Not a sum times 1 / tokens, whose last digits differ from those of the mean.
                reduction="mean" if scale is None else "sum",
            )
        return loss if scale is None else loss * scale

    def _sampled(self, inputs: Tensor, memory: Tensor, rows: Tensor, share: float) -> Tensor:
        """Return inputs int64[B, T] with a share of the tokens replaced by the model's predictions."""
        with torch.no_grad():
            guesses = self.captioner.logits(inputs[:, :-1], memory.detach(), rows).argmax(-1)
        special = inputs.eq(self._tokenizer.pad_id) | inputs.eq(self._tokenizer.eos_id)
        replaced = (torch.rand(inputs.shape, device=inputs.device) < share) & special.logical_not()
        replaced[:, 0] = False  # the start token stays
        return inputs.where(replaced.logical_not(), torch.cat([inputs[:, :1], guesses], dim=1))


def autocast(device: torch.device, config: TrainingConfig) -> torch.autocast:
    """Return the context of the training's precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16")
