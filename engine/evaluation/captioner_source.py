"""A captioner by name, which any process can load, and what a run records of it.

The process that plans a run needs only the record: a cluster's workers load the captioner.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.captioners import registry
from engine.config import DecodingConfig
from engine.evaluation import metadata
from engine.evaluation.explanations import methods_for
from engine.protocols import Captioner, Explainer, TokenScorer

CHUNK = 64
"""Images per chunk, for captioners without a `chunk_size`."""


@dataclass(frozen=True)
class CaptionerSource:
    """The arguments of `captioners.registry.load`, which can be sent to another process."""

    name: str
    tokenizer: Path | None
    fallback: Path | None
    """A tokenizer file for a captioner without one."""
    device: str
    precision: str
    prompt: str | None
    model: str | None
    cache: Path
    device_map: str | None

    def load(self) -> Captioner:
        """Load the captioner; see `captioners.registry.load` for errors."""
        return registry.load(
            *(self.name, self.tokenizer, self.fallback, self.device, self.precision),
            *(self.prompt, self.model, self.cache, self.device_map),
        )


@dataclass(frozen=True)
class CaptionerFacts:
    """What a run needs to know of a captioner besides its captions and maps."""

    name: str
    fingerprint: str
    metadata: Mapping[str, Any]
    tokenizer: str | None
    """A digest of the tokenizer of our own captioners."""
    identity: Mapping[str, Any]
    """Settings of models with a prompt that must be equal for a run to continue."""
    passes: Mapping[str, str]
    """Search rule -> the kind of pass that maps come from, of our own captioners."""
    has_maps: bool
    scores_tokens: bool
    """Whether it is a `protocols.TokenScorer`."""
    methods: tuple[str, ...]
    """The explanation methods that it can be explained by."""
    chunk_size: int
    """The best number of images per call of `caption` on the device where it was loaded."""
    folder: Path | None
    """The folder of our own captioners."""
    trained_on: Mapping[str, int | None]
    """The training images as id -> file size in bytes, None if only the name is known."""


def facts_of(captioner: Captioner, config: DecodingConfig) -> CaptionerFacts:
    """Return the facts of a loaded captioner.

    Raises:
        HuggingFaceError: the model cannot be searched with the settings of `config`.
    """
    check = getattr(captioner, "check", None)  # of models that cannot be searched in every way
    if check is not None:
        check(config)
    words = getattr(captioner, "tokenizer_json", None)
    trained_on = getattr(captioner, "trained_on", None)
    return CaptionerFacts(
        name=captioner.name,
        fingerprint=captioner.fingerprint,
        metadata=dict(captioner.metadata),
        tokenizer=None if words is None else metadata.digest(words),
        identity=dict(getattr(captioner, "identity", {})),
        passes=dict(getattr(captioner, "attention_passes", {})),
        has_maps=isinstance(captioner, Explainer),
        scores_tokens=isinstance(captioner, TokenScorer),
        methods=methods_for(captioner),
        chunk_size=getattr(captioner, "chunk_size", CHUNK),
        folder=getattr(captioner, "folder", None),
        trained_on=trained_on() if trained_on is not None else {},
    )
