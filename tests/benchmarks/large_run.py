"""A run of any number of images at eleven beam sizes, generated from hashes by DuckDB directly into Parquet files.

A million images take a minute and a gigabyte. Captions are in the order of images and scores in the order of beam
sizes, as `evaluate` writes them. `engine.evaluation.page_answers` adds the stored answers.
"""

import json
from pathlib import Path

import duckdb
import numpy as np
from PIL import Image, ImageDraw

from engine.evaluation import page_answers
from engine.evaluation.run import RunInProgress
from engine.store import records
from engine.store.schema import TABLES, VERSION

BEAMS = [1, 3, 4, 5, 6, 7, 8, 9, 10, 15, 100]
METRICS = ["cider", "bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "clipscore", "refclipscore"]
RUN = "large"
_PHOTOS = 300
_SHARD = 250_000  # images of a file of captions

_BOX = "STRUCT(label VARCHAR, x DOUBLE, y DOUBLE, width DOUBLE, height DOUBLE)[]"
_TAGS = "STRUCT(tag VARCHAR, evidence VARCHAR)[]"


def make(results: Path, images: int, *, with_answers: bool = True) -> None:
    """Write the run, unless it exists with the same number of images."""
    folder = records.run_folder(results, RUN)
    record = records.read_record(folder) if folder.is_dir() else None
    if record is not None and record["data"]["images"] == images:
        return
    photos = _draw_photos(results.parent / "photos")
    connection = duckdb.connect(":memory:")
    connection.execute("SET memory_limit = '3GB'")
    connection.execute("CREATE TABLE vocabulary AS SELECT ?::VARCHAR[] AS vocabulary", [_words()])
    connection.execute("CREATE MACRO uniform(a, b, c) AS (hash(a, b, c) % 1000003 + 1) / 1000004.0")
    connection.register("no_words", TABLES["words"].empty_table())
    ends = list(range(0, images, _SHARD))
    for place, start in enumerate(ends):
        stop = min(start + _SHARD, images)
        _write(connection, folder, "images", place, len(ends), _images(start, stop))
        _write(connection, folder, "captions", place, len(ends), _captions(start, stop))
        _write(connection, folder, "words", place, len(ends), _words_of(start, stop))
    for place, beam in enumerate(BEAMS):
        _write(connection, folder, "scores", place, len(BEAMS), _scores(beam, images))
    _write(connection, folder, "corpus_scores", 0, 1, _corpus(images))
    connection.close()
    if with_answers:
        page_answers.write(RunInProgress(RUN, results, {}, ""))
    (folder / "run.json").write_text(json.dumps(_record(images, photos)), encoding="utf-8")


def _words() -> list[str]:
    consonants, vowels = "bcdfghklmnprstvw", "aeiou"
    return [a + b + c + d for a in consonants for b in vowels for c in consonants[:8] for d in vowels[:3]]


def _draw_photos(folder: Path) -> Path:
    """Write 300 photos of a typical size, so that thumbnails take a realistic time."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(1)
    for number in range(_PHOTOS):
        coarse = generator.integers(0, 255, (12, 16, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((640, 480), Image.Resampling.BICUBIC)
        ImageDraw.Draw(image).text((20, 20), str(number), fill="white")
        image.save(folder / f"{number:03d}.jpg", quality=90)
    return folder


def _write(
    connection: duckdb.DuckDBPyConnection, folder: Path, table: str, place: int, count: int, select: str
) -> None:
    file = folder / f"{table}.parquet" if count == 1 else folder / table / f"{place + 1:03d}-of-{count:03d}.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    options = "FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 65536"
    connection.execute(f"COPY ({select}) TO '{file}' ({options})")


_ID = "printf('photo_%07d', i) AS image_id"


def _sentence(seed: str) -> str:
    """Return ten words, of which low numbers are frequent, as in natural language."""
    place = f"least(floor(pow(uniform(i, {seed}, place), -3.3333)), len(vocabulary))::INT"
    return f"list_transform(range(10), lambda place: vocabulary[{place}])"


def _images(start: int, stop: int) -> str:
    references = ", ".join(f"array_to_string({_sentence(str(-1 - number))}, ' ')" for number in range(5))
    return f"""
        SELECT {_ID}, printf('%03d.jpg', i % {_PHOTOS}) AS file_name, 640::INT AS width, 480::INT AS height,
            [{references}] AS "references", []::{_BOX} AS objects, []::{_BOX} AS crowds,
            [[], ['dark'], ['small'], ['dark', 'blurred']][1 + (hash(i, 5) % 4)::INT]::VARCHAR[] AS conditions
        FROM range({start}, {stop}) t(i), vocabulary
    """


def _captions(start: int, stop: int) -> str:
    """One caption in five differs from that of the other beam sizes."""
    return f"""
        SELECT {_ID}, beam AS beam_size, array_to_string(said, ' ') AS caption, said AS words,
            -10 * uniform(i, beam, 7) AS logprob, -uniform(i, beam, 7) AS score, uniform(i, beam, 8) > 0.01 AS finished,
            NULL::INT[] AS tokens
        FROM (
            SELECT i, beam, {_sentence("if(hash(i, beam) % 5 = 0, beam, 3)")} AS said
            FROM (
                SELECT i, beam FROM range({start}, {stop}) t(i), (SELECT unnest({BEAMS}::INT[]) AS beam)
                ORDER BY i // 256, beam, i
            ), vocabulary
        )
    """


def _words_of(start: int, stop: int) -> str:
    """Ten words per caption; every fifth is a noun with an alarm, as one in a captioner's caption is."""
    alarm = "pow(uniform(i, beam, 20 + place), 3)::FLOAT"
    numbers = ", ".join(
        f"uniform(i, beam, {seed} + place)::FLOAT AS {name}"
        for seed, name in enumerate(("logprob", "entropy", "gain_grey", "gain_other", "agreement"), 30)
    )
    return f"""
        FROM no_words UNION ALL BY NAME
        SELECT image_id, beam_size, (place - 1)::INT AS word_index, words[place] AS word, 1::INT AS rank, {numbers},
            if(noun, words[place], NULL) AS label, if(noun, 'object', NULL) AS fact, if(noun, {alarm}, NULL) AS alarm,
            if(noun, if({alarm} > 0.8, 'wrong', 'correct'), NULL) AS verdict,
            if(noun, '1 boxes, 2 of 5 references', NULL) AS evidence
        FROM (
            SELECT *, unnest(range(1, 11)) AS place, place % 5 = 0 AS noun
            FROM (SELECT i, beam_size AS beam, * FROM ({_captions(start, stop)}) captions
                JOIN (SELECT i, {_ID} FROM range({start}, {stop}) t(i)) USING (image_id))
            ORDER BY i // 256, beam, i, place
        )
    """


def _scores(beam: int, images: int) -> str:
    noise = {metric: f"0.3 * (uniform(i, {beam}, {100 + place}) - 0.5)" for place, metric in enumerate(METRICS)}
    values = ", ".join(
        f"least(1, greatest(0, uniform(i, 0, 99) + {each}))::DOUBLE AS {metric}" for metric, each in noise.items()
    )
    generic, repeated = "{'tag': 'generic', 'evidence': 'x'}", "{'tag': 'repetition', 'evidence': 'a dog a dog'}"
    tags = f"[[], [], [], [], [], [], [], [{generic}], [{repeated}]][1 + (hash(i, {beam}, 9) % 9)::INT]"
    draw = f"hash(i, {beam})"
    counts = f"[10, 9 + {draw} % 4, 10, 9, 8, 7, 5 + {draw} % 5, 3 + {draw} % 3, {draw} % 3, {draw} % 2]"
    return f"""
        SELECT {_ID}, {beam}::INT AS beam_size, {values}, false AS clip_truncated, {tags}::{_TAGS} AS tags,
            {counts}::INT[] AS bleu_counts, NULL::INT[] AS meteor_counts, NULL::INT[] AS chair_counts
        FROM range({images}) t(i)
    """


def _corpus(images: int) -> str:
    return f"""
        SELECT beam::INT AS beam_size, metric, 0.5::DOUBLE AS "value", 0.49::DOUBLE AS low, 0.51::DOUBLE AS high,
            {images}::INT AS images, '' AS signature
        FROM (SELECT unnest({BEAMS}) AS beam), (SELECT unnest({METRICS}) AS metric)
    """


def _record(images: int, photos: Path) -> dict:
    return {
        "run": RUN,
        "schema_version": VERSION,
        "kind": "captioner",
        "created": "2026-01-01T00:00:00",
        "data": {"name": "drawn", "split": "val", "images": images},
        "roots": {"images": str(photos)},
        "beam_sizes": BEAMS,
    }
