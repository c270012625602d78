"""Zero-shot classification as a run: photos classified by CLIP, or classes that were predicted elsewhere.

Knows the order of the stages. The classification itself is `zeroshot`, the model `clip`.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.data.dataset import Dataset, Example
from engine.data.predictions import PredictedClass
from engine.evaluation import metadata
from engine.evaluation.run import RunInProgress
from engine.evaluation.scoring import ClipSettings, image_features
from engine.metrics import zeroshot
from engine.store import atomic, tables

if TYPE_CHECKING:
    from engine.models.clip import Clip


@dataclass(frozen=True)
class ZeroShotRun:
    """What `zeroshot` is asked for."""

    name: str
    results: Path
    classes: Dataset
    clip: "Clip"
    templates: tuple[str, ...] = zeroshot.TEMPLATES
    command: str = ""


def zero_shot(ask: ZeroShotRun) -> bool:
    """Classifies photos by templates; False where the run was finished already.

    Raises:
        TemplateError, RunExists, PhotoError: with what to do.
    """
    plan = {
        "kind": "zero_shot",
        "classes": ask.classes.fingerprint,
        "labels": metadata.labels(ask.classes),
        "clip": ask.clip.fingerprint,
        "clip_setup": ask.clip.setup,
        "templates": list(ask.templates),
    }
    run = RunInProgress(ask.name, ask.results, plan, ask.command)
    if not run.begin():
        return False
    aside = classify(run, ask.clip, ask.classes, ask.templates)
    if len(aside) == len(ask.classes.examples):
        raise metadata.nothing_read(run, ask.classes, aside)
    run.write("skipped", tables.table_of("skipped", aside))
    run.facts |= {
        "kind": "zero_shot",
        "data": {"name": ask.classes.name, "format": ask.classes.format, "path": str(ask.classes.path)}
        | {"split": ask.classes.split, "images": len(ask.classes.examples) - len(aside)}
        | {"fingerprint": ask.classes.fingerprint},
        "clip": ClipSettings(ask.clip).facts(),
        "skipped": len(aside),
    }
    run.finish()
    return True


@dataclass(frozen=True)
class ImportedClassesRun:
    """What `zeroshot --predictions` is asked for: template -> classes predicted elsewhere."""

    name: str
    results: Path
    predictions: dict[str, list[PredictedClass]]
    names: dict[str, str] = field(default_factory=dict)
    """Class names by label number, where they are known."""
    root: Path | None = None
    command: str = ""


def imported_classes(ask: ImportedClassesRun) -> bool:
    """A zero-shot run of classes predicted elsewhere, without probabilities; False where it was finished already."""
    content = {template: [asdict(each) for each in found] for template, found in ask.predictions.items()}
    digest = metadata.digest(content)
    root = None if ask.root is None else str(ask.root.resolve())
    plan = {"kind": "zero_shot", "predictions": digest, "names": ask.names, "root": root}
    run = RunInProgress(ask.name, ask.results, plan, ask.command)
    if not run.begin():
        return False
    rows = [
        _imported_class_row(template, each, ask.names) for template, found in ask.predictions.items() for each in found
    ]
    run.write("zero_shot", tables.table_of("zero_shot", rows))
    images = len({row["image_id"] for row in rows})
    run.facts |= {
        "kind": "zero_shot",
        "templates": list(ask.predictions),
        "data": {"name": "imported", "format": "classes", "split": "val", "images": images, "fingerprint": digest},
        "clip": None,
    }
    if root is not None:
        run.facts["roots"] = {"zero_shot": root}
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
    """Write the `zero_shot` table and the course's CSV per template; return the photos that could not be read."""
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
    run.facts.setdefault("roots", {})["zero_shot"] = str(classes.root.resolve())
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
    lines = csv.writer(text, lineterminator="\n")  # a file name may have a comma
    lines.writerow(["filename", "label"])
    lines.writerows(
        [classes.examples[row].file_name, numbers[prediction.label]]
        for row, prediction in zip(usable, found, strict=True)
    )
    atomic.write_text(path, text.getvalue())
