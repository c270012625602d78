"""Errors of the training."""


class TrainingError(ValueError):
    """Training cannot start or continue; the message says why and what to do."""
