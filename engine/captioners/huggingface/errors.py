"""HuggingFaceError."""


class HuggingFaceError(ValueError):
    """A model of Hugging Face cannot be loaded or decoded; the message says why and what to do."""
