"""Evaluate a captioner on a dataset: run all stages in order.

Each stage is a function from tables to tables in its own module. Captions are stored chunk by chunk, so that an
interrupted run continues and ends with the same tables.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from engine.captioners import registry
from engine.config import DecodingConfig
from engine.data.dataset import Dataset
from engine.evaluation import captioning, chunks, metadata, nbest, provenance, scoring, zeroshot_run
from engine.evaluation.caption_blocks import CaptionBlocks
from engine.evaluation.captioning import CaptionSettings
from engine.evaluation.clip_settings import ClipSettings
from engine.evaluation.grounding import grounding_of
from engine.evaluation.run import RunInProgress
from engine.evaluation.scoring import MetricSettings
from engine.evaluation.signature import captioner_fields
from engine.metrics import zeroshot
from engine.metrics.coco import CAPTION_METRICS
from engine.protocols import Captioner, Explainer, PluginError
from engine.store import atomic, tables


@dataclass(frozen=True)
class CaptionerRun:
    """Settings of one captioner evaluation."""

    name: str
    results: Path
    dataset: Dataset
    captioner: str
    """A folder, `hf:` and a model of Hugging Face, or a plugin; see `captioners.registry.load`."""
    decoding: DecodingConfig = field(default_factory=DecodingConfig)
    metrics: tuple[str, ...] = CAPTION_METRICS
    attention_beams: tuple[int, ...] | None = None
    """Beam sizes whose attention is stored; None stores all of up to three sizes, else 1 and 3 if present."""
    merge: str = "mean"
    tokenizer_path: Path | None = None
    """A tokenizer file instead of the captioner's own."""
    fallback_tokenizer: Path | None = None
    """A tokenizer file for a captioner without one; None takes the dataset's."""
    clip: ClipSettings | None = None
    classes: Dataset | None = None
    templates: tuple[str, ...] = zeroshot.TEMPLATES
    device: str = "cpu"
    prompt: str | None = None
    """The prompt of a model of Hugging Face or an endpoint, instead of the usual one."""
    model: str | None = None
    """The model of an endpoint."""
    device_map: str | None = None
    """`auto` spreads a model of Hugging Face over all devices."""
    companions: Mapping[str, str] = field(default_factory=dict)
    """Names of the runs `zero_shot` and `photos` that a report of this run also shows."""
    command: str = ""

    @property
    def kept_beams(self) -> tuple[int, ...]:
        """The beam sizes whose attention is stored if the captioner has attention maps."""
        sizes = self.decoding.beam_sizes
        if self.attention_beams is not None:
            return tuple(size for size in self.attention_beams if size in sizes)
        return sizes if len(sizes) <= 3 else tuple(size for size in (1, 3) if size in sizes)


def evaluate(settings: CaptionerRun) -> bool:
    """Caption, score and explain a dataset with a captioner; return False if the run was already finished.

    Raises:
        CheckpointError, TokenizerError, PluginError, RunExists, MetricError, PhotoError: the message says what to do.
    """
    captioner = _load(settings)
    check = getattr(captioner, "check", None)  # of models that cannot be searched in every way
    if check is not None:
        check(settings.decoding)
    captions = _caption_settings(settings, captioner)
    run = RunInProgress(settings.name, settings.results, _identity(settings, captioner, captions), settings.command)
    if not run.begin():
        return False
    _copy_training(run, captioner)  # first, because a damaged table is an error
    try:
        found = chunks.caption_all(run, captioner, settings.dataset, captions)
    except Exception:
        run.abandon_unbegun()  # the captioner fails at its first photo: other settings may take the name
        raise
    if not len(found["images"]):
        raise metadata.nothing_read(run, settings.dataset, found["skipped"].to_pylist())
    for table in ("images", "captions"):
        run.write(table, found[table])
    scored = _score(run, settings, found)
    with run.watch.measure("grounding"):
        run.write_rows("grounding", grounding_of(found["images"], run.folder))
    skipped = found["skipped"].to_pylist() + _classify(run, settings)
    run.write("skipped", tables.table_of("skipped", skipped))
    run.metadata |= _metadata(run, settings, captioner, captions, found["images"]) | {"skipped": len(skipped)}
    run.metadata.setdefault("roots", {})["images"] = str(settings.dataset.root.resolve())
    _write_predictions(run, found, scored.corpus_scores)
    run.finish()
    return True


def _load(settings: CaptionerRun) -> Captioner:
    fallback = settings.fallback_tokenizer or settings.dataset.tokenizer
    chosen = (settings.tokenizer_path, fallback, settings.device, settings.decoding.precision)
    more = {"prompt": settings.prompt, "model": settings.model, "cache": settings.results / ".cache"}
    more["device_map"] = settings.device_map
    return registry.load(settings.captioner, *chosen, **more)


def _caption_settings(settings: CaptionerRun, captioner: Captioner) -> CaptionSettings:
    if isinstance(captioner, Explainer):
        return CaptionSettings(settings.decoding, settings.kept_beams, settings.merge)
    if settings.attention_beams:
        raise PluginError(f"captioner {captioner.name!r} has no attention maps; remove --attention-beams")
    return CaptionSettings(settings.decoding, (), settings.merge)


def _identity(settings: CaptionerRun, captioner: Captioner, captions: CaptionSettings) -> dict[str, Any]:
    """Return the settings that must be equal for a run to continue."""
    words = getattr(captioner, "tokenizer_json", None)
    named = getattr(captioner, "identity", {})  # of models with a prompt: one setting per name, not one fingerprint
    return {
        "kind": "captioner",
        "data": settings.dataset.fingerprint,
        "captioner": captioner.fingerprint,
        "tokenizer": None if words is None else metadata.digest(words),
        "decoding": {**asdict(settings.decoding), "beam_sizes": list(settings.decoding.beam_sizes)},
        "metrics": list(settings.metrics),
        **metadata.metric_identity(settings.metrics),
        "attention_beams": list(captions.attention_beams),
        "merge": settings.merge,
        "attention_pass": _attention_pass(captioner, captions),
        **metadata.clip_identity(settings.clip),
        "classes": None if settings.classes is None else settings.classes.fingerprint,
        "labels": None if settings.classes is None else metadata.labels(settings.classes),
        "templates": list(settings.templates),
        "device": settings.device,
        **named,
    }


def _attention_pass(captioner: Captioner, captions: CaptionSettings) -> str | None:
    """Return the kind of pass that the attention maps come from; None if no maps are stored."""
    if not captions.attention_beams:
        return None
    passes = getattr(captioner, "attention_passes", {})  # of our own captioners
    return passes.get(captions.decoding.rule, "maps of the captioner")


def _score(run: RunInProgress, settings: CaptionerRun, found: Mapping[str, pa.Table]) -> scoring.Scored:
    """Write the score tables; n-best lists first, because ranking errors are found in them."""
    blocks = CaptionBlocks(
        run.folder, tuple(sorted(settings.decoding.beam_sizes)), settings.dataset.root, settings.dataset.fingerprint
    )
    wanted = MetricSettings(settings.metrics, settings.clip, settings.results)
    errors = {}
    if settings.decoding.n_best > 1:
        with scoring.scratch(run) as folder, scoring.processes(blocks) as apply:
            lists = nbest.scored(found["hypotheses"], blocks, wanted, run.watch.measure, folder, apply)
        run.write("hypotheses", lists)
        # Samples are unranked, so a better later sample is not a ranking error.
        errors = {} if settings.decoding.sample else nbest.ranking_errors(lists)
    fields = settings.decoding.signature_fields() | captioner_fields(run.identity)
    return scoring.score(run, blocks, wanted, fields, errors)


def _classify(run: RunInProgress, settings: CaptionerRun) -> list[dict[str, Any]]:
    """Write the zero-shot tables if classes and a CLIP are given; return the photos that were skipped."""
    if settings.clip is None or settings.classes is None:
        return []
    skipped = zeroshot_run.classify(run, settings.clip.clip, settings.classes, settings.templates)
    return [row | {"reason": f"{row['reason']} (a zero-shot photo)"} for row in skipped]


def _metadata(
    run: RunInProgress, settings: CaptionerRun, captioner: Captioner, captions: CaptionSettings, images: pa.Table
) -> dict[str, Any]:
    """Return the entries of `run.json` in addition to the identity."""
    sizes, seconds = settings.decoding.beam_sizes, run.watch.seconds
    found = {
        "kind": "captioner",
        "data": metadata.data_metadata(settings.dataset, images),
        "captioner": {"name": captioner.name, "fingerprint": captioner.fingerprint, **captioner.metadata},
        "decoding": settings.decoding.signature_fields(),
        "attention": {"pass": _attention_pass(captioner, captions), "merge": settings.merge},
        "beam_sizes": list(sizes),
        "hardware": provenance.hardware(settings.device),
        "waited_for_photos": _share_waited(seconds),
        "seconds_per_image": _seconds_per_image(seconds, sizes, len(images)),
        "sweep_seconds_per_image": _rate(seconds.get(captioning.DECODE, 0.0), len(images)),
        "trained_on": _count_seen(captioner, settings.dataset, images),
        "seed": settings.decoding.seed,
    }
    return found | ({"study": dict(settings.companions)} if settings.companions else {})


def _count_seen(captioner: Captioner, dataset: Dataset, images: pa.Table) -> int:
    """Return how many images the captioner was trained on, matched by id and file size."""
    trained_on = getattr(captioner, "trained_on", None)  # of our own captioners
    seen: dict[str, int | None] = trained_on() if trained_on is not None else {}
    names = zip(images["image_id"].to_pylist(), images["file_name"].to_pylist(), strict=True)
    known = [(seen[image_id], dataset.root / name) for image_id, name in names if image_id in seen]
    return sum(size is None or size == _size(path) for size, path in known)


def _size(path: Path) -> int | None:
    """Return the size of a file in bytes; None if it no longer exists."""
    try:
        return path.stat().st_size
    except OSError:
        return None


def _share_waited(seconds: Mapping[str, float]) -> float:
    """Return the share of captioning time that was spent waiting for photos."""
    waited = seconds.get(chunks.WAITED, 0.0)
    busy = sum(seconds.get(name, 0.0) for name in ("encode", captioning.DECODE, "attention"))
    return round(waited / max(waited + busy, 1e-9), 4)


def _seconds_per_image(seconds: Mapping[str, float], sizes: tuple[int, ...], images: int) -> dict[str, float]:
    """Return the seconds per image of each beam size alone, if measured."""
    if len(sizes) == 1:
        # A kill after the last chunk, but before its time was stored, leaves no time.
        is_known = images and captioning.DECODE in seconds
        return {str(sizes[0]): _rate(seconds[captioning.DECODE], images)} if is_known else {}
    alone = {size: captioning.alone(seconds, size) for size in sizes}
    return {str(size): round(found, 6) for size, found in alone.items() if found is not None}


def _rate(seconds: float, images: int) -> float:
    return round(seconds / max(images, 1), 6)


def _copy_training(run: RunInProgress, captioner: Captioner) -> None:
    """Copy the captioner's training curve, so that the dashboard can show it with the run."""
    folder = getattr(captioner, "folder", None)
    if folder is not None and tables.has_table(folder, "training"):
        run.write("training", tables.read_table(folder, "training"))


def _write_predictions(run: RunInProgress, found: Mapping[str, pa.Table], corpus: pa.Table) -> None:
    """Write the course's `{name: caption}` files: one per beam size, and `pred.json` for the best CIDEr."""
    by_size: dict[int, dict[str, str]] = {}
    for row in found["captions"].to_pylist():
        by_size.setdefault(row["beam_size"], {})[row["image_id"]] = row["caption"]
    for size, captions in by_size.items():
        atomic.write_json(run.folder / f"pred_beam{size}.json", captions)
    ciders = {row["beam_size"]: row["value"] for row in corpus.to_pylist() if row["metric"] == "cider"}
    best = max(by_size, key=lambda size: (ciders.get(size, 0.0), -size))
    atomic.write_json(run.folder / "pred.json", by_size[best])
