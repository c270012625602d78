"""Errors of trainings."""


class TrainingError(ValueError):
    """A training that cannot start or continue; the message says why and what to do."""
