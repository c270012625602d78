"""Captions compared word by word: with their references, and with other captions.

Compares words as metrics do: lower case, without punctuation. Knows no score, no run and no page. Returns HTML with
escaped words; a mark is never only a colour.
"""

import re
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher

from dashboard.text.formatting import escaped
from dashboard.theme import COLOURS, DARK, LIGHT

_EDGES = re.compile(r"^\W+|\W+$")
_CLITIC = re.compile(r"(?<=\w)('s|'re|'ve|'ll|'d|'m|n't)$")

# Thin letters need a darker colour on white than areas do.
_ORANGE = {LIGHT: "#A84A00", DARK: COLOURS[DARK][1]}

MATCHED, UNMATCHED = "matched", "unmatched"
ADDED, REMOVED = "added", "removed"


def tokens(word: str) -> list[str]:
    """Return the tokens of a word as a metric sees them: `Dog's,` gives dog and 's, `--` gives nothing."""
    bare = _EDGES.sub("", word.lower())
    clitic = _CLITIC.search(bare)
    return [part for part in ([bare[: clitic.start()], clitic[0]] if clitic else [bare]) if part]


def counted(caption: str) -> Counter[str]:
    """Return how often each token occurs in a caption."""
    return Counter(part for word in str(caption).split() for part in tokens(word))


def against(caption: str, allowed: Counter[str]) -> list[tuple[str, str]]:
    """Return (word, MATCHED, UNMATCHED or "") for each word of `caption`; a word matches as often as `allowed` has it.

    "" marks what metrics ignore, such as a dash.
    """
    left, marked = Counter(allowed), []
    for word in str(caption).split():
        parts = tokens(word)
        found = bool(parts) and all(left[part] > 0 for part in parts)
        left.subtract(parts if found else [])
        marked.append((word, "" if not parts else MATCHED if found else UNMATCHED))
    return marked


def candidate(caption: str, references: Sequence[str]) -> list[tuple[str, str]]:
    """Return the words of a caption, marked by whether a reference has them as often (clipped as in BLEU)."""
    most: Counter[str] = Counter()
    for reference in references:
        most |= counted(reference)
    return against(caption, most)


def both(left: str, right: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return the words of two captions, marked UNMATCHED where the other caption has no such word at that place."""
    marked: tuple[list[tuple[str, str]], list[tuple[str, str]]] = [], []
    for is_equal, *parts in _aligned(left, right):
        for side, words in zip(marked, parts, strict=True):
            side += [(word, "" if is_equal or not tokens(word) else UNMATCHED) for word in words]
    return marked


def _aligned(before: str, after: str) -> list[tuple[bool, list[str], list[str]]]:
    """Return the parts of two captions in reading order: whether both are equal, and the words of each."""
    old, new = str(before).split(), str(after).split()
    keys = [[tuple(tokens(word)) or word for word in words] for words in (old, new)]
    codes = SequenceMatcher(None, *keys, autojunk=False).get_opcodes()
    return [(kind == "equal", old[i0:i1], new[j0:j1]) for kind, i0, i1, j0, j1 in codes]


def changes(before: str, after: str) -> list[tuple[str, str]]:
    """Return (word, ADDED, REMOVED or "") that turn one caption into another, in reading order."""
    marked: list[tuple[str, str]] = []
    for is_equal, old, new in _aligned(before, after):
        marked += [] if is_equal else [(word, REMOVED) for word in old]
        marked += [(word, "" if is_equal else ADDED) for word in new]
    return marked


def html(marked: Sequence[tuple[str, str]]) -> str:
    """Return marked words as HTML; `style` defines how the marks are drawn."""
    tags = {MATCHED: "mark", UNMATCHED: "mark", ADDED: "ins", REMOVED: "del"}
    spans = []
    for word, mark in marked:
        tag = tags.get(mark, "span")
        spans.append(f'<{tag} class="w-{mark}">{escaped(word)}</{tag}>' if mark else escaped(word))
    return " ".join(spans)


def style(template: str) -> str:
    """Return the style of the marks: each has a colour and a line, and either alone identifies it."""
    blue, orange = COLOURS[template][0], _ORANGE[template]
    return f"""<style>
.w-matched, .w-unmatched, .w-added, .w-removed {{ background: none; padding: 0 0.05em; }}
.w-matched {{ color: {blue}; text-decoration: underline 2px; text-underline-offset: 0.22em; }}
.w-unmatched {{ color: {orange}; text-decoration: underline wavy 1.5px; text-underline-offset: 0.22em; }}
.w-added {{ color: {blue}; font-weight: 700; text-decoration: underline 2px; text-underline-offset: 0.22em; }}
.w-removed {{ color: {orange}; text-decoration: line-through 2px; }}
.wording {{ line-height: 1.75; overflow-wrap: anywhere; }}
.wording ul {{ margin: 0.2rem 0 0.4rem; padding-left: 1.1rem; }}
.wording .candidate {{ font-size: 1.25rem; font-weight: 600; line-height: 1.6; margin: 0.2rem 0; }}
.wording .legend {{ font-size: 0.8rem; line-height: 1.4; }}
.wording table {{ border-collapse: collapse; width: 100%; font-size: 0.9rem; line-height: 1.5; }}
.wording th, .wording td {{ text-align: left; padding: 0.25rem 0.5rem; vertical-align: top; }}
.wording th, .wording td {{ border-bottom: 1px solid #8884; }}
.wording th {{ white-space: nowrap; }}
.wording td.number {{ text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }}
.wording tr.this td {{ background: #8882; }}
.wording {{ container-type: inline-size; }}
@container (max-width: 24rem) {{ /* numbers below the caption, each with its name */
  .wording thead {{ display: none; }}
  .wording tr {{ display: block; padding: 0.3rem 0; border-bottom: 1px solid #8884; }}
  .wording tr.this {{ background: #8882; }}
  .wording td {{ display: block; border: 0; padding: 0 0.5rem; }}
  .wording tr.this td {{ background: none; }}
  .wording td.number {{ display: inline-block; }}
  .wording td.number::before {{ content: attr(data-name) " "; opacity: 0.7; }}
}}
</style>"""
