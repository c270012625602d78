"""Caption chunks of images. A finished chunk is stored with what computed it, and is never computed again.

The same chunk gives the same tables in every process and on every machine with the same hardware, so it does not matter
who computes it, or whether two do.
"""

import os
import socket
import sys
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa

from engine.data.dataset import Dataset, Example
from engine.data.photos import read_ahead
from engine.evaluation import captioning, provenance
from engine.evaluation.captioner_source import CaptionerSource
from engine.evaluation.captioning import CaptionSettings, PreparedPhoto
from engine.evaluation.explanations import ExplainSettings
from engine.evaluation.provenance import Stopwatch
from engine.protocols import Captioner, Hypothesis
from engine.store import parts, tables
from engine.store.remote import Remote

WAITED = "wait for photos"

OUT_OF_TIME = 75
"""Exit status of a process whose chunk took too long (EX_TEMPFAIL)."""


@dataclass(frozen=True)
class Chunk:
    """Some images of a run, numbered from 0 in the order of the dataset."""

    number: int
    examples: Sequence[Example]
    maps_of: Mapping[int, frozenset[str]] | None = None
    """Beam size -> images that get maps of their finished captions; None: the images are captioned."""


def divided(dataset: Dataset, size: int) -> list[Chunk]:
    """Return the chunks of a dataset, of `size` images each; the last may have fewer."""
    starts = range(0, len(dataset.examples), size)
    return [Chunk(number, dataset.examples[at : at + size]) for number, at in enumerate(starts)]


@dataclass(frozen=True)
class Work:
    """What a process needs to caption the chunks of a run."""

    source: CaptionerSource
    dataset: Dataset
    """The dataset without its examples: those of a chunk come with it."""
    folder: Path
    """The run's folder."""
    stage: str
    settings: CaptionSettings
    times_sizes: bool = True
    """Whether each beam size is also timed alone, on the first chunk."""
    time_limit: float | None = None
    """Seconds after which a chunk that is not finished ends its process."""
    tables: tuple[str, ...] = captioning.TABLES
    """The tables of a chunk."""
    explain: ExplainSettings | None = None
    """What is explained of finished captions; None: their attention maps are computed."""
    remote: Remote | None = None
    """Where finished chunks are also stored, if the run's folder is a mirror."""

    @property
    def where(self) -> tuple[Path, str]:
        """Return the folder and the stage of the stored chunks, as functions of `store.parts` take them."""
        return self.folder, self.stage


@dataclass(frozen=True)
class Computed:
    """What is known of a stored chunk besides its tables."""

    images: int
    seconds: Mapping[str, float]
    """Seconds by part of the work."""
    node: str
    """The machine that computed it."""
    device: str
    """Its processor: `cpu`, or the name of the GPU."""


def fetch(work: Work) -> None:
    """Copy chunks that other machines have stored into the run's folder, if it is a mirror."""
    if work.remote is not None:
        work.remote.pull_chunks(parts.stage_folder(*work.where))


def is_stored(work: Work, number: int) -> bool:
    """Return whether a chunk is stored, by the descriptions of its tables; the maps are not read."""
    return parts.is_part(*work.where, number, list(work.tables))


def computed(work: Work, number: int) -> Computed:
    """Return what is known of a stored chunk; of one stored by an older version, nothing."""
    record = parts.read_part_record(*work.where, number)
    images, seconds, node, device = (record.get(name) for name in ("images", "seconds", "node", "device"))
    if isinstance(images, int) and isinstance(seconds, dict) and isinstance(node, str) and isinstance(device, str):
        return Computed(images, {name: float(each) for name, each in seconds.items()}, node, device)
    return Computed(0, {}, "", "")


def parts_of(work: Work, numbers: Iterable[int], table: str) -> Iterator[pa.Table]:
    """Yield a table of each of some stored chunks.

    Raises:
        ResultsError: a chunk is damaged; it is deleted, and the same command computes it again.
    """
    for number in numbers:
        yield parts.read_part_table(*work.where, number, table)


def rows_of(work: Work, numbers: Iterable[int], table: str) -> int:
    """Return the number of rows of a table of some stored chunks."""
    return sum(parts.part_rows(*work.where, number, table) for number in numbers)


def finished_captions(folder: Path, wanted: Mapping[int, frozenset[str]]) -> dict[int, dict[str, Hypothesis]]:
    """Return captions of a run: beam size -> image id -> caption."""
    columns = ["image_id", "beam_size", "caption", "words", "tokens", "finished"]
    rows = tables.read_images(folder, "captions", frozenset().union(*wanted.values()), columns).to_pylist()
    found: dict[int, dict[str, Hypothesis]] = {}
    for row in rows:
        if row["image_id"] in wanted.get(row["beam_size"], ()):
            tokens = None if row["tokens"] is None else tuple(row["tokens"])
            caption = Hypothesis(row["caption"], tuple(row["words"]), tokens, finished=row["finished"])
            found.setdefault(row["beam_size"], {})[row["image_id"]] = caption
    return found


class Worker:
    """Captions chunks in this process; the captioner stays loaded."""

    def __init__(self, work: Work, captioner: Captioner, node: str | None = None, readers: int | None = None) -> None:
        """Prepare to caption.

        Args:
            node: the name of this machine, if it is not that of the host.
            readers: threads that read photos.
        """
        self._work, self._captioner = work, captioner
        self._node = node or socket.gethostname()
        self._device = str(provenance.hardware(work.source.device).get("gpu", work.source.device))
        self._readers = readers or min(os.cpu_count() or 2, 8)
        self._model, self._idle_since = threading.Lock(), time.perf_counter()
        self._read = captioning.reader(work.dataset, captioner)

    def run(self, chunks: Sequence[Chunk]) -> Iterator[int]:
        """Caption chunks and yield the number of images of each when it is stored.

        The photos of the next two chunks are read while one is captioned, and a chunk is stored while the next one is
        captioned.
        """
        every = [example for chunk in chunks for example in chunk.examples]
        ahead = 2 * max((len(chunk.examples) for chunk in chunks), default=1)
        photos = read_ahead(every, self._read, workers=self._readers, ahead=ahead)
        with ThreadPoolExecutor(1) as writer:
            before: Future[int] | None = None
            for chunk in chunks:
                watch = Stopwatch()
                with self._limited(chunk):
                    with watch.measure(WAITED):
                        some = [next(photos) for _ in chunk.examples]
                    found = self._caption(chunk, some, watch)
                if before is not None:
                    yield before.result()
                before = writer.submit(self._store, chunk, found, watch)
            if before is not None:
                yield before.result()

    def one(self, chunk: Chunk) -> int:
        """Caption one chunk, store it and return the number of images.

        Several threads may call it: one reads photos while another uses the model.
        """
        watch = Stopwatch()
        with self._limited(chunk):
            some = list(read_ahead(chunk.examples, self._read, workers=self._readers))
        with self._model, self._limited(chunk):
            watch.add({WAITED: time.perf_counter() - self._idle_since})
            found = self._caption(chunk, some, watch)
            self._idle_since = time.perf_counter()
        return self._store(chunk, found, watch)

    def _caption(self, chunk: Chunk, photos: Sequence[PreparedPhoto], watch: Stopwatch) -> dict[str, pa.Table]:
        settings, model = self._work.settings, self._captioner
        if chunk.maps_of is not None:
            if self._work.remote is not None:
                self._work.remote.pull_table(self._work.folder, "captions")
            finished = finished_captions(self._work.folder, chunk.maps_of)
            if self._work.explain is not None:
                known = (photos, finished, settings.decoding, self._work.explain, watch)
                return captioning.explain(model, chunk.examples, *known)
            return captioning.replay(model, chunk.examples, photos, finished, settings, watch)
        is_timed = self._work.times_sizes and chunk.number == 0
        return captioning.caption(model, chunk.examples, photos, settings, watch, is_timed)

    def _store(self, chunk: Chunk, found: dict[str, pa.Table], watch: Stopwatch) -> int:
        record = Computed(len(chunk.examples), watch.seconds, self._node, self._device)
        parts.write_part(*self._work.where, chunk.number, found, asdict(record))
        if self._work.remote is not None:
            self._work.remote.push_chunk(parts.part_folder(*self._work.where, chunk.number))
        return len(chunk.examples)

    @contextmanager
    def _limited(self, chunk: Chunk) -> Generator[None]:
        """End the process if the chunk takes too long: a call that hangs in a driver cannot be interrupted."""
        if self._work.time_limit is None:
            yield
            return

        def end() -> None:
            print(
                f"error: chunk {chunk.number} (from image {chunk.examples[0].file_name}) took more than "
                f"{self._work.time_limit:g} s, see --chunk-limit; finished chunks are kept",
                file=sys.stderr,
                flush=True,
            )
            os._exit(OUT_OF_TIME)

        timer = threading.Timer(self._work.time_limit, end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
