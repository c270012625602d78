"""Captions word by word: which words of a caption its references have, and what changed from one caption to another.

Knows words as a metric sees them: lower case, punctuation dropped. Knows no score, no run and no page. Everything it
gives is HTML with strangers' words escaped; a mark is never a colour alone.
"""

import re
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher

from dashboard.text.formatting import escaped
from dashboard.theme import COLOURS, DARK, LIGHT

_EDGES = re.compile(r"^\W+|\W+$")
_CLITIC = re.compile(r"(?<=\w)('s|'re|'ve|'ll|'d|'m|n't)$")

# What is written in a colour is darker on white than what is drawn in it: letters are thin.
_ORANGE = {LIGHT: "#A84A00", DARK: COLOURS[DARK][1]}

SAID, UNSAID = "said", "unsaid"
NEW, GONE = "new", "gone"


def heard(word: str) -> list[str]:
    """What a metric makes of a word between blanks: `Dog's,` is dog and 's, `--` is nothing."""
    bare = _EDGES.sub("", word.lower())
    clitic = _CLITIC.search(bare)
    return [part for part in ([bare[: clitic.start()], clitic[0]] if clitic else [bare]) if part]


def counted(caption: str) -> Counter[str]:
    """How often each word is heard in a caption."""
    return Counter(part for word in str(caption).split() for part in heard(word))


def against(caption: str, allowed: Counter[str]) -> list[tuple[str, str]]:
    """(word, SAID, UNSAID or "") for the words of `caption`: a word counts as often as `allowed` has it.

    "" marks what no metric hears, such as a dash.
    """
    left, marked = Counter(allowed), []
    for word in str(caption).split():
        parts = heard(word)
        found = bool(parts) and all(left[part] > 0 for part in parts)
        left.subtract(parts if found else [])
        marked.append((word, "" if not parts else SAID if found else UNSAID))
    return marked


def candidate(caption: str, references: Sequence[str]) -> list[tuple[str, str]]:
    """The words of a caption, each marked by whether some reference has it as often (clipped, as BLEU counts)."""
    most: Counter[str] = Counter()
    for reference in references:
        most |= counted(reference)
    return against(caption, most)


def changes(before: str, after: str) -> list[tuple[str, str]]:
    """(word, NEW, GONE or "") that lead from one caption to another, in reading order."""
    old, new = str(before).split(), str(after).split()
    spoken = [[tuple(heard(word)) or word for word in words] for words in (old, new)]
    marked: list[tuple[str, str]] = []
    for kind, i0, i1, j0, j1 in SequenceMatcher(None, *spoken, autojunk=False).get_opcodes():
        if kind == "equal":
            marked += [(word, "") for word in new[j0:j1]]
        else:
            marked += [(word, GONE) for word in old[i0:i1]] + [(word, NEW) for word in new[j0:j1]]
    return marked


def html(marked: Sequence[tuple[str, str]]) -> str:
    """Marked words as HTML; `style` gives the marks their looks."""
    tags = {SAID: "mark", UNSAID: "mark", NEW: "ins", GONE: "del"}
    spans = []
    for word, mark in marked:
        tag = tags.get(mark, "span")
        spans.append(f'<{tag} class="w-{mark}">{escaped(word)}</{tag}>' if mark else escaped(word))
    return " ".join(spans)


def style(template: str) -> str:
    """The marks: a colour and a line each, so that either alone is enough."""
    blue, orange = COLOURS[template][0], _ORANGE[template]
    return f"""<style>
.w-said, .w-unsaid, .w-new, .w-gone {{ background: none; padding: 0 0.05em; }}
.w-said {{ color: {blue}; text-decoration: underline 2px; text-underline-offset: 0.22em; }}
.w-unsaid {{ color: {orange}; text-decoration: underline wavy 1.5px; text-underline-offset: 0.22em; }}
.w-new {{ color: {blue}; font-weight: 700; text-decoration: underline 2px; text-underline-offset: 0.22em; }}
.w-gone {{ color: {orange}; text-decoration: line-through 2px; }}
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
