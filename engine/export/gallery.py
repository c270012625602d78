"""A gallery that opens by a double click: a folder with one HTML page and small copies of the photos.

The page needs no server and makes no request to another host. Captions, names and tags are data for its script, which
shows them as text; a content security policy forbids every other script.
"""

import base64
import hashlib
import html
import json
import math
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from engine.data.photos import PhotoError, open_photo, read_ahead
from engine.export.flat import tags_of, texts_of
from engine.export.source import Source
from engine.export.target import new_folder
from engine.store.frames import named_rows

SIZE = 320
"""Pixels of the longer side of the copies."""

_QUALITY = 82
_HERE = Path(__file__).parent


def write(source: Source, target: Path) -> str:
    """Write the folder `target` with `index.html` and `photos/`, and return a sentence on missing photos.

    Raises:
        ExportError: `target` exists.
        OSError: the folder cannot be written.
    """
    with new_folder(target) as folder:
        photos = _write_photos(source, folder / "photos")
        (folder / "index.html").write_text(page(source, photos), encoding="utf-8")
    missing = photos.count(None)
    return f"{missing:,} of {len(photos):,} photos cannot be read and are left out" if missing else ""


def _write_photos(source: Source, folder: Path) -> list[str | None]:
    """Write small copies of the photos, and return the file name of each; None if a photo cannot be read."""
    folder.mkdir()
    names: list[str | None] = []
    paths = map(source.photo, source.cases.file_name)
    for number, content in enumerate(read_ahead(paths, _small)):
        # Names of our own: those of the photos come from anywhere, and may differ only in their folders.
        name = None if content is None else f"{number:06d}.jpg"
        if name is not None:
            (folder / name).write_bytes(content)
        names.append(name)
    return names


def _small(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        photo = open_photo(path)
    except PhotoError:
        return None
    photo.thumbnail((SIZE, SIZE), Image.Resampling.LANCZOS)
    content = BytesIO()
    photo.save(content, "JPEG", quality=_QUALITY)
    return content.getvalue()


def page(source: Source, photos: list[str | None]) -> str:
    """Return the HTML page; `photos` are the file names of the copies in the folder `photos/`, one per case."""
    script = (_HERE / "gallery.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    parts = {
        "TITLE": html.escape(_title(source)),
        "LEAD": "\n".join(f"<p>{html.escape(line)}</p>" for line in _lead(source)),
        "DATA": _json(_data(source, photos)),
        "SCRIPT": script,
        "HASH": f"sha256-{digest}",
    }
    # Split first: what is filled in may contain the marks of other parts.
    pieces = (_HERE / "gallery.html").read_text(encoding="utf-8").split("{{")
    filled = [pieces[0]]
    for piece in pieces[1:]:
        name, _, rest = piece.partition("}}")
        filled += [parts[name], rest]
    return "".join(filled)


def _json(value: Any) -> str:
    """Return JSON that cannot end the element of a script it is in."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _title(source: Source) -> str:
    beam = f", beam size {source.beam_size}" if source.beam_size else ""
    return f"Captions of run {source.run}{beam}"


def _lead(source: Source) -> list[str]:
    """Return the data and the corpus values with their intervals."""
    data = " ".join(filter(None, [source.text("data", "name"), source.text("data", "split")]))
    digits = {metric.key: (metric.title, metric.digits) for metric in source.metrics}
    values = []
    for row in named_rows(source.corpus[source.corpus.metric.isin(list(digits))]):
        title, places = digits[row.metric]
        known = all(isinstance(bound, float) and math.isfinite(bound) for bound in (row.low, row.high))
        interval = f" (95 % CI {row.low:.{places}f}-{row.high:.{places}f})" if known else ""
        values.append(f"{title} {row.value:.{places}f}{interval}")
    return [line for line in (f"{data}: {len(source.cases):,} images".removeprefix(": "), "; ".join(values)) if line]


def _data(source: Source, photos: list[str | None]) -> dict[str, Any]:
    cases = source.cases
    tags = list(dict.fromkeys(tag for value in cases.tags for tag in tags_of(value)))
    place = {tag: number for number, tag in enumerate(sorted(tags))}
    scores = cases[[metric.key for metric in source.metrics]].to_numpy(float, na_value=math.nan)
    rows = [
        [
            row.image_id,
            row.caption if isinstance(row.caption, str) else "",
            texts_of(row.references),
            [place[tag] for tag in tags_of(row.tags)],
            [_rounded(value) for value in values],
            photo,
        ]
        for row, values, photo in zip(named_rows(cases), scores.tolist(), photos, strict=True)
    ]
    metrics = [
        {"title": each.title, "digits": each.digits, "higher_is_better": each.higher_is_better}
        for each in source.metrics
    ]
    return {"metrics": metrics, "tags": sorted(tags), "cases": rows}


def _rounded(value: float) -> float | None:
    """Return a score with the digits that a page can show; None if it is not known."""
    return round(value, 9) if math.isfinite(value) else None
