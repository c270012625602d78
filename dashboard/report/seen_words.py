"""The chapter on which words were seen: certificates of methods, the alarm, twins, and the most alarming nouns.

Knows runs, queries and photos. The map of a word is that of the recommended method, else of attention.
"""

import math
from typing import Any

import pandas as pd
from PIL import Image

from dashboard.figures import alarms, panels, word_maps
from dashboard.figures.panels import Panel
from dashboard.figures.thumbnails import LARGE, photo, pixels
from dashboard.items import Figure, Table
from dashboard.report import twins, word_tables
from dashboard.report.source import Chapter, Source, note
from dashboard.text import evidence, formatting
from engine.store import queries
from engine.store.frames import named_rows

TITLE = "Which words were seen"
_SHOWN = 5  # words
_ATTENTION = "attention"
_NAME = "alarming_words"


def chapters(source: Source) -> list[Chapter]:
    """Return the chapter, if the run has the tables of words."""
    run, beam = source.run, source.setting()
    if beam is None or not source.query(queries.has_words, run.name).iloc[0].words:
        return []
    quality = source.query(queries.alarms, run.name)
    certified = source.query(queries.certificates, run.name)
    rows = [row for row in named_rows(quality) if row.beam_size == beam]
    measured = " ".join(map(alarms.alarm_sentence, rows))
    twin = twins.sentence(source.query(queries.twin_shares, run.name))
    lead = " ".join(filter(None, [measured, evidence.ALARM, _certificate(certified), twin]))
    parts = (*_stored(source, beam, measured), *twins.items(run, source.query), *_alarming(source, beam, certified))
    return [Chapter(TITLE, lead, parts)]


def _certificate(found: pd.DataFrame) -> str:
    return alarms.certificate_sentence(found) if len(found) else ""


def _stored(source: Source, beam: int, measured: str) -> list[Figure | Table]:
    """Return the tables and the curve of the alarm, which has `measured` in its small print."""
    found = word_tables.items(source.run, beam, source.query)
    return [
        Figure(each.name, each.title, each.draw, f"{each.note}\n{measured}".strip())
        if isinstance(each, Figure)
        else each
        for each in found
    ]


def _alarming(source: Source, beam: int, certified: pd.DataFrame) -> list[Figure | Table]:
    """Return the most alarming nouns as a figure of photos with maps, and as a table."""
    run = source.run
    found = source.query(queries.suspicious_words, run.name, beam, _SHOWN)
    if found.empty:
        return []
    best = next((str(row.method) for row in named_rows(certified) if row.recommended), _ATTENTION)
    every = [_word(source, beam, row) for row in named_rows(found)]
    drawn = lambda: panels.panels(  # noqa: E731
        _title(beam, source), [each for word in every for each in _panels(source, beam, word, best)], across=2
    )
    small = note(
        run, evidence.COVERED, f"Map: {best} if it was measured for the word, else attention of the last layer"
    )
    return [
        Figure(_NAME, _title(beam, source), drawn, small),
        Table(_NAME, _title(beam, source), _shown(every), pd.DataFrame(every), small),
    ]


def _title(beam: int, source: Source) -> str:
    return f"Most alarming nouns {formatting.of_setting(beam, source.run.is_sampled)}"


def _word(source: Source, beam: int, row: Any) -> Any:
    """Return the row of `queries.case_words` of a word, with its image and caption."""
    words = source.query(queries.case_words, source.run.name, beam, row.image_id)
    mine = words[words.word_index == row.word_index]
    case = source.query(queries.case, source.run.name, beam, row.image_id)
    caption, file_name = (case[name].iloc[0] if len(case) else None for name in ("caption", "file_name"))
    return next(named_rows(mine.assign(image_id=row.image_id, caption=caption, file_name=file_name)))


def _shown(words: list[Any]) -> pd.DataFrame:
    rows = [
        {
            "Image": word.image_id,
            "Word": word.word,
            "Caption": formatting.caption(word.caption),
            "Alarm": formatting.number(word.alarm, 2),
            "Agreement": formatting.number(word.agreement, 2),
            "Verdict": _verdict(word),
            "p(word)": formatting.number(math.exp(word.logprob)),
            "Region covered": _covered(word, word.region_effect),
            "Object covered": _covered(word, word.object_effect),
        }
        for word in words
    ]
    return pd.DataFrame(rows)


def _verdict(word: Any) -> str:
    parts = [part for part in (word.verdict, word.evidence) if isinstance(part, str) and part]
    return ": ".join(parts) or "–"


def _covered(word: Any, effect: float) -> str:
    return "–" if pd.isna(effect) else formatting.number(evidence.after(word.logprob, effect))


def _panels(source: Source, beam: int, word: Any, method: str) -> list[Panel]:
    """Return the photo of a word, and the photo with the word's map if maps are stored."""
    root = source.run.root("images")
    p = f"p(word) {formatting.number(math.exp(word.logprob))}"
    region, box = _covered(word, word.region_effect), _covered(word, word.object_effect)
    covered = f"{p}; region covered {region}; object covered {box}"
    said = f"agreement {formatting.number(word.agreement, 2)} · {_verdict(word)} · {covered}"
    shown, missing = pixels(root, word.file_name, LARGE), photo(root, word.file_name).missing
    badge = f"alarm {formatting.number(word.alarm, 2)}"
    first = Panel(shown, missing, badge, f"{word.word}: {formatting.caption(word.caption)}", said)
    name, map_ = _map(source, beam, word, method, shown)
    return [first, Panel(map_, f"no map of {word.word} is stored", name, f"{word.image_id}: map of {word.word}")]


def _map(
    source: Source, beam: int, word: Any, method: str, shown: Image.Image | None
) -> tuple[str, Image.Image | None]:
    """Return the name of the method and the map of a word."""
    found = source.query(queries.attention, source.run.name, beam, word.image_id)
    if found.empty or word.word_index >= int(found.iloc[0]["shape"][0]):
        return "", None
    rows = source.query(queries.word_maps, source.run.name, beam, word.image_id, int(word.word_index))
    mine = rows[rows["method"] == method]
    if len(mine):
        return method, word_maps.of_method(found.iloc[0], shown, mine.iloc[0])
    return _ATTENTION, word_maps.of_attention(found.iloc[0], shown, int(word.word_index))
