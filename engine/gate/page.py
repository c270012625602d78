"""The gate's report: one HTML file without scripts, with everything that it shows inside.

Texts of files are escaped; the page loads nothing.
"""

import base64
import io
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from html import escape
from pathlib import Path, PurePath

import numpy as np

from engine.data.photos import PhotoError, open_photo
from engine.diagnosis.slices import Slice
from engine.gate import rerun, words
from engine.gate.comparison import Comparison, worst
from engine.gate.decision import POWER, RULE, Decision, Verdict
from engine.gate.style import STYLE
from engine.reading import printable
from engine.store.schema import METRICS

SLICES = 3
_PHOTOS = 4
"""Images shown of each slice."""
_RERUN = 100
"""Images in the command that reruns a slice."""
_THUMBNAIL = 240


def html(comparison: Comparison) -> str:
    """Return the report of a comparison."""
    head = f"{_verdict_words(comparison)}: {comparison.new} against {comparison.old}"
    parts = [*_summary(comparison), *_slices(comparison), *_changed_words(comparison), *_method(comparison)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(head)}</title><style>{STYLE}</style></head><body><main>\n{''.join(parts)}</main></body></html>\n"
    )


def sentences(comparison: Comparison) -> list[str]:
    """Return the verdict and its numbers, as lines of plain text."""
    found, title = comparison.decision, METRICS[comparison.metric].title
    old, new = (_number(comparison, value) for value in (found.old, found.new))
    lines = [
        f"{_verdict_words(comparison)}: {title} of {comparison.new} is {new}, of {comparison.old} {old}, on the same "
        f"{found.images:,} images",
        f"{_size(comparison)}; the limit is {_limit(comparison)}",
    ]
    if found.images > 1:
        lines[1] += f"; with 95 % confidence the loss is above {_number(comparison, found.low)}"
    if found.verdict is Verdict.UNDECIDED:
        lines.append(_undecided(comparison))
    return [*lines, _power(comparison)]


def _size(comparison: Comparison) -> str:
    """Return the loss or the gain, also as a share of the old value."""
    found = comparison.decision
    share = f" ({100 * abs(found.loss / found.old):.2f} %)" if found.old else ""
    return f"{'loss' if found.loss > 0 else 'gain'} {_number(comparison, abs(found.loss))}{share}"


def _limit(comparison: Comparison) -> str:
    limit = comparison.limit
    absolute = f" = {_number(comparison, comparison.decision.limit)}" if limit.is_relative else ""
    return f"a loss of {limit}{absolute}"


def _undecided(comparison: Comparison) -> str:
    found = comparison.decision
    highest = "any size" if not np.isfinite(found.high) else f"up to {_number(comparison, found.high)}"
    return f"these images cannot decide: a loss of {highest} is compatible with them; evaluate more images"


def _power(comparison: Comparison) -> str:
    found: Decision = comparison.decision
    if found.needed is None:
        return "no image differs" if not found.differing else "one image has no variance"
    size = _number(comparison, found.change)
    share = f" ({100 * found.change / abs(found.old):.3g} %)" if found.old else ""
    return (
        f"to detect a loss of {size}{share} with {100 * POWER:.0f} % probability, {found.needed:,} images are needed; "
        f"this comparison has {found.images:,}"
    )


def _verdict_words(comparison: Comparison) -> str:
    return {
        Verdict.FAILED: "FAILED",
        Verdict.PASSED: "PASSED",
        Verdict.UNDECIDED: "PASSED, not decided",
    }[comparison.decision.verdict]


def _number(comparison: Comparison, value: float) -> str:
    return f"{value:.{METRICS[comparison.metric].digits}f}"


def _summary(comparison: Comparison) -> Iterator[str]:
    found = comparison.decision
    first, *rest = sentences(comparison)
    yield f'<h1 class="{found.verdict.value}">{_text(_verdict_words(comparison))}</h1>'
    yield f'<p class="lead">{_text(first.split(": ", 1)[1])}.</p><ul>'
    for line in rest:
        yield f"<li>{_text(line[0].upper() + line[1:])}.</li>"
    yield f"<li>{found.differing:,} of {found.images:,} images have another score.</li></ul>"


def _slices(comparison: Comparison) -> Iterator[str]:
    found = comparison.slices[:SLICES]
    yield "<h2>Where the loss is</h2>"
    for rank, each in enumerate(found, 1):
        yield from _slice(comparison, rank, each)
    if len(found) < SLICES:
        yield f"<h3>{'Other' if found else 'All'} images</h3>"
        yield f"<p>No {'other ' if found else ''}condition of the images explains the difference.</p>"
        seen = np.concatenate([np.zeros(0, np.int64), *(each.images for each in found)])
        rows = worst(comparison, np.setdiff1d(np.arange(len(comparison.images)), seen), _RERUN)
        yield _cases(comparison, rows[: 2 * _PHOTOS]) + _command(comparison, rows)


def _slice(comparison: Comparison, rank: int, each: Slice) -> Iterator[str]:
    signed = [f"{value:+.{METRICS[comparison.metric].digits}f}" for value in (each.inside, each.outside)]
    bounds = f"{each.low:+.3f} to {each.high:+.3f}"
    yield f"<h3>{rank}. {_text(each.condition)}</h3>"
    yield (
        f"<p>{each.size:,} images: mean change {signed[0]}, on other images {signed[1]} "
        f"(95 % interval of the difference {bounds}, q = {each.q:.3f}).</p>"
    )
    if each.also:
        yield f"<p>Mostly the same images: {_text('; '.join(each.also))}.</p>"
    rows = worst(comparison, each.images, _RERUN)
    yield _cases(comparison, rows[:_PHOTOS]) + _command(comparison, rows)


def _cases(comparison: Comparison, rows: Sequence[int]) -> str:
    return f'<div class="cases">{"".join(_case(comparison, row) for row in rows)}</div>'


def _case(comparison: Comparison, row: int) -> str:
    image = comparison.images.slice(row, 1).to_pylist()[0]
    scores = f"{_number(comparison, comparison.old_values[row])} → {_number(comparison, comparison.new_values[row])}"
    references = "".join(f"<li>{_text(each)}</li>" for each in (image["references"] or [])[:5])
    return (
        f"<figure>{_photo(comparison, image['file_name'])}<figcaption><b>{_text(image['image_id'])}</b> {scores}"
        f"<p>{_changes(comparison.old_captions[row], comparison.new_captions[row])}</p>"
        f"<details><summary>references</summary><ul>{references}</ul></details></figcaption></figure>"
    )


def _photo(comparison: Comparison, file_name: str | None) -> str:
    """Return a photo of the new or the old run as an element, or a sentence that says that it is missing."""
    for setting in (comparison.new, comparison.old):
        root = (setting.record.get("roots") or {}).get("images")
        if isinstance(root, str) and file_name and _is_inside(file_name):
            try:
                return f'<img alt="" src="{_data_uri(Path(root) / file_name)}">'
            except PhotoError:
                continue
    return f'<p class="missing">no photo: {_text(file_name or "")}</p>'


def _is_inside(file_name: str) -> bool:
    """Return whether a name of a results file stays in the folder of the photos."""
    name = PurePath(file_name)
    return not name.is_absolute() and ".." not in name.parts and "\0" not in file_name


def _data_uri(path: Path) -> str:
    photo, buffer = open_photo(path), io.BytesIO()
    photo.thumbnail((_THUMBNAIL, _THUMBNAIL))
    photo.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _changes(old: str, new: str) -> str:
    """Return what turns the old caption into the new one, as HTML."""
    before, after = old.split(), new.split()
    parts: list[str] = []
    for kind, i0, i1, j0, j1 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            parts.append(_text(" ".join(after[j0:j1])))
            continue
        for tag, some in (("del", before[i0:i1]), ("ins", after[j0:j1])):
            if some:
                parts.append(f"<{tag}>{_text(' '.join(some))}</{tag}>")
    return " ".join(parts) or "(no words)"


def _command(comparison: Comparison, rows: Sequence[int]) -> str:
    """Return the command that reruns images, as an element."""
    ids = [comparison.images["image_id"][row].as_py() for row in rows]
    if not ids:
        return ""
    found = rerun.command(comparison.new.run, comparison.new.record, ids)
    if not found:
        return f"<p>Ids of these {len(ids):,} images, for --only:</p><pre>{_text(' '.join(ids))}</pre>"
    note = "CIDEr of a part of the images has other document frequencies: compare captions, not its value."
    return (
        f"<p>Caption or score the {len(ids):,} images that lost most again:</p><pre>{_text(found)}</pre><p>{note}</p>"
    )


def _changed_words(comparison: Comparison) -> Iterator[str]:
    old, new, references = comparison.old_captions, comparison.new_captions, comparison.references
    yield "<h2>Words that went wrong</h2><div class='columns'>"
    for title, explained, found in (
        ("Lost words", "Words of the references that old captions have and new ones lack", words.lost),
        ("Wrong words", "Words of no reference that new captions have and old ones lack", words.gained),
    ):
        changes = found(old, new, references)
        rows = "".join(
            f"<tr><td>{_text(each.word)}</td><td>{each.worse:,}</td><td>{each.better:,}</td></tr>" for each in changes
        )
        table = f"<table><tr><th>word</th><th>images</th><th>reverse</th></tr>{rows}</table>" if rows else "<p>none</p>"
        yield f"<section><h3>{title}</h3><p>{explained}; reverse: the other way round.</p>{table}</section>"
    yield "</div>"


def _method(comparison: Comparison) -> Iterator[str]:
    metric = METRICS[comparison.metric]
    direction = "higher is better" if metric.higher_is_better else "lower is better"
    yield f"<h2>How it was decided</h2><p>{_text(RULE)}</p>"
    yield f"<p>{_text(metric.title)} ({_text(metric.unit)}, {direction}): {_text(metric.definition)}.</p>"


def _text(text: object) -> str:
    """Return a text for HTML, without control characters."""
    return escape(printable(str(text)))
