"""A whole report as one zip: figures, tables, and a report.md that includes them.

Knows the layout of the zip and how a chapter becomes Markdown. `chapters` decides the contents, `exports` writes
figures and tables. Needs no Streamlit. Without a browser for drawing, the zip contains HTML figures and says so.
"""

import io
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dashboard.figures.heatmaps import SCALES, AttentionView, read_subtract
from dashboard.items import Figure, Table
from dashboard.report import exports
from dashboard.report.chapters import chapters
from dashboard.report.exports import markdown_text
from dashboard.report.footnotes import TITLE, Footnotes, is_signature
from dashboard.report.source import PHOTOS, ZERO_SHOT, Chapter, Query, Source, companions, note, numbers
from dashboard.state.answers import answer
from dashboard.state.record import Run, runs_of
from engine.store import database, queries
from engine.store.errors import Problem

Progress = Callable[[int, int, str], None]
"""Called with (number of finished figures and tables, number of all, title of the next one)."""

_DAY = (1980, 1, 1, 0, 0, 0)  # of every file in the zip, so that equal contents give equal bytes
_PLOTLY = "plotly.min.js"
_MOST_PARTS = 1000  # layers or heads; a larger number in a URL is nonsense


class ReportError(ValueError):
    """A report cannot be made; the message names the value, the expectation and the next step."""


@dataclass(frozen=True)
class _Entry:
    """A figure or table with its number and its place in the zip."""

    number: int
    item: Figure | Table

    @property
    def stem(self) -> str:
        folder = "figures" if isinstance(self.item, Figure) else "tables"
        return f"{folder}/{self.number:02d}_{exports.file_name(self.item.name, '')[:-1]}"


def make(source: Source, progress: Progress = lambda done, total, title: None) -> bytes:
    """Return the zip of one run."""
    written = chapters(source)
    kinds = () if exports.browser_missing() else tuple(exports.PICTURES)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in files(written, kinds, progress):
            _add(target, name, content)
        if not kinds and any(isinstance(item, Figure) for chapter in written for item in chapter.items):
            _add(target, f"figures/{_PLOTLY}", _plotly())
        _add(target, "report.md", document(source, written, kinds).encode("utf-8"))
    return buffer.getvalue()


def files(
    written: list[Chapter], kinds: Sequence[str], progress: Progress = lambda done, total, title: None
) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every figure and table of a report.

    Args:
        kinds: formats of figures, of `exports.PICTURES`; none writes HTML pages.

    Raises:
        NoBrowser: figures of these formats cannot be drawn.
    """
    numbered, notes = _numbered(written), _footnotes(written)
    for done, entry in enumerate(numbered.values()):
        progress(done, len(numbered), entry.item.title)
        yield from _files(replace(entry, item=notes.referring(entry.item)), kinds)
    progress(len(numbered), len(numbered), "")


def document(source: Source, written: list[Chapter], kinds: Sequence[str]) -> str:
    """Return report.md: every chapter with its figures and tables, and its provenance.

    Args:
        kinds: the formats of figures, as for `files`; the first is shown, the others are linked.
    """
    numbered, notes = _numbered(written), _footnotes(written)
    parts = [f"# {markdown_text(title(source.run))}"]
    if not kinds:
        parts.append(f"**The figures are HTML pages.** {exports.browser_missing()} Then make the report again.")
    for place, chapter in enumerate(written, 1):
        parts.append(f"## {place}. {markdown_text(chapter.title)}")
        parts += _written(chapter, source, numbered, notes, kinds)
    parts += [*_provenance(source), *_listed(notes)]
    return "\n\n".join(parts) + "\n"


def title(run: Run) -> str:
    """Return the title of a report: the run and its data."""
    data = " ".join(filter(None, [run.text("data", "name"), run.text("data", "split")]))
    return f"Evaluation of run {run.name}" + (f" on {data}" if data else "")


def _written(
    chapter: Chapter, source: Source, numbered: dict[int, _Entry], notes: Footnotes, kinds: Sequence[str]
) -> Iterable[str]:
    if chapter.missing:
        yield f"Not in this report: {chapter.missing}"
        if chapter.command:
            yield f"    {chapter.command}"
        return
    if chapter.lead:
        yield chapter.lead
    for item in chapter.items:
        entry, signed = numbered[id(item)], notes.named(item)
        if isinstance(item, Figure):
            yield _figure(entry, signed, kinds)
        else:  # the title of the document names the run, so tables do not repeat it
            yield _table(item, entry, signed, note(source.run))


def _figure(entry: _Entry, signed: str, kinds: Sequence[str]) -> str:
    label, stem = f"Figure {entry.number}. {markdown_text(entry.item.title)}", entry.stem
    if not kinds:
        return f"[{label}]({stem}.html)" + (f" ({signed})" if signed else "")
    linked = ", ".join(f"[{kind.upper()}]({stem}.{kind})" for kind in kinds[1:])
    beside = [f"({each})" for each in (signed, linked) if each]
    return " ".join([f"![{label}]({stem}.{kinds[0]})\n\n*{label}*", *beside])


def _table(item: Table, entry: _Entry, signed: str, run: str) -> str:
    """Return the table of an entry without the line of its note that names the run."""
    lines = [line for line in item.note.splitlines() if line != run and not is_signature(line)]
    small = "\n".join(filter(None, [*lines, signed]))
    numbered = Table(item.name, f"Table {entry.number}. {item.title}", item.shown, note=small)
    return exports.markdown(numbered) + f"\n([CSV]({entry.stem}.csv), [LaTeX]({entry.stem}.tex))"


def _numbered(written: list[Chapter]) -> dict[int, _Entry]:
    """Return figures and tables by identity, each kind numbered in order."""
    items = [item for chapter in written for item in chapter.items]
    return {id(item): _Entry(number, item) for item, number in zip(items, numbers(items), strict=True)}


def _footnotes(written: list[Chapter]) -> Footnotes:
    return Footnotes(item for chapter in written for item in chapter.items)


def _files(entry: _Entry, kinds: Sequence[str]) -> Iterable[tuple[str, bytes]]:
    if isinstance(entry.item, Table):
        yield from ((f"{entry.stem}.{kind}", exports.table(entry.item, kind)) for kind in exports.TABLES)
    elif kinds:
        yield from ((f"{entry.stem}.{kind}", exports.picture(entry.item, kind)) for kind in kinds)
    else:
        yield f"{entry.stem}.html", exports.page(entry.item, "directory")


def _add(target: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _DAY)
    entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
    target.writestr(entry, content)


def _plotly() -> bytes:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs().encode("utf-8")


# Provenance


def _provenance(source: Source) -> Iterable[str]:
    run = source.run
    yield "## Provenance"
    if run.text("command"):
        yield f"    {' '.join(run.text('command').split())}"
    facts = {
        "Made": run.text("created"),
        "Data": " ".join(filter(None, [run.text("data", "name"), run.text("data", "split")])),
        "Fingerprint of the data": run.text("data", "fingerprint"),
        "Fingerprint of the captioner": run.text("captioner", "fingerprint"),
        "Fingerprint of the predictions": run.text("predictions", "fingerprint"),
        "CLIP": run.text("clip", "name"),
        "Fingerprint of CLIP": run.text("clip", "fingerprint"),
        "Hardware": _joined(run.part("hardware")),
        "Versions": _joined(run.part("versions")),
    }
    yield "\n".join(f"- {name}: {markdown_text(value)}" for name, value in facts.items() if value)
    if run.demo_clip and (source.query(queries.corpus_scores, run.name).metric == "clipscore").any():
        yield "This CLIPScore comes from the demo CLIP and is not comparable to the CLIPScore of ViT-B/32 in papers."


def _listed(notes: Footnotes) -> Iterable[str]:
    """Yield the signatures that figures and tables refer to."""
    if notes.lines():
        yield f"## {TITLE}"
        yield "How each number was computed. Numbers with equal signatures are comparable."
        yield "\n".join(notes.lines())


def _joined(facts: Any) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items()) if isinstance(facts, dict) else ""


# The source


def open_source(
    results: Path,
    name: str,
    beam: int | None = None,
    images: Iterable[str] = (),
    attention: Mapping[str, Any] | None = None,
    parts: Mapping[str, str] | None = None,
) -> tuple[Source, list[Problem]]:
    """Return a run of a results folder as the source of a report, and what could not be read.

    Args:
        parts: names of companion runs, by a name of `source.PARTS`; the record of the run names the others.

    Raises:
        ReportError: there is no such run, beam size or image, or a companion run has nothing to show.
        ResultsError: a file of the results cannot be read.
    """
    connection, problems = database.connect(results)

    def query(function: Callable[..., Any], *arguments: Any) -> Any:
        return answer(connection, function, *arguments)

    runs = runs_of(query(queries.runs))
    run = _named(runs, name, results)
    _check(run, query, beam, tuple(images))
    chosen = {part: _companion(part, _named(runs, other, results), run) for part, other in (parts or {}).items()}
    return Source(
        run, runs, query, results, beam, tuple(images), attention or {}, companions(run, runs) | chosen
    ), problems


def _companion(part: str, other: Run, run: Run) -> Run:
    """Return `other`, or raise where it cannot be the companion of `run` that is called `part`."""
    if part == ZERO_SHOT and run.zero_shot:
        raise ReportError(
            f"--zero-shot {other.name}: run {run.name!r} has zero-shot results of its own; leave the option out"
        )
    held = {ZERO_SHOT: other.zero_shot, PHOTOS: other.attention}[part]
    if not held:
        what = {ZERO_SHOT: "zero-shot results", PHOTOS: "attention maps"}[part]
        raise ReportError(
            f"--{part.replace('_', '-')} {other.name}: the run has no {what}; expected a run made by python -m engine "
            + ("zeroshot" if part == ZERO_SHOT else "evaluate")
        )
    return other


def _named(runs: list[Run], name: str, results: Path) -> Run:
    for run in runs:
        if run.name == name:
            return run
    known = ", ".join(run.name for run in runs)
    there = f"it has {known}" if known else "it has no finished run"
    raise ReportError(
        f"there is no finished run {name!r} in {results}: {there}; "
        "make one with python -m engine evaluate, or name another folder with --results"
    )


def _check(run: Run, query: Query, beam: int | None, images: tuple[str, ...]) -> None:
    sizes = [int(size) for size in query(queries.beam_sizes, run.name).beam_size]
    if beam is not None and beam not in sizes:
        known = ", ".join(map(str, sizes)) or "none"
        raise ReportError(f"run {run.name!r} has no beam size {beam}: expected one of {known}; choose with --beam")
    kept = list(query(queries.attention_beam_sizes, run.name).beam_size)
    for image in images:
        if not any(len(query(queries.has_attention, run.name, int(size), image)) for size in kept):
            raise ReportError(
                f"run {run.name!r} has no attention maps of image {image!r}; expected a file name without extension, "
                'such as those printed by python -m engine sql "SELECT DISTINCT image_id FROM attention"'
            )


def attention_options(attention: Mapping[str, Any]) -> list[str]:
    """Return the command-line options of the attention view in a URL, without defaults and invalid values."""
    words = []
    for name in ("layer", "head"):
        words += [f"--{name}", attention[name]] if str(attention.get(name)) in map(str, range(_MOST_PARTS)) else []
    subtract = read_subtract(attention.get("subtract"))
    words += ["--subtract", subtract] if subtract != AttentionView.subtract else []
    scale, opacity = attention.get("scale"), str(attention.get("opacity"))
    words += ["--colours", scale] if scale in SCALES and scale != AttentionView.scale else []
    sensible = opacity in map(str, range(101)) and opacity != str(AttentionView.opacity)
    return words + (["--opacity", opacity] if sensible else [])
