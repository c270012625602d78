"""CLIP zero-shot classification: templates x classes -> predictions with probabilities.

Knows feature arrays and names. Knows no model and no photo.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SLOT = "{object}"
TEMPLATES = ("This is a photo of {object}", "This is a {object} image.", "No {object}, no score.")
"""The study's three templates."""


class TemplateError(ValueError):
    """A template without the slot, or one that is there twice."""


@dataclass(frozen=True)
class Prediction:
    """One image under one template: class names with probabilities, best first."""

    top: tuple[tuple[str, float], ...]

    @property
    def label(self) -> str:
        """The predicted class."""
        return self.top[0][0]


def check(templates: Sequence[str]) -> None:
    """Checks templates before anything is computed with them.

    Raises:
        TemplateError: no `{object}` in one, or one twice, whose photos would be counted twice.
    """
    for number, template in enumerate(templates):
        prompts(template, [])
        if template in templates[:number]:
            raise TemplateError(f"template {template!r} is there twice; give each template once")


def prompts(template: str, labels: Sequence[str]) -> list[str]:
    """The template with each label in its slot.

    Raises:
        TemplateError: no `{object}` in it.
    """
    if SLOT not in template:
        raise TemplateError(f"template {template!r}: expected {SLOT} where the class name goes")
    return [template.replace(SLOT, label) for label in labels]


def classify(
    image_features: np.ndarray, text_features: np.ndarray, labels: Sequence[str], logit_scale: float, top: int = 5
) -> list[Prediction]:
    """Softmax over the classes with CLIP's learned scale.

    Args:
        image_features: float[N, D], normalised.
        text_features: float[C, D], normalised, one a label.
        labels: C class names.
        logit_scale: the learned factor, e.g. 100; without it all probabilities are nearly equal.
        top: how many guesses to keep.

    Returns:
        N predictions.
    """
    logits = logit_scale * (image_features.astype(np.float64) @ text_features.astype(np.float64).T)
    logits -= logits.max(axis=1, keepdims=True)
    probabilities = np.exp(logits)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    return [
        Prediction(tuple((labels[column], float(row[column])) for column in columns))
        for row, columns in zip(probabilities, best, strict=True)
    ]
