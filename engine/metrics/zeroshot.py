"""CLIP zero-shot classification: templates x classes -> predictions with probabilities.

Works on feature arrays and class names; needs no model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SLOT = "{object}"
TEMPLATES = ("This is a photo of {object}", "This is a {object} image.", "No {object}, no score.")
"""The study's three templates."""


class TemplateError(ValueError):
    """A template without the slot, or one that is given twice."""


@dataclass(frozen=True)
class Prediction:
    """The prediction for one image and template: class names with probabilities, most probable first."""

    top: tuple[tuple[str, float], ...]

    @property
    def label(self) -> str:
        """The predicted class."""
        return self.top[0][0]


def check(templates: Sequence[str]) -> None:
    """Check templates before anything is computed.

    Raises:
        TemplateError: a template lacks `{object}`, or is given twice, so that its photos would be counted twice.
    """
    for number, template in enumerate(templates):
        prompts(template, [])
        if template in templates[:number]:
            raise TemplateError(f"template {template!r} is given twice; give each template once")


def prompts(template: str, labels: Sequence[str]) -> list[str]:
    """Return the template with each label in its slot.

    Raises:
        TemplateError: the template lacks `{object}`.
    """
    if SLOT not in template:
        raise TemplateError(f"template {template!r}: expected {SLOT} where the class name goes")
    return [template.replace(SLOT, label) for label in labels]


def classify(
    image_features: np.ndarray, text_features: np.ndarray, labels: Sequence[str], logit_scale: float, top: int = 5
) -> list[Prediction]:
    """Classify images by a softmax over the classes with CLIP's learned scale.

    Args:
        image_features: float[N, D], normalised.
        text_features: float[C, D], normalised, one per label.
        labels: C class names.
        logit_scale: the learned factor, e.g. 100; without it all probabilities are nearly equal.
        top: number of predictions to keep.

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
