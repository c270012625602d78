"""Captioning in chunks: what is kept in memory, and what is on the disk."""

import gc
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.config import DecodingConfig
from engine.data import registry
from engine.data.dataset import Dataset
from engine.evaluation import chunks
from engine.evaluation.captioner_source import CaptionerSource
from engine.evaluation.captioning import CaptionSettings
from engine.evaluation.chunks import Computed, Work
from engine.evaluation.grounding import grounding_of
from engine.evaluation.run import RunInProgress
from engine.explain.attention import WordMaps
from engine.protocols import Hypothesis
from engine.store import parts
from engine.store.tables import read_table
from tests.conftest import ROOT
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


def work_of(run: RunInProgress, dataset: Dataset, **more) -> Work:
    source = CaptionerSource("large", None, None, "cpu", "float32", None, None, run.folder, None)
    settings = CaptionSettings(CONFIG, (1, 3), "mean")
    return Work(source, dataset.subset(()), run.folder, "captions_4", settings, **more)


def captioned(run: RunInProgress, tmp_path) -> None:
    dataset = registry.load(tiny.coco(tmp_path / "data", count=IMAGES))
    work, every = work_of(run, dataset), chunks.divided(dataset, Large.chunk_size)
    assert sum(chunks.Worker(work, Large()).run(every)) == IMAGES
    for table in ("images", "captions", "attention"):
        run.write_rows(table, chunks.parts_of(work, range(len(every)), table))


def test_maps_are_never_in_memory_together(run, tmp_path, monkeypatch):
    """Arrow holds the maps of a few chunks while they are computed, joined and read for grounding."""
    held: list[int] = []

    def watched(function):
        def called(*arguments):
            gc.collect()
            held.append(pa.total_allocated_bytes())
            return function(*arguments)

        return called

    monkeypatch.setattr(parts, "write_part", watched(parts.write_part))
    monkeypatch.setattr(parts, "read_part_table", watched(parts.read_part_table))
    before = pa.total_allocated_bytes()
    captioned(run, tmp_path)
    for _ in grounding_of(run.folder):
        held.append(pa.total_allocated_bytes())
    assert len(read_table(run.folder, "captions")) == 2 * IMAGES
    chunk = 2 * Large.chunk_size * MAP
    assert len(held) >= 2 * IMAGES // Large.chunk_size + 1
    assert max(held) - before < 8 * chunk < 2 * IMAGES * MAP


def test_the_table_has_the_maps_of_all_chunks_in_order_and_in_groups_of_a_few_megabytes(run, tmp_path):
    captioned(run, tmp_path)
    rows = read_table(run.folder, "attention")
    assert len(rows) == 2 * IMAGES
    sizes = rows["beam_size"].to_pylist()
    assert sizes == ([1] * Large.chunk_size + [3] * Large.chunk_size) * (IMAGES // Large.chunk_size)
    file = pq.ParquetFile(run.folder / "attention.parquet").metadata
    groups = [file.row_group(at).num_rows for at in range(file.num_row_groups)]
    assert groups[:-1] == [4 * 2**20 // MAP] * (len(groups) - 1) and len(groups) > 1


def test_grounding_of_a_run_is_that_of_its_maps_whatever_the_chunks(run, tmp_path):
    captioned(run, tmp_path)
    rows = pa.concat_tables(grounding_of(run.folder)).to_pylist()
    assert {row["beam_size"] for row in rows} == {1, 3}
    assert {row["label"] for row in rows} == {"dog"} and {row["word_index"] for row in rows} == {1}
    at_noun = [row for row in rows if row["offset"] == 0]
    assert len(at_noun) == 2 * IMAGES * (HEADS + 1)
    assert all(row["shuffled_hit"] is not None for row in at_noun)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"images": "4", "seconds": {}, "node": "a", "device": "b"}'])
def test_a_chunk_without_a_readable_record_is_used_and_its_time_is_not_known(run, tmp_path, content):
    captioned(run, tmp_path)
    work = work_of(run, registry.load(tmp_path / "data"))
    assert chunks.computed(work, 0).images == Large.chunk_size
    (run.folder / ".parts" / "captions_4" / "000000" / "computed.json").write_text(content)
    assert chunks.is_stored(work, 0) and chunks.computed(work, 0) == Computed(0, {}, "", "")


def test_threads_that_share_a_worker_store_the_same_chunks(run, tmp_path):
    dataset = registry.load(tiny.coco(tmp_path / "data", count=IMAGES))
    work, every = work_of(run, dataset), chunks.divided(dataset, Large.chunk_size)
    worker = chunks.Worker(work, Large(), node="one", readers=2)
    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(worker.one, every)) == IMAGES
    alone = RunInProgress("alone", tmp_path / "results", {"kind": "captioner"}, "")
    assert alone.begin()
    list(chunks.Worker(work_of(alone, dataset), Large()).run(every))
    for table in ("images", "captions", "attention"):
        for number in range(len(every)):
            path = Path(".parts", "captions_4", f"{number:06d}", f"{table}.parquet")
            assert (run.folder / path).read_bytes() == (alone.folder / path).read_bytes()
    record = chunks.computed(work, 0)
    assert record.node == "one" and record.device == "cpu" and record.seconds["decode"] >= 0


def test_a_chunk_that_takes_too_long_ends_the_process_and_keeps_finished_ones(tmp_path):
    tiny.coco(tmp_path / "data", count=8)
    source = f"""
import time
from pathlib import Path
from engine.data import registry
from engine.evaluation import chunks
from engine.evaluation.run import RunInProgress
from tests.engine.evaluation.test_chunks import Large, work_of

class Stuck(Large):
    def caption(self, photos, image_ids, config):
        if "000000000005" in image_ids:
            time.sleep(60)
        return super().caption(photos, image_ids, config)

folder = Path({str(tmp_path)!r})
dataset = registry.load(folder / "data")
run = RunInProgress("stuck", folder / "results", {{"kind": "captioner"}}, "")
run.begin()
worker = chunks.Worker(work_of(run, dataset, time_limit=2), Stuck())
list(worker.run(chunks.divided(dataset, 4)))
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == chunks.OUT_OF_TIME
    assert "chunk 1 (from image 000000000005.jpg) took more than 2 s, see --chunk-limit" in done.stderr
    stored = tmp_path / "results" / "runs" / "stuck" / ".parts" / "captions_4"
    assert [path.name for path in stored.iterdir()] == ["000000"]
