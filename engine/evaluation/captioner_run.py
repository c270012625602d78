"""Evaluate a captioner on a dataset: run all stages in order.

Each stage is a function from tables to tables in its own module. Captions are stored chunk by chunk, so that an
interrupted run continues and ends with the same tables.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from engine.config import DecodingConfig
from engine.data.dataset import Dataset
from engine.data.other_splits import OtherSplits
from engine.diagnosis.alarm import Alarm
from engine.diagnosis.tags import Tag
from engine.evaluation import (
    caption_files,
    captioning,
    chunks,
    data_findings,
    explaining,
    metadata,
    nbest,
    page_answers,
    pool,
    provenance,
    scoring,
    words_run,
    zeroshot_run,
)
from engine.evaluation.caption_blocks import CaptionBlocks
from engine.evaluation.captioner_source import CaptionerFacts, CaptionerSource
from engine.evaluation.captioning import CaptionSettings
from engine.evaluation.clip_settings import ClipSettings
from engine.evaluation.grounding import grounding_of
from engine.evaluation.run import RunInProgress
from engine.evaluation.sampling import Sample, sample
from engine.evaluation.scoring import MetricSettings
from engine.evaluation.signature import captioner_fields
from engine.evaluation.workers import workers_of
from engine.metrics import zeroshot
from engine.metrics.coco import CAPTION_METRICS
from engine.protocols import PluginError
from engine.store import remote, tables


class Outcome(Enum):
    """How an evaluation ended."""

    NEW = "the run is finished"
    WAS_FINISHED = "the run was finished before"
    PARTS_MISSING = "this part is finished, and others are missing"
    ELSEWHERE = "this part is finished, and another one completes the run"


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
    attention_images: int | None = None
    """Images of which maps are stored while they are captioned, a sample; None stores those of all."""
    explain: tuple[str, ...] | None = None
    """Methods of explanation; None takes the usual ones, () skips everything about words."""
    samples: int = 10
    """Captions that are sampled of each image, for the agreement of words."""
    alarms: Mapping[str, Alarm] = field(default_factory=dict)
    """Kind of claim -> alarm of other data, for claims to which none can be fitted."""
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
    place: pool.Place = field(default_factory=pool.Here)
    """Where the chunks are captioned."""
    chunk_size: int | None = None
    """Images per chunk; None takes the captioner's."""
    times_sizes: bool = True
    """Whether each beam size is also timed alone."""
    time_limit: float | None = None
    """Seconds after which a chunk that is not finished ends its process."""
    companions: Mapping[str, str] = field(default_factory=dict)
    """Names of the runs `zero_shot` and `photos` that a report of this run also shows."""
    splits: OtherSplits | None = None
    """The other splits of the dataset, which checks of the data compare with this one."""
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
    return evaluate_part(settings) is Outcome.NEW


def evaluate_part(settings: CaptionerRun) -> Outcome:
    """Do the same, or the part of it that belongs to `settings.place`, and say how it ended."""
    source = _source(settings)
    captioner = settings.place.facts(source, settings.decoding)
    captions = _caption_settings(settings, captioner)
    run = RunInProgress(settings.name, settings.results, _identity(settings, captioner, captions), settings.command)
    part = settings.place.part
    if not run.begin(settings.chunk_size or captioner.chunk_size, None if part is None else str(part)):
        return Outcome.WAS_FINISHED
    curve = _training_curve(captioner)  # first, because a damaged table is an error
    work = _work(settings, source, captions, run)
    every = chunks.divided(settings.dataset, run.chunk_size or captioner.chunk_size)
    try:
        missing = pool.compute(work, every, settings.place, "caption", is_shared=True)
    except Exception:
        if part is None:
            run.abandon_unbegun()  # the captioner fails at its first photo: other settings may take the name
        raise
    if missing or (part is not None and not run.take_over()):
        run.leave()
        return Outcome.PARTS_MISSING if missing else Outcome.ELSEWHERE
    _complete(run, settings, captioner, work, every, curve)
    return Outcome.NEW


def _complete(
    run: RunInProgress,
    settings: CaptionerRun,
    captioner: CaptionerFacts,
    work: chunks.Work,
    every: Sequence[chunks.Chunk],
    curve: pa.Table | None,
) -> None:
    """Write the tables of a run whose chunks are all stored, and its record."""
    if curve is not None:
        run.write("training", curve)
    numbers = range(len(every))
    computed = [chunks.computed(work, number) for number in numbers]
    for each in computed:
        run.watch.add(each.seconds)
    skipped = pa.concat_tables(chunks.parts_of(work, numbers, "skipped"))
    for table in ("images", "captions"):
        run.write_rows(table, chunks.parts_of(work, numbers, table), chunks.rows_of(work, numbers, table))
    images = tables.count_rows(run.folder, "images")
    if not images:
        raise metadata.nothing_read(run, settings.dataset, skipped.to_pylist())
    hypotheses = pa.concat_tables(chunks.parts_of(work, numbers, "hypotheses"))
    reasons = words_run.wrong_reasons(work, every, settings.place, settings.explain or ())
    scored = _score(run, settings, hypotheses, reasons)
    _write_maps(run, settings, work, every)
    if work.settings.evidence is not None:
        words_run.write(run, work, every, settings.place, settings.explain or (), settings.alarms)
    with run.watch.measure("grounding"):
        run.write_rows("grounding", grounding_of(run.folder))
    left_out = skipped.to_pylist() + _classify(run, settings)
    run.write("skipped", tables.table_of("skipped", left_out))
    run.metadata |= _metadata(run, settings, captioner, work.settings, images) | {"skipped": len(left_out)}
    run.metadata["workers"] = workers_of(computed)
    run.metadata.setdefault("roots", {})["images"] = str(settings.dataset.root.resolve())
    caption_files.write(run.folder, settings.decoding.beam_sizes, scored.corpus_scores)
    page_answers.write(run)
    run.finish()


def _write_maps(run: RunInProgress, settings: CaptionerRun, work: chunks.Work, every: Sequence[chunks.Chunk]) -> None:
    """Write the maps that were stored with the captions; for a sample of images, also those of tagged captions."""
    numbers = range(len(every))
    stored, rows = chunks.parts_of(work, numbers, "attention"), chunks.rows_of(work, numbers, "attention")
    if work.settings.sample is None:
        run.write_rows("attention", stored, rows)
        return
    if work.remote is not None:
        work.remote.push_table(run.folder, "captions")
    wanted = explaining.without_maps(work)
    with run.watch.measure("attention of tagged captions"):
        more = explaining.replay(work, every, wanted, settings.place)
        run.write_rows("attention", chain(stored, more), rows + sum(map(len, wanted.values())))


def add_maps(settings: CaptionerRun, images: Sequence[str]) -> int:
    """Add the maps of some images to a finished run; return how many captions got maps.

    Raises:
        ConfigError: the run is not finished, or has no captions of an image.
    """
    source = _source(settings)
    captioner = settings.place.facts(source, settings.decoding)
    captions = _caption_settings(settings, captioner)
    run = RunInProgress(settings.name, settings.results, _identity(settings, captioner, captions), settings.command)
    with run.finished():
        work = _work(settings, source, captions, run)
        return explaining.add(work, settings.dataset, images, settings.place)


def _source(settings: CaptionerRun) -> CaptionerSource:
    return CaptionerSource(
        name=settings.captioner,
        tokenizer=settings.tokenizer_path,
        fallback=settings.fallback_tokenizer or settings.dataset.tokenizer,
        device=settings.device,
        precision=settings.decoding.precision,
        prompt=settings.prompt,
        model=settings.model,
        cache=settings.results / ".cache",
        device_map=settings.device_map,
    )


def _work(
    settings: CaptionerRun, source: CaptionerSource, captions: CaptionSettings, run: RunInProgress
) -> chunks.Work:
    return chunks.Work(
        source=source,
        dataset=settings.dataset.subset(()),
        folder=run.folder,
        stage=f"captions_{run.chunk_size}",  # chunks of different sizes contain different images
        settings=captions,
        times_sizes=settings.times_sizes,
        remote=remote.of(settings.results),
        time_limit=settings.time_limit,
    )


def _caption_settings(settings: CaptionerRun, captioner: CaptionerFacts) -> CaptionSettings:
    evidence = None
    words_run.check_methods(settings.explain or (), captioner)
    if captioner.scores_tokens and settings.explain != ():
        evidence = words_run.evidence_settings(settings.dataset, settings.samples, settings.decoding.seed)
    if captioner.has_maps:
        sample = _sample(settings)
        return CaptionSettings(settings.decoding, settings.kept_beams, settings.merge, sample, evidence)
    if settings.attention_beams:
        raise PluginError(f"captioner {captioner.name!r} has no attention maps; remove --attention-beams")
    return CaptionSettings(settings.decoding, (), settings.merge, evidence=evidence)


def _sample(settings: CaptionerRun) -> Sample | None:
    if settings.attention_images is None:
        return None
    ids = (example.image_id for example in settings.dataset.examples)
    return sample(ids, settings.attention_images, settings.decoding.seed)


def _identity(settings: CaptionerRun, captioner: CaptionerFacts, captions: CaptionSettings) -> dict[str, Any]:
    """Return the settings that must be equal for a run to continue."""
    return {
        "kind": "captioner",
        **metadata.data_identity(settings.dataset),
        "captioner": captioner.fingerprint,
        "tokenizer": captioner.tokenizer,
        "decoding": {**asdict(settings.decoding), "beam_sizes": list(settings.decoding.beam_sizes)},
        "metrics": list(settings.metrics),
        **metadata.metric_identity(settings.metrics),
        "attention_beams": list(captions.attention_beams),
        "attention_images": settings.attention_images or "all",
        "merge": settings.merge,
        "words": None if captions.evidence is None else asdict(captions.evidence),
        "alarms": {kind: found.as_json() for kind, found in settings.alarms.items()} or None,
        "attention_pass": _attention_pass(captioner, captions),
        **metadata.clip_identity(settings.clip),
        "classes": None if settings.classes is None else settings.classes.fingerprint,
        "labels": None if settings.classes is None else metadata.labels(settings.classes),
        "templates": list(settings.templates),
        "device": settings.device,
        **captioner.identity,
    }


def _attention_pass(captioner: CaptionerFacts, captions: CaptionSettings) -> str | None:
    """Return the kind of pass that the attention maps come from; None if no maps are stored."""
    if not captions.attention_beams:
        return None
    return captioner.passes.get(captions.decoding.rule, "maps of the captioner")


def _score(
    run: RunInProgress, settings: CaptionerRun, hypotheses: pa.Table, reasons: Mapping[tuple[int, str], Tag]
) -> scoring.Scored:
    """Write the score tables; n-best lists first, because ranking errors are found in them.

    Args:
        reasons: (beam size, image id) -> tag of captions that are right for the wrong reason.
    """
    blocks = CaptionBlocks(
        run.folder, tuple(sorted(settings.decoding.beam_sizes)), settings.dataset.root, settings.dataset.fingerprint
    )
    findings = data_findings.of_run(run, settings.dataset, blocks.sizes[0], settings.splits)
    wanted = MetricSettings(settings.metrics, settings.clip, settings.results)
    errors = {}
    if settings.decoding.n_best > 1:
        with scoring.scratch(run) as folder, scoring.processes(blocks) as apply:
            lists = nbest.scored(hypotheses, blocks, wanted, run.watch.measure, folder, apply)
        run.write("hypotheses", lists)
        # Samples are unranked, so a better later sample is not a ranking error.
        errors = {} if settings.decoding.sample else nbest.ranking_errors(lists)
    fields = settings.decoding.signature_fields() | captioner_fields(run.identity)
    both = {key: [each[key] for each in (reasons, errors) if key in each] for key in {*reasons, *errors}}
    scored = scoring.score(run, blocks, wanted, fields, both)
    data_findings.record(run, blocks, scored.corpus_scores, settings.clip, findings)
    return scored


def _classify(run: RunInProgress, settings: CaptionerRun) -> list[dict[str, Any]]:
    """Write the zero-shot tables if classes and a CLIP are given; return the photos that were skipped."""
    if settings.clip is None or settings.classes is None:
        return []
    skipped = zeroshot_run.classify(run, settings.clip.clip, settings.classes, settings.templates)
    return [row | {"reason": f"{row['reason']} (a zero-shot photo)"} for row in skipped]


def _metadata(
    run: RunInProgress, settings: CaptionerRun, captioner: CaptionerFacts, captions: CaptionSettings, images: int
) -> dict[str, Any]:
    """Return the entries of `run.json` in addition to the identity."""
    sizes, seconds = settings.decoding.beam_sizes, run.watch.seconds
    described = settings.place.metadata() or captioner.metadata
    found = {
        "kind": "captioner",
        "data": metadata.data_metadata(settings.dataset, run.folder),
        "captioner": {"name": captioner.name, "fingerprint": captioner.fingerprint, **described},
        "decoding": settings.decoding.signature_fields(),
        "attention": {"pass": _attention_pass(captioner, captions), "merge": settings.merge},
        "beam_sizes": list(sizes),
        "hardware": provenance.hardware(settings.device),
        "waited_for_photos": _share_waited(seconds),
        "seconds_per_image": _seconds_per_image(seconds, sizes, images),
        "sweep_seconds_per_image": _rate(seconds.get(captioning.DECODE, 0.0), images),
        "trained_on": metadata.count_seen(captioner.trained_on, settings.dataset, run.folder),
        "seed": settings.decoding.seed,
    }
    return found | ({"study": dict(settings.companions)} if settings.companions else {})


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


def _training_curve(captioner: CaptionerFacts) -> pa.Table | None:
    """Return the captioner's training curve, so that the dashboard can show it with the run."""
    if captioner.folder is None or not tables.has_table(captioner.folder, "training"):
        return None
    return tables.read_table(captioner.folder, "training")
