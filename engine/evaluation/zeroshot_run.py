"""Zero-shot classification as a run: photos are classified by CLIP, or predicted classes are imported."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.data.class_predictions import PredictedClass
from engine.data.dataset import Dataset, Example
from engine.evaluation import metadata
from engine.evaluation.clip_settings import ClipSettings, image_features
from engine.evaluation.run import RunInProgress
from engine.metrics import zeroshot
from engine.store import atomic, tables

if TYPE_CHECKING:
    from engine.models.clip import Clip


@dataclass(frozen=True)
class ZeroShotRun:
    """Settings of a zero-shot classification."""

    name: str
    results: Path
    classes: Dataset
    clip: "Clip"
    templates: tuple[str, ...] = zeroshot.TEMPLATES
    command: str = ""


def zero_shot(settings: ZeroShotRun) -> bool:
    """Classify photos with templates; return False if the run was already finished.

    Raises:
        TemplateError, RunExists, PhotoError: the message says what to do.
    """
    identity = {
        "kind": "zero_shot",
        "classes": settings.classes.fingerprint,
        "labels": metadata.labels(settings.classes),
        "clip": settings.clip.fingerprint,
        "clip_setup": settings.clip.setup,
        "templates": list(settings.templates),
    }
    run = RunInProgress(settings.name, settings.results, identity, settings.command)
    if not run.begin():
        return False
    skipped = classify(run, settings.clip, settings.classes, settings.templates)
    if len(skipped) == len(settings.classes.examples):
        raise metadata.nothing_read(run, settings.classes, skipped)
    run.write("skipped", tables.table_of("skipped", skipped))
    run.metadata |= {
        "kind": "zero_shot",
        "data": {"name": settings.classes.name, "format": settings.classes.format, "path": str(settings.classes.path)}
        | {"split": settings.classes.split, "images": len(settings.classes.examples) - len(skipped)}
        | {"fingerprint": settings.classes.fingerprint}
        | ({"remarks": list(settings.classes.remarks)} if settings.classes.remarks else {}),
        "clip": ClipSettings(settings.clip).metadata(),
        "skipped": len(skipped),
    }
    run.finish()
    return True


@dataclass(frozen=True)
class ImportedClassesRun:
    """Settings of a run that imports predicted classes, by template."""

    name: str
    results: Path
    predictions: dict[str, list[PredictedClass]]
    names: dict[str, str] = field(default_factory=dict)
    """Class names by label number, if known."""
    root: Path | None = None
    command: str = ""


def imported_classes(settings: ImportedClassesRun) -> bool:
    """Import predicted classes as a run without probabilities; return False if the run was already finished."""
    content = {template: [asdict(each) for each in found] for template, found in settings.predictions.items()}
    digest = metadata.digest(content)
    root = None if settings.root is None else str(settings.root.resolve())
    identity = {"kind": "zero_shot", "predictions": digest, "names": settings.names, "root": root}
    run = RunInProgress(settings.name, settings.results, identity, settings.command)
    if not run.begin():
        return False
    rows = [
        _imported_class_row(template, each, settings.names)
        for template, found in settings.predictions.items()
        for each in found
    ]
    run.write("zero_shot", tables.table_of("zero_shot", rows))
    images = len({row["image_id"] for row in rows})
    run.metadata |= {
        "kind": "zero_shot",
        "templates": list(settings.predictions),
        "data": {"name": "imported", "format": "classes", "split": "val", "images": images, "fingerprint": digest},
        "clip": None,
    }
    if root is not None:
        run.metadata["roots"] = {"zero_shot": root}
    run.finish()
    return True


def _imported_class_row(template: str, found: PredictedClass, names: dict[str, str]) -> dict[str, Any]:
    label, predicted = (names.get(number, number) for number in (found.true, found.predicted))
    return {
        "image_id": Path(found.file_name).stem,
        "file_name": found.file_name,
        "template": template,
        "label": label,
        "predicted": predicted,
        "correct": found.true == found.predicted,
        "top": [{"label": predicted, "probability": None}],
    }


def classify(run: RunInProgress, clip: "Clip", classes: Dataset, templates: Sequence[str]) -> list[dict]:
    """Write the table `zero_shot` and the course's CSV per template; return the photos that were skipped."""
    zeroshot.check(templates)
    prompts = [zeroshot.prompts(template, classes.labels) for template in templates]
    paths = [classes.photo(example) for example in classes.examples]
    with run.watch.measure("zero-shot"):
        features, reasons = image_features(run.results, clip, paths, classes.fingerprint)
        usable = [row for row, reason in enumerate(reasons) if reason is None]
        rows: list[dict] = []
        for number, (template, texts) in enumerate(zip(templates, prompts, strict=True) if usable else ()):
            texts_features = clip.text_features(texts).features
            found = zeroshot.classify(features[usable], texts_features, classes.labels, clip.logit_scale)
            rows += [
                _zero_shot_row(classes.examples[row], template, prediction)
                for row, prediction in zip(usable, found, strict=True)
            ]
            _write_course_csv(run.folder / f"zero_shot_{number}.csv", classes, usable, found)
    run.write("zero_shot", tables.table_of("zero_shot", rows))
    run.metadata.setdefault("roots", {})["zero_shot"] = str(classes.root.resolve())
    return [
        {"image_id": example.image_id, "file_name": example.file_name, "reason": reason}
        for example, reason in zip(classes.examples, reasons, strict=True)
        if reason is not None
    ]


def _zero_shot_row(example: Example, template: str, found: zeroshot.Prediction) -> dict[str, Any]:
    return {
        "image_id": example.image_id,
        "file_name": example.file_name,
        "template": template,
        "label": example.label,
        "predicted": found.label,
        "correct": None if example.label is None else found.label == example.label,
        "top": [{"label": label, "probability": probability} for label, probability in found.top],
    }


def _write_course_csv(
    path: Path, classes: Dataset, usable: Sequence[int], found: Sequence[zeroshot.Prediction]
) -> None:
    numbers = dict(zip(classes.labels, classes.label_ids, strict=True))
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")  # file names may contain commas
    lines.writerow(["filename", "label"])
    lines.writerows(
        [classes.examples[row].file_name, numbers[prediction.label]]
        for row, prediction in zip(usable, found, strict=True)
    )
    atomic.write_text(path, text.getvalue())
