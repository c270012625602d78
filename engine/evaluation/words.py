"""The stage that completes the table `words`: agreement, what a word claims, whether that is true, and the alarm.

Chunks store what the model says about its words. This stage judges every word, keeps the judged rows on disk, fits the
alarm to the nouns whose truth is known, and yields the rows with their alarm.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.diagnosis.agreement import Agreement
from engine.diagnosis.alarm import Alarm
from engine.diagnosis.lexicon import Mentions
from engine.evaluation.word_alarm import Alarms, ClaimSignals, signals_of
from engine.evaluation.word_judgement import Judge
from engine.store import schema


@dataclass(frozen=True)
class ChunkWords:
    """What chunks stored of some images, as tables."""

    words: pa.Table
    images: pa.Table
    samples: pa.Table
    hypotheses: pa.Table
    effects: pa.Table | None
    """Rows of `words` with the effects of covering only."""


class WordsStage:
    """The two passes over the words of a run; `rows` may be read once."""

    def __init__(
        self, folder: Path, chunks: Iterator[ChunkWords], judge: "Judging", given: Mapping[str, Alarm]
    ) -> None:
        """Judge all words.

        Args:
            folder: an empty folder for the judged rows.
            given: kind of claim -> alarm of other data, for claims whose truth is not known.
        """
        self._file = folder / "judged.parquet"
        signals = ClaimSignals()
        columns = schema.schema_of("words", []).append(pa.field("signals", pa.list_(pa.float64())))
        with pq.ParquetWriter(self._file, columns, compression="lz4") as writer:
            for chunk in chunks:
                rows = judge.rows(chunk)
                signals.add(rows)
                if rows:
                    writer.write_table(pa.Table.from_pylist(rows, schema=columns))
        self.alarms = Alarms(signals, given)

    def rows(self) -> Iterator[pa.Table]:
        """Yield the rows of `words` with their alarm."""
        source = pq.ParquetFile(self._file)
        for group in range(source.num_row_groups):
            table = source.read_row_group(group)
            at = table.schema.get_field_index("alarm")
            yield table.set_column(at, table.schema.field(at), self.alarms.of(table)).drop_columns(["signals"])


class Judging:
    """Adds agreement, fact, verdict and evidence to the words of chunks."""

    def __init__(self, labels: Sequence[str], judge: Callable[[Mapping[str, Any]], Judge]) -> None:
        """Prepare to judge.

        Args:
            labels: the objects whose names agree with one another.
            judge: makes the judge of the row of an image.
        """
        self._labels, self._judge = labels, judge

    def rows(self, chunk: ChunkWords) -> list[dict[str, Any]]:
        """Return the rows of a chunk's words."""
        mentions = Mentions(self._labels) if self._labels else None
        images = {row["image_id"]: row for row in chunk.images.to_pylist()}
        others, effects = _other_captions(chunk), _effects(chunk)
        agreements: dict[tuple[str, int], Agreement] = {}
        judges: dict[str, Judge] = {}
        judged: dict[tuple[str, ...], list[dict[str, Any]]] = {}  # captions that beam sizes share are judged once
        found = []
        for caption in _captions(chunk.words.to_pylist()):
            image_id, size = caption[0]["image_id"], caption[0]["beam_size"]
            key = image_id, size if (image_id, size) in others else 0
            if key not in agreements:
                agreements[key] = Agreement(others.get(key, ()), mentions)
            if image_id not in judges:
                judges[image_id] = self._judge(images[image_id])
            said = image_id, *(row["word"] for row in caption)
            if said not in judged:
                judged[said] = judges[image_id](said[1:])
            for row, more in zip(caption, judged[said], strict=True):
                row |= {"agreement": agreements[key].of(row["word"], row["label"]), **more}
                row |= effects.get((image_id, size, row["word_index"]), {})
            for row, signals in zip(caption, signals_of(caption), strict=True):
                found.append({**row, "signals": signals})
        return found


def _captions(rows: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of each caption."""
    start = 0
    for at in range(1, len(rows) + 1):
        if at == len(rows) or rows[at]["word_index"] == 0:
            yield list(rows[start:at])
            start = at


def _effects(chunk: ChunkWords) -> dict[tuple[str, int, int], dict[str, float | None]]:
    """Return (image id, beam size, word) -> the effects of covering."""
    if chunk.effects is None:
        return {}
    values = ("region_effect", "object_effect", "object_lift")
    rows = chunk.effects.select(["image_id", "beam_size", "word_index", *values]).to_pylist()
    return {
        (row["image_id"], row["beam_size"], row["word_index"]): {name: row[name] for name in values} for row in rows
    }


def _other_captions(chunk: ChunkWords) -> dict[tuple[str, int], list[str]]:
    """Return (image id, beam size) -> captions to compare with; samples serve all sizes and have size 0."""
    found: dict[tuple[str, int], list[str]] = {}
    if len(chunk.samples):
        for row in chunk.samples.to_pylist():
            found.setdefault((row["image_id"], 0), []).extend(row["captions"])
        return found
    for row in chunk.hypotheses.select(["image_id", "beam_size", "rank", "caption"]).to_pylist():
        if row["rank"] > 1:
            found.setdefault((row["image_id"], row["beam_size"]), []).append(row["caption"])
    return found
