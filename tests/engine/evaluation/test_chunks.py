"""Captioning in chunks: what is kept in memory, and what is on the disk."""

import gc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.config import DecodingConfig
from engine.data import registry
from engine.evaluation import chunks
from engine.evaluation.captioning import CaptionSettings
from engine.evaluation.grounding import grounding_of
from engine.evaluation.run import RunInProgress
from engine.explain.attention import WordMaps
from engine.protocols import Hypothesis
from engine.store import tables
from tests.support import tiny

CONFIG = DecodingConfig(beam_sizes=(1, 3))
IMAGES, SIDE, HEADS = 48, 64, 32
MAP = 2 * HEADS * SIDE * SIDE
"""Bytes of the maps of one caption: two words."""


class Large:
    """A captioner without a model whose maps are large."""

    name, fingerprint, metadata, chunk_size = "large", "large-1", {}, 4

    def read(self, photo):
        return np.asarray(photo)

    def caption(self, photos, image_ids, config):
        every = [[Hypothesis("a dog", ("a", "dog"))] for _ in photos]
        return dict.fromkeys(config.beam_sizes, every)

    def maps(self, photos, captions, config, merge):
        generator = np.random.default_rng(len(photos))
        return [WordMaps.of(c.words, generator.random((2, 1, HEADS, SIDE * SIDE)), (SIDE, SIDE)) for c in captions]

    def crop(self, width, height):
        return 0.0, 0.0, float(width), float(height)


@pytest.fixture
def run(tmp_path):
    found = RunInProgress("large", tmp_path / "results", {"kind": "captioner"}, "")
    assert found.begin()
    return found


def captioned(run: RunInProgress, tmp_path) -> dict[str, pa.Table]:
    dataset = registry.load(tiny.coco(tmp_path / "data", count=IMAGES))
    return chunks.caption_all(run, Large(), dataset, CaptionSettings(CONFIG, (1, 3), "mean"))


def test_maps_are_never_in_memory_together(run, tmp_path, monkeypatch):
    """Arrow holds the maps of a few chunks while they are computed, joined and read for grounding."""
    held: list[int] = []

    def watched(function):
        def called(*arguments):
            gc.collect()
            held.append(pa.total_allocated_bytes())
            return function(*arguments)

        return called

    monkeypatch.setattr(tables, "write_part", watched(tables.write_part))
    monkeypatch.setattr(tables, "read_part_table", watched(tables.read_part_table))
    before = pa.total_allocated_bytes()
    found = captioned(run, tmp_path)
    for _ in grounding_of(found["images"], run.folder):
        held.append(pa.total_allocated_bytes())
    assert "attention" not in found and len(found["captions"]) == 2 * IMAGES
    chunk = 2 * Large.chunk_size * MAP
    assert len(held) >= 2 * IMAGES // Large.chunk_size + 1
    assert max(held) - before < 6 * chunk < 2 * IMAGES * MAP


def test_the_table_has_the_maps_of_all_chunks_in_order_and_in_groups_of_a_few_megabytes(run, tmp_path):
    captioned(run, tmp_path)
    rows = tables.read_table(run.folder, "attention")
    assert len(rows) == 2 * IMAGES
    sizes = rows["beam_size"].to_pylist()
    assert sizes == ([1] * Large.chunk_size + [3] * Large.chunk_size) * (IMAGES // Large.chunk_size)
    file = pq.ParquetFile(run.folder / "attention.parquet").metadata
    groups = [file.row_group(at).num_rows for at in range(file.num_row_groups)]
    assert groups[:-1] == [4 * 2**20 // MAP] * (len(groups) - 1) and len(groups) > 1


def test_grounding_of_a_run_is_that_of_its_maps_whatever_the_chunks(run, tmp_path):
    found = captioned(run, tmp_path)
    rows = pa.concat_tables(grounding_of(found["images"], run.folder)).to_pylist()
    assert {row["beam_size"] for row in rows} == {1, 3}
    assert {row["label"] for row in rows} == {"dog"} and {row["word_index"] for row in rows} == {1}
    at_noun = [row for row in rows if row["offset"] == 0]
    assert len(at_noun) == 2 * IMAGES * (HEADS + 1)
    assert all(row["shuffled_hit"] is not None for row in at_noun)
