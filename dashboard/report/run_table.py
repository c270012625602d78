"""The table of runs and hyperparameters: one row per run and beam size, with the study's published rows below.

Knows records, `queries.headline_scores` and the published figures. Draws no page.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dashboard.items import Table
from dashboard.metrics import HEADLINES, headlines
from dashboard.state.record import Run
from dashboard.text import formatting
from engine.store import published
from engine.store.frames import named_rows

TITLE = "Runs and hyperparameters"

_PUBLISHED_DATA = "the study's validation images"
_MODEL = {"Encoder": "encoder", "Layers": "decoder_layers", "Heads": "heads", "Width": "d_model"}
_TRAINING = {"Batch": "batch_size", "Learning rate": "learning_rate", "Epochs": "epochs"}
_PROMPTED = {"Prompt": "prompt", "Revision": "revision", "Precision": "dtype"}
_SETTINGS = ["Run", *_MODEL, *_TRAINING, "Beam size"]
_DATA = ["Data", "Images"]
_SHORTEST = 60  # characters of a prompt in a cell; the Overview has it whole
_SETTING_NAMES = {
    **{"Encoder": "encoder", "Layers": "num_layers", "Heads": "nhead", "Width": "hidden_size"},
    **_TRAINING,
}


def table(runs: Sequence[Run], scores: pd.DataFrame, results: Path) -> Table:
    """Return one row per run and beam size; all scores of a row are of the same captions.

    Args:
        runs: in the order of the rows; a run without scores has a row without numbers.
        scores: `queries.headline_scores`; it may have columns of further metrics.
        results: the results folder, for the published figures.

    A setting that is not in the record is blank.
    """
    rows = [row for run in runs for row in _rows(run, scores[scores.run == run.name])]
    rows += _published(results)
    columns = [*_SETTINGS, *map(formatting.title, headlines(scores.columns)), *_DATA, *_PROMPTED]
    shown = pd.DataFrame([[row.get(name, "") for name in columns] for row in rows], columns=columns)
    # Drop columns without any entry.
    shown = shown.loc[:, [name for name in shown.columns if (shown[name] != "").any()]]
    small = _note(results, any(run.demo_clip for run in runs))
    short = {"Learning rate": "LR", "Epochs": "Ep.", "Beam size": "Beam", "CLIPScore": "CLIP-S"}
    return Table("runs", TITLE, shown, note=small, heads=short)


def listed(run: Run, runs: Sequence[Run]) -> list[Run]:
    """Return the runs of the table: all runs with captions, and `run` itself."""
    return [each for each in runs if each.captions or each.name == run.name]


def _rows(run: Run, scores: pd.DataFrame) -> list[dict[str, str]]:
    shared = {
        "Run": run.shown,
        **{title: run.text("captioner", key) for title, key in _MODEL.items()},
        **{title: _short(run.text("captioner", "training", key)) for title, key in _TRAINING.items()},
        **{title: formatting.shortened(run.text("captioner", key), _SHORTEST) for title, key in _PROMPTED.items()},
        "Data": " ".join(filter(None, [run.text("data", "name"), run.text("data", "split")])),
        "Images": f"{run.images or run.zero_shot:,}",
    }
    if scores.empty:
        return [shared]
    return [shared | {"Beam size": run.beam(row.beam_size)} | _scores(run, row._asdict()) for row in named_rows(scores)]


def _short(number: str) -> str:
    """Return a small number as the study writes it: 5e-5, not 5e-05."""
    return number.replace("e-0", "e-")


def _scores(run: Run, row: Mapping[str, Any]) -> dict[str, str]:
    """Return the known scores of a row; those of the demo CLIP are marked, because they have another scale."""
    known = {name: float(row[name]) for name in headlines(row) if pd.notna(row[name])}
    demo = {"clipscore"} if run.demo_clip else set()
    return {
        formatting.title(name): formatting.score(name, value) + (" (demo CLIP)" if name in demo else "")
        for name, value in known.items()
    }


def _published(results: Path) -> list[dict[str, str]]:
    """Return the published rows: six settings with greedy search, and all beam sizes of the best setting."""
    best = published.settings(results).frame.set_index("name").value.to_dict()
    shared = {"Run": published.LABEL, "Data": _PUBLISHED_DATA, "Images": f"{published.CAPTION_IMAGES:,}"}
    settings = shared | {title: best.get(key, "") for title, key in _SETTING_NAMES.items()}
    attempts = [
        settings
        | {"Encoder": row.encoder, "Layers": row.num_layers, "Heads": row.nhead, "Batch": row.batch_size}
        | {"Beam size": formatting.beam(1)}
        | {formatting.title(name): formatting.score(name, getattr(row, name)) for name in HEADLINES}
        for row in named_rows(published.attempts(results).frame)
    ]
    beams = published.beams(results).frame
    decodings = [
        settings
        | {"Beam size": formatting.beam(size)}
        | {formatting.title(row.metric): formatting.score(row.metric, row.value) for row in named_rows(rows)}
        for size, rows in beams[beams.metric.isin(HEADLINES)].groupby("beam_size")
    ]
    return attempts + decodings


def _note(results: Path, has_demo: bool) -> str:
    lines = ["Scores on different data or with a different CLIP are not comparable."]
    if has_demo:
        lines.append("CLIPScores of the demo CLIP, a small model, have another scale.")
    sources = published.attempts(results).frame.source.tolist() + published.beams(results).frame.source.tolist()
    named = "; ".join(dict.fromkeys(name for name in sources if isinstance(name, str)))
    return "\n".join(
        [*lines, *([f"Published: {named}."] if named else []), *filter(None, [published.contradiction(results)])]
    )
