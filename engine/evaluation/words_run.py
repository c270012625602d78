"""Write the tables of words of a run whose chunks, captions and scores are stored: evidence, alarm, certificate."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from engine.data.dataset import Dataset, Example
from engine.diagnosis.alarm import Alarm
from engine.diagnosis.lexicon import vocabulary
from engine.diagnosis.object_names import COCO
from engine.diagnosis.tags import Tag
from engine.evaluation import chunks, explaining, scoring
from engine.evaluation.captioner_source import CaptionerFacts
from engine.evaluation.chunks import Chunk, Work
from engine.evaluation.explanations import ExplainSettings
from engine.evaluation.pool import Place
from engine.evaluation.run import RunInProgress
from engine.evaluation.sampling import sample
from engine.evaluation.word_evidence import EvidenceSettings
from engine.evaluation.word_judgement import judge_of
from engine.evaluation.words import ChunkWords, Judging, WordsStage
from engine.explain.certificate import BASE, Certificate, Interval, NounMeasure, certify, recommended
from engine.explain.methods import METHODS
from engine.protocols import PluginError
from engine.store import tables

LITTLE = 0.1
"""Nats below which covering an object hardly changes its word."""

CERTIFIED = 200
"""Images whose nouns a certificate is measured on, if so many have objects; most have one or two nouns."""


def check_methods(methods: Sequence[str], captioner: CaptionerFacts) -> None:
    """Check that a captioner can be explained by the methods of --explain.

    Raises:
        PluginError: it cannot.
    """
    wrong = next((name for name in methods if name not in captioner.methods), None)
    if wrong is not None:
        expected = f"expected some of {', '.join(captioner.methods)}" if captioner.methods else "remove --explain"
        lacks = METHODS[wrong].needs or "attention maps and log-probabilities of words"
        raise PluginError(f"captioner {captioner.name!r}: --explain {wrong} needs {lacks}; {expected}")


def evidence_settings(dataset: Dataset, samples: int, seed: int) -> EvidenceSettings:
    """Return what is computed for every word; without annotated objects, words may name COCO's categories."""
    return EvidenceSettings(tuple(sorted(vocabulary(annotated_labels(dataset.examples)) or COCO)), samples, seed=seed)


def annotated_labels(examples: Iterable[Example]) -> set[str]:
    """Return the labels of all annotated objects."""
    return {box.label for each in examples for box in (*each.objects, *each.crowds)}


def write(
    run: RunInProgress,
    work: Work,
    every: Sequence[Chunk],
    place: Place,
    methods: Sequence[str],
    given: Mapping[str, Alarm],
) -> None:
    """Write `words`, `samples`, the tables of the alarm and of the certificate, and coefficients into the record.

    Args:
        methods: explanation methods that are measured besides attention; none: no certificate is written.
        given: kind of claim -> alarm of other data, for claims to which none can be fitted.
    """
    numbers = [chunk.number for chunk in every]
    labels = work.settings.evidence.labels if work.settings.evidence else ()
    annotated = annotated_labels(example for chunk in every for example in chunk.examples)
    run.write_rows("samples", chunks.parts_of(work, numbers, "samples"), chunks.rows_of(work, numbers, "samples"))
    if work.remote is not None:
        work.remote.push_table(run.folder, "captions")
    with run.watch.measure("explanations of nouns"):
        effects = _effects(work, every, place, covers_all(methods))
    with run.watch.measure("words of the run"), scoring.scratch(run) as folder:
        stage = WordsStage(folder, _chunks(work, numbers, effects), Judging(labels, judge_of(annotated)), given)
        run.write_rows("words", stage.rows(), chunks.rows_of(work, numbers, "words"))
    run.write("alarms", tables.table_of("alarms", stage.alarms.quality))
    run.write("alarm_bins", tables.table_of("alarm_bins", stage.alarms.bins))
    run.metadata["alarm"] = stage.alarms.as_json()
    if methods:
        with run.watch.measure("certificate"):
            _certificate(run, work, every, place, ExplainSettings(labels, tuple(dict.fromkeys([BASE, *methods]))))


def _effects(work: Work, every: Sequence[Chunk], place: Place, is_all: bool) -> Iterator[pa.Table | None]:
    """Return the effects of covering of each chunk: of tagged captions, or of all whose maps are stored."""
    wanted = explaining.tagged(work) if not is_all else {}
    if is_all:
        images = frozenset(example.image_id for chunk in every for example in chunk.examples)
        wanted = dict.fromkeys(work.settings.attention_beams, images)
    labels = work.settings.evidence.labels if work.settings.evidence else ()
    return explaining.effects(work, every, wanted, ExplainSettings(labels), place)


def covers_all(methods: Sequence[str]) -> bool:
    """Return whether the nouns of all captions are covered, and not only those of captions with a tag."""
    return any(name.startswith("occlusion") for name in methods)


def wrong_reasons(
    work: Work, every: Sequence[Chunk], place: Place, methods: Sequence[str]
) -> dict[tuple[int, str], Tag]:
    """Return tags by (beam size, image id) of captions with a correct noun that does not depend on its object.

    The noun that depends on it least is the evidence. The effects are stored, and `write` reads them again. There are
    none unless `methods` ask for the effects of all nouns.
    """
    if work.settings.evidence is None or not covers_all(methods):
        return {}
    found: dict[tuple[int, str], tuple[float, Tag]] = {}
    for rows in _effects(work, every, place, is_all=True):
        for row in () if rows is None else rows.to_pylist():
            effect, lift, key = row["object_effect"], row["object_lift"], (row["beam_size"], row["image_id"])
            if effect is None or effect >= LITTLE or lift >= 1:
                continue
            if key not in found or effect < found[key][0]:
                evidence = (
                    f"{row['word']}: covering its box changes log p by {effect:.2f} nats, and attention there is "
                    f"{lift:.1f} times that of an even map"
                )
                found[key] = effect, Tag("right for the wrong reason", evidence)
    return {key: tag for key, (_, tag) in found.items()}


def _chunks(work: Work, numbers: Sequence[int], effects: Iterator[pa.Table | None]) -> Iterator[ChunkWords]:
    names = ("words", "images", "samples", "hypotheses")
    for number, own in zip(numbers, effects, strict=True):
        yield ChunkWords(*(next(chunks.parts_of(work, [number], name)) for name in names), own)


def _certificate(
    run: RunInProgress, work: Work, every: Sequence[Chunk], place: Place, settings: ExplainSettings
) -> None:
    """Measure methods on the nouns of a sample of images at the smallest beam size whose maps are stored."""
    size = min(work.settings.attention_beams)
    with_objects = [each.image_id for chunk in every for each in chunk.examples if each.objects]
    some = sample(with_objects, CERTIFIED, 0)
    images = frozenset(each for each in with_objects if some is None or some.has(each))
    found = [each for each in explaining.effects(work, every, {size: images}, settings, place) if each is not None]
    rows = pa.concat_tables(found) if found else tables.table_of("explanations", [])
    run.write("explanations", rows)
    run.write("certificates", tables.table_of("certificates", list(certificate_rows(rows, size))))


def certificate_rows(explanations: pa.Table, size: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of `certificates` of a table `explanations`."""
    measured: dict[str, list[NounMeasure]] = {}
    names = ("image_id", "hit", "chance", "deletion", "insertion", "seconds")
    for row in explanations.select(["method", *names]).to_pylist():
        measured.setdefault(row.pop("method"), []).append(NounMeasure(**row))
    if not measured:
        return
    every = certify(measured)
    best = recommended(every)
    for each in every:
        yield {"beam_size": size, **_row(each), "recommended": each is best}


def _row(each: Certificate) -> dict[str, Any]:
    plain = ("method", "nouns", "images", "chance", "seconds")
    gains = {"hit_gain": each.hit_over_base, "deletion_gain": each.deletion_over_base}
    intervals = {"hit": each.hit, "deletion": each.deletion, "insertion": each.insertion}
    found = {name: getattr(each, name) for name in plain} | {"certified": each.is_certified}
    for name, interval in (intervals | gains | {"insertion_gain": each.insertion_over_base}).items():
        found |= _columns(name, interval)
    return found


def _columns(name: str, interval: Interval | None) -> dict[str, float | None]:
    if interval is None:
        return {}
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
