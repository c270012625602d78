"""Where the chunks of a run are captioned: in this process, as one part of several jobs, or on a Ray cluster."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tqdm import tqdm

from engine.config import ConfigError, DecodingConfig
from engine.evaluation import chunks
from engine.evaluation.captioner_source import CaptionerFacts, CaptionerSource, facts_of
from engine.evaluation.chunks import Chunk, Work
from engine.protocols import Captioner


class Place(Protocol):
    """Where chunks are captioned."""

    @property
    def part(self) -> "Part | None":
        """The part of the run that is captioned here; None if it is all of it."""

    def facts(self, source: CaptionerSource, config: DecodingConfig) -> CaptionerFacts:
        """Load the captioner where chunks are captioned, and return what a run records of it."""

    def run(self, work: Work, missing: Sequence[Chunk]) -> Iterator[int]:
        """Caption chunks and yield the number of images of each when it is stored."""

    def metadata(self) -> Mapping[str, Any] | None:
        """Return the captioner's entries in run.json after captioning, None if they are those of `facts`."""


@dataclass(frozen=True)
class Part:
    """One of several jobs that share the chunks of a run."""

    number: int
    """From 1."""
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def has(self, chunk: int) -> bool:
        """Return whether this job captions a chunk, by its number."""
        return chunk % self.of == self.number - 1


def part_of(text: str) -> Part:
    """Return the part that `--part` names, such as 3/8.

    Raises:
        ConfigError: the text is not a part.
    """
    number, _, of = text.partition("/")
    if number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of) <= 100_000:
        return Part(int(number), int(of))
    raise ConfigError(f"--part {text}: expected the number of this job and of all jobs, such as 3/8")


class Here:
    """This process, with the captioner loaded once."""

    def __init__(self, part: Part | None = None) -> None:
        self.part = part
        self._captioner: Captioner | None = None

    def facts(self, source: CaptionerSource, config: DecodingConfig) -> CaptionerFacts:
        """Load the captioner and return its facts; see `Place`."""
        self._captioner = source.load()
        return facts_of(self._captioner, config)

    def run(self, work: Work, missing: Sequence[Chunk]) -> Iterator[int]:
        """Caption chunks; see `Place`."""
        captioner = self._captioner or work.source.load()
        yield from chunks.Worker(work, captioner).run(missing)

    def metadata(self) -> Mapping[str, Any] | None:
        """Return what the captioner says of itself now; endpoints count their requests."""
        return None if self._captioner is None else dict(self._captioner.metadata)


def compute(work: Work, every: Sequence[Chunk], place: Place, text: str, is_shared: bool = False) -> list[int]:
    """Compute the chunks that are not stored, and return the numbers of those that are still missing.

    Args:
        text: what is done, for the progress bar.
        is_shared: whether a part leaves the chunks of other parts to them.
    """
    chunks.fetch(work)
    part = place.part if is_shared else None
    own = [chunk for chunk in every if part is None or part.has(chunk.number)]
    missing = [chunk for chunk in own if not chunks.is_stored(work, chunk.number)]
    images = sum(len(chunk.examples) for chunk in own)
    initial = images - sum(len(chunk.examples) for chunk in missing)
    with tqdm(total=images, initial=initial, unit="image", desc=text) as bar:
        for count in place.run(work, missing) if missing else ():
            bar.update(count)
    chunks.fetch(work)
    return [chunk.number for chunk in every if not chunks.is_stored(work, chunk.number)]
