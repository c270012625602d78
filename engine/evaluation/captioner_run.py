"""A dataset and a captioner become a run in the results: the stages in their order.

Knows what is done already. Computes nothing itself: each stage is a module. What takes long is kept chunk by chunk, so
that a killed run, started again, continues and ends with the same tables. Files of predictions and zero-shot
classification have modules of their own (`predictions_run`, `zeroshot_run`).
"""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from tqdm import tqdm

from engine.captioners.native import checkpoints
from engine.captioners.native.captioner import Captioner
from engine.config import DecodingConfig
from engine.data.dataset import Dataset, Example
from engine.data.photos import PhotoError, Preprocessing, open_photo, read_ahead
from engine.decoding import memory
from engine.decoding.batched import Search, in_jobs, jobs_for
from engine.decoding.steps import TokenHypothesis
from engine.diagnosis import grounding
from engine.evaluation import metadata, nbest, provenance, zeroshot_run
from engine.evaluation.run import RunInProgress
from engine.evaluation.scoring import ClipSettings, write_scores
from engine.explain import attention
from engine.metrics import base, zeroshot
from engine.models.tokenizer import CaptionTokenizer
from engine.store import atomic
from engine.store import tables as store
from engine.store.schema import ATTENTION_PASSES

CHUNK = 64
"""Images encoded together and kept together: what a kill can cost."""

CHUNK_ON_GPU = 256
"""The same on a GPU with at least ROOMY bytes, which fewer do not keep busy."""

ROOMY = 24 * 10**9
"""Bytes of a GPU that has room for the photos, keys and values of that many."""

TIMED = 16
"""Images, at least, that each size of a sweep searches once more by itself: together, the sizes share their time."""


@dataclass(frozen=True)
class CaptionerRun:
    """What `evaluate` is asked for."""

    name: str
    results: Path
    dataset: Dataset
    captioner_path: Path
    decoding: DecodingConfig = field(default_factory=DecodingConfig)
    metrics: tuple[str, ...] = base.CAPTION_METRICS
    attention_beams: tuple[int, ...] | None = None
    """None keeps all up to three sizes, else those of 1 and 3 that are there."""
    merge: str = "mean"
    tokenizer_path: Path | None = None
    """Instead of the captioner's own."""
    fallback_tokenizer: Path | None = None
    """For a captioner without a tokenizer; None takes the dataset's."""
    clip: ClipSettings | None = None
    classes: Dataset | None = None
    templates: tuple[str, ...] = zeroshot.TEMPLATES
    device: str = "cpu"
    companions: Mapping[str, str] = field(default_factory=dict)
    """Runs that a report of this one shows as well: `zero_shot` and `photos`, by name."""
    command: str = ""

    @property
    def kept_beams(self) -> tuple[int, ...]:
        """The beam sizes whose attention is kept."""
        sizes = self.decoding.beam_sizes
        if self.attention_beams is not None:
            return tuple(size for size in self.attention_beams if size in sizes)
        return sizes if len(sizes) <= 3 else tuple(size for size in (1, 3) if size in sizes)

    @property
    def attention_pass(self) -> str | None:
        """The pass that the attention maps are read from; None where no map is kept."""
        return ATTENTION_PASSES[self.decoding.rule] if self.kept_beams else None


def evaluate(ask: CaptionerRun) -> bool:
    """Captions, scores and explains a dataset with a captioner; False where the run was finished already.

    Raises:
        CheckpointError, TokenizerError, RunExists, MetricError, PhotoError: with what to do.
    """
    fallback = ask.fallback_tokenizer or ask.dataset.tokenizer
    captioner, tokenizer = checkpoints.load(ask.captioner_path, ask.tokenizer_path, fallback)
    run = RunInProgress(ask.name, ask.results, _captioner_plan(ask, captioner, tokenizer), ask.command)
    if not run.begin():
        return False
    captioner.to(ask.device, _DTYPES[ask.decoding.precision])
    chunks = _caption_all(run, ask, captioner, tokenizer)
    images, captions = chunks["images"], chunks["captions"]
    if not len(images):
        raise metadata.nothing_read(run, ask.dataset, chunks["skipped"].to_pylist())
    for table in ("images", "captions", "attention"):
        run.write(table, chunks[table])
    photos = [ask.dataset.root / name for name in images["file_name"].to_pylist()]
    ranking_errors = {}
    if ask.decoding.n_best > 1:
        asked = (images, photos, ask.metrics, ask.clip, ask.dataset)
        kept = nbest.scored(run, chunks["hypotheses"], *asked)
        run.write("hypotheses", kept)
        # Of samples the first is no choice: a better one that was drawn later says nothing of the caption.
        ranking_errors = {} if ask.decoding.sample else nbest.ranking_errors(kept)
    settings = _by_setting(captions, images["image_id"].to_pylist())
    facts = ask.decoding.facts()
    write_scores(run, images, settings, photos, ask.metrics, ask.clip, ask.dataset, facts, ranking_errors)
    with run.watch.measure("grounding"):
        run.write("grounding", _ground(images, chunks["attention"]))
    aside = chunks["skipped"].to_pylist()
    if ask.clip is not None and ask.classes is not None:
        lost = zeroshot_run.classify(run, ask.clip.clip, ask.classes, ask.templates)
        aside += [row | {"reason": f"{row['reason']} (a zero-shot photo)"} for row in lost]
    run.write("skipped", store.table_of("skipped", aside))
    _copy_training(run, ask.captioner_path)
    run.facts |= {
        "kind": "captioner",
        "data": metadata.data_facts(ask.dataset, images),
        "captioner": _captioner_facts(ask, captioner, run.plan["captioner"]),
        "decoding": facts,
        "attention": {"pass": ask.attention_pass, "merge": ask.merge},
        "beam_sizes": list(ask.decoding.beam_sizes),
        "hardware": provenance.hardware(ask.device),
        "waited_for_photos": _share_waited(run.watch.seconds),
        "seconds_per_image": _seconds_per_image(run, ask.decoding.beam_sizes, len(images)),
        "sweep_seconds_per_image": _rate(run.watch.seconds.get(_DECODE, 0.0), len(images)),
        "skipped": len(aside),
        "trained_on": _count_seen(ask, images),
        "seed": ask.decoding.seed,
    }
    if ask.companions:
        run.facts["study"] = dict(ask.companions)
    run.facts.setdefault("roots", {})["images"] = str(ask.dataset.root.resolve())
    _write_predictions(run, settings)
    run.finish()
    return True


def _captioner_plan(ask: CaptionerRun, captioner: Captioner, tokenizer: CaptionTokenizer) -> dict[str, Any]:
    return {
        "kind": "captioner",
        "data": ask.dataset.fingerprint,
        "captioner": checkpoints.fingerprint(captioner),
        "tokenizer": metadata.digest(tokenizer.to_json()),
        "decoding": {**asdict(ask.decoding), "beam_sizes": list(ask.decoding.beam_sizes)},
        "metrics": list(ask.metrics),
        "attention_beams": list(ask.kept_beams),
        "merge": ask.merge,
        "attention_pass": ask.attention_pass,
        **metadata.clip_plan(ask.clip),
        "classes": None if ask.classes is None else ask.classes.fingerprint,
        "labels": None if ask.classes is None else metadata.labels(ask.classes),
        "templates": list(ask.templates),
        "device": ask.device,
    }


_CHUNK_TABLES = ("images", "skipped", "captions", "attention", "hypotheses")
_DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}
_WAITED, _DECODE = "wait for photos", "decode"
_ALONE = "an image at beam {} alone"


def _caption_all(
    run: RunInProgress, ask: CaptionerRun, captioner: Captioner, tokenizer: CaptionTokenizer
) -> dict[str, pa.Table]:
    """The tables of all images; chunks that are there are not computed again."""
    examples = ask.dataset.examples
    size = _chunk_size(captioner.device)
    stage = f"captions_{size}"  # on another GPU a chunk may be of other images
    chunks = [examples[at : at + size] for at in range(0, len(examples), size)]
    done = {index: store.read_part(run.folder, stage, index, list(_CHUNK_TABLES)) for index in range(len(chunks))}
    waiting = [index for index, part in done.items() if part is None]
    prepare = captioner.preprocessing
    wanted = [example for index in waiting for example in chunks[index]]
    # Two chunks ahead: while the model is busy with one, the threads finish the next.
    photos = read_ahead(wanted, _reader(ask.dataset, prepare), workers=min(os.cpu_count() or 2, 8), ahead=2 * size)
    with tqdm(total=len(examples), initial=len(examples) - sum(len(chunks[i]) for i in waiting), unit="image") as bar:
        bar.set_description("caption")
        for index in waiting:
            with run.watch.measure(_WAITED):
                read = [next(photos) for _ in chunks[index]]
            tables = _caption_chunk(run.watch, ask, captioner, tokenizer, chunks[index], read)
            store.write_part(run.folder, stage, index, tables)
            run.keep_time()
            done[index] = tables
            bar.update(len(chunks[index]))
    return {table: pa.concat_tables(done[index][table] for index in range(len(chunks))) for table in _CHUNK_TABLES}


def _chunk_size(device: torch.device) -> int:
    if device.type == "cuda" and torch.cuda.get_device_properties(device).total_memory >= ROOMY:
        return CHUNK_ON_GPU
    return CHUNK


@dataclass(frozen=True)
class _Photo:
    """A photo as read: the crop that the model sees, the photo's size, or the reason why there is none."""

    window: np.ndarray | None
    size: tuple[int, int] = (0, 0)
    reason: str | None = None


def _reader(dataset: Dataset, prepare: Preprocessing):
    def read(example: Example) -> _Photo:
        try:
            photo = open_photo(dataset.photo(example))
        except PhotoError as error:
            return _Photo(None, reason=str(error))
        return _Photo(prepare.window_bytes(photo), photo.size)

    return read


def _caption_chunk(
    watch: provenance.Stopwatch,
    ask: CaptionerRun,
    captioner: Captioner,
    tokenizer: CaptionTokenizer,
    examples: Sequence[Example],
    photos: Sequence[_Photo],
) -> dict[str, pa.Table]:
    usable = [(example, photo) for example, photo in zip(examples, photos, strict=True) if photo.window is not None]
    aside = [
        {"image_id": example.image_id, "file_name": example.file_name, "reason": photo.reason}
        for example, photo in zip(examples, photos, strict=True)
        if photo.window is None
    ]
    captions: list[dict] = []
    maps: list[dict] = []
    kept: list[dict] = []
    if usable:
        image_ids = [example.image_id for example, _ in usable]
        with watch.measure("encode"):
            encoded = _encode(captioner, usable)
            search = Search(captioner, tokenizer, encoded, ask.decoding, image_ids)
            if captioner.device.type == "cuda":
                torch.cuda.synchronize(captioner.device)  # or its time would be counted as the decoding's
        with watch.measure(_DECODE):
            every = search.run()
        _time_alone(watch, search, ask.decoding.beam_sizes)
        for size, found in every.items():
            best = [each[0] for each in found]
            captions += [
                _caption_row(example.image_id, size, hypothesis, tokenizer)
                for (example, _), hypothesis in zip(usable, best, strict=True)
            ]
            if ask.decoding.n_best > 1:
                kept += _hypothesis_rows(image_ids, size, found, tokenizer)
            if size in ask.kept_beams:
                with watch.measure("attention"):
                    maps += _attention_rows(captioner, tokenizer, encoded, usable, best, size, ask)
    return {
        "images": store.table_of("images", [metadata.image_row(example, photo.size) for example, photo in usable]),
        "skipped": store.table_of("skipped", aside),
        "captions": store.table_of("captions", captions),
        "attention": store.table_of("attention", maps),
        "hypotheses": store.table_of("hypotheses", kept),
    }


def _time_alone(watch: provenance.Stopwatch, search: Search, sizes: Sequence[int]) -> None:
    """Once a run: what each size of a sweep takes by itself, over as much of the first chunk as makes a full batch."""
    if len(sizes) > 1 and _ALONE.format(sizes[0]) not in watch.seconds:
        on_cpu = search.device.type == "cpu"
        rows = memory.ROWS if on_cpu else memory.ROWS_ON_GPU // 4  # as fast an image as more of them, to a tenth
        for size in sizes:
            images, times = min(len(search), max(TIMED, rows // size)), []
            for _ in range(1 if on_cpu else 3):  # what a GPU does first takes longer: it loads its code
                before = time.perf_counter()
                search.run([size], images)
                times.append(time.perf_counter() - before)
            watch.seconds[_ALONE.format(size)] = min(times) / images
        search.forget()  # the sizes are searched together from here on, and such searches are not replayed


def _encode(captioner: Captioner, usable: Sequence[tuple[Example, _Photo]]) -> torch.Tensor:
    """The memory of a chunk's photos, [N, P, D], in the captioner's precision."""
    windows = torch.from_numpy(np.stack([photo.window for _, photo in usable]))

    def encode(start: int, stop: int) -> list[torch.Tensor]:
        with torch.inference_mode():
            pixels = captioner.pixels(windows[start:stop].to(captioner.device))
            return list(captioner.encode(pixels.to(captioner.head.weight.dtype)))

    return torch.stack(memory.in_batches(encode, len(windows), len(windows)))


def _caption_row(image_id: str, size: int, found: TokenHypothesis, tokenizer: CaptionTokenizer) -> dict[str, Any]:
    return {
        "image_id": image_id,
        "beam_size": size,
        "caption": tokenizer.decode(found.tokens),
        "words": [word.text for word in tokenizer.words(found.tokens)],
        "logprob": found.logprob,
        "score": found.score,
        "finished": found.finished,
    }


def _hypothesis_rows(
    image_ids: Sequence[str], size: int, found: Sequence[Sequence[TokenHypothesis]], tokenizer: CaptionTokenizer
) -> list[dict[str, Any]]:
    return [
        {
            "image_id": image_id,
            "beam_size": size,
            "rank": rank,
            "caption": tokenizer.decode(each.tokens),
            "logprob": each.logprob,
            "score": each.score,
            "finished": each.finished,
        }
        for image_id, kept in zip(image_ids, found, strict=True)
        for rank, each in enumerate(kept, 1)
    ]


def _attention_rows(
    captioner: Captioner,
    tokenizer: CaptionTokenizer,
    encoded: torch.Tensor,
    usable: Sequence[tuple[Example, _Photo]],
    found: Sequence[TokenHypothesis],
    size: int,
    ask: CaptionerRun,
) -> list[dict[str, Any]]:
    captions = [each.tokens for each in found]

    def replay(start: int, stop: int) -> list[attention.WordMaps]:
        some = (encoded[start:stop], captions[start:stop])
        return attention.replay(captioner, tokenizer, *some, ask.merge, ask.decoding.rule)

    def in_batches(first: int, last: int) -> list[attention.WordMaps]:
        return memory.in_batches(lambda at, end: replay(first + at, first + end), last - first, last - first)

    # As in the search: without a mask each length is a pass of its own, and cores that share small passes wait.
    jobs = jobs_for(len(captions), captioner.device) if ask.decoding.rule == "study" else 1
    maps = in_jobs(in_batches, len(captions), jobs)
    return [
        {
            "image_id": example.image_id,
            "beam_size": size,
            "words": list(each.words),
            "shape": list(each.weights.shape),
            "weights": each.weights.tobytes(),
            "scale": each.scale.ravel(),
            "grid_height": each.grid[0],
            "grid_width": each.grid[1],
            "crop": asdict(captioner.preprocessing.crop(*photo.size)),
        }
        for (example, photo), each in zip(usable, maps, strict=True)
    ]


def _ground(images: pa.Table, maps: pa.Table) -> pa.Table:
    """The `grounding` table; heads and offsets as `grounding` has them, one setting after the other."""
    boxes = dict(zip(images["image_id"].to_pylist(), images["objects"].to_pylist(), strict=True))
    rows: list[dict[str, Any]] = []
    for size in sorted(set(maps["beam_size"].to_pylist())):
        chosen = [row for row in maps.filter(pc.equal(maps["beam_size"], size)).to_pylist() if boxes[row["image_id"]]]
        looked = [_looked(row, boxes[row["image_id"]]) for row in chosen]
        for row, found in zip(chosen, grounding.ground(looked), strict=True):
            rows += [{"image_id": row["image_id"], "beam_size": size, **asdict(each)} for each in found]
    return store.table_of("grounding", rows)


def _looked(row: dict[str, Any], boxes: Sequence[dict[str, Any]]) -> grounding.Looked:
    maps = attention.from_bytes(row["weights"], row["scale"], row["shape"])
    crop = row["crop"]
    return grounding.Looked(
        words=row["words"],
        maps=maps,
        grid=(row["grid_height"], row["grid_width"]),
        crop=(crop["x"], crop["y"], crop["width"], crop["height"]),
        regions=[grounding.Region(**box) for box in boxes],
    )


def _captioner_facts(ask: CaptionerRun, captioner: Captioner, fingerprint: str) -> dict[str, Any]:
    config = captioner.config
    return {
        "name": ask.captioner_path.resolve().name,
        "path": str(ask.captioner_path),
        "encoder": config.encoder,
        "decoder_layers": config.num_layers,
        "heads": config.nhead,
        "d_model": config.d_model,
        "training": checkpoints.training_settings(ask.captioner_path),
        "fingerprint": fingerprint,
    }


def _count_seen(ask: CaptionerRun, images: pa.Table) -> int:
    """How many of the images were in the captioner's own training; another photo of the same name is none of them."""
    seen = checkpoints.trained_on(ask.captioner_path)
    names = zip(images["image_id"].to_pylist(), images["file_name"].to_pylist(), strict=True)
    known = [(seen[image_id], ask.dataset.root / name) for image_id, name in names if image_id in seen]
    return sum(size is None or size == _size(path) for size, path in known)


def _size(path: Path) -> int | None:
    """Bytes of a file; None where it has gone since it was read."""
    try:
        return path.stat().st_size
    except OSError:
        return None


def _share_waited(seconds: dict[str, float]) -> float:
    """Of the captioning's time, the share in which the model had to wait for a photo."""
    waited, busy = seconds.get(_WAITED, 0.0), sum(seconds.get(name, 0.0) for name in ("encode", _DECODE, "attention"))
    return round(waited / max(waited + busy, 1e-9), 4)


def _seconds_per_image(run: RunInProgress, sizes: Sequence[int], images: int) -> dict[str, float]:
    """What each beam size takes by itself, as far as there was an image."""
    seconds = run.watch.seconds
    if len(sizes) == 1:
        return {str(sizes[0]): _rate(seconds[_DECODE], images)} if images else {}
    return {str(size): round(seconds[name], 6) for size in sizes if (name := _ALONE.format(size)) in seconds}


def _rate(seconds: float, images: int) -> float:
    return round(seconds / max(images, 1), 6)


def _copy_training(run: RunInProgress, folder: Path) -> None:
    """The captioner's training curve belongs to what the dashboard shows of the run."""
    if store.has_table(folder, "training"):
        run.write("training", store.read_table(folder, "training"))


def _write_predictions(run: RunInProgress, settings: dict[int, list[dict]]) -> None:
    """The course's `{name: caption}` files: one a beam size, and `pred.json` of the best by CIDEr."""
    for size, rows in settings.items():
        atomic.write_json(run.folder / f"pred_beam{size}.json", {row["image_id"]: row["caption"] for row in rows})
    rows = store.read_table(run.folder, "corpus_scores").to_pylist()
    ciders = {row["beam_size"]: row["value"] for row in rows if row["metric"] == "cider"}
    best = max(settings, key=lambda size: (ciders.get(size, 0.0), -size))
    atomic.write_json(run.folder / "pred.json", {row["image_id"]: row["caption"] for row in settings[best]})


def _by_setting(captions: pa.Table, image_ids: Sequence[str]) -> dict[int, list[dict]]:
    """Beam size -> its caption rows in the order of `image_ids`."""
    rows: dict[int, dict[str, dict]] = {}
    for row in captions.to_pylist():
        rows.setdefault(row["beam_size"], {})[row["image_id"]] = row
    return {size: [found[image_id] for image_id in image_ids] for size, found in sorted(rows.items())}
