"""Captions in another language than the references, by script and by function words."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, islice

from engine.diagnosis.data_doctor.finding import Finding, quote, some
from engine.diagnosis.data_doctor.texts import Texts

_FUNCTION_WORDS = {
    name: frozenset(text.split())
    for name, text in {
        "English": "a an the is are and of in on with at to by that his her it its while their there this from for",
        "German": "ein eine einen einem einer der die das den dem und ist sind auf mit im am zu von vor sitzt für",
        "French": "un une des le la les du de et est sont dans sur avec au aux qui en à l d pour devant son sa",
        "Spanish": "un una unos unas el la los las de del y es son en con sobre que por al su se para está están",
        "Italian": "un una uno il lo la gli le di del della e è sono in con su sul sulla che al alla nel nella per",
        "Portuguese": "um uma uns umas o a os as de do da dos das e é são em no na com sobre que ao à por para está",
        "Dutch": "een de het en is zijn van in op met aan bij die dat voor naar te staat zit door uit over",
        "Swedish": "en ett den det och är på i med av som till för vid står sitter ligger under från",
        "Polish": "i w na z się jest są do po przed obok oraz który która przez nad pod stoi siedzi",
        "Turkish": "bir ve ile üzerinde bu da de için olan içinde önünde yanında iki var",
        "Czech": "a v na s se je jsou do po před který která u z ve stojí sedí vedle",
        "Indonesian": "seorang sebuah di dan yang dengan dari ke pada sedang ini itu untuk adalah atas",
        "Romanian": "un o și în pe cu de la este sunt care din lângă al ale unui unei",
        "Vietnamese": "một người đang và trên với của trong ở có là cái con những các",
    }.items()
}
_LEAST_WORDS = 20
_LEAST_SHARE = 0.12
"""Share of function words from which a text is in a language. English captions have 0.3 to 0.5."""
_MARGIN = 2.0
"""A language must have so many times the function words of the other one."""
_LETTERS = 20_000


def language(texts: Texts) -> Finding | None:
    """Return the finding that captions are in another language than the references."""
    references = list(chain.from_iterable(texts.references))
    if not texts.captions or not references:
        return None
    scripts = _script(texts.captions), _script(references)
    if all(scripts) and scripts[0] != scripts[1]:
        return _finding(texts, f"{scripts[0]} script", f"{scripts[1]} script")
    own, theirs = _shares(texts.caption_words), _shares(texts.reference_words)
    if not own or not theirs:
        return None
    first, second = max(own, key=own.__getitem__), max(theirs, key=theirs.__getitem__)
    is_clear = own[first] >= max(_LEAST_SHARE, _MARGIN * own[second])
    is_clear &= theirs[second] >= max(_LEAST_SHARE, _MARGIN * theirs[first])
    return _finding(texts, first, second) if first != second and is_clear else None


def _finding(texts: Texts, own: str, theirs: str) -> Finding:
    return Finding(
        "language",
        f"captions are in another language ({own}) than the references ({theirs}), such as {quote(texts.captions[0])} "
        f"of image {texts.image_ids[0]}",
        "ask the captioner for the language of the references, or score against references in the captions' language",
        some(list(texts.image_ids)),
    )


def _shares(rows: Sequence[Sequence[str]]) -> dict[str, float]:
    """Return language -> share of the words that are its function words; nothing of a short text."""
    counts = Counter(chain.from_iterable(rows))
    total = sum(counts.values())
    if total < _LEAST_WORDS:
        return {}
    return {name: sum(counts[word] for word in known) / total for name, known in _FUNCTION_WORDS.items()}


def _script(texts: Iterable[str]) -> str:
    """Return the script of most letters, or "" if there is none or the texts are short."""
    letters = islice((letter for text in texts for letter in text if letter.isalpha()), _LETTERS)
    scripts: Counter[str] = Counter()
    for letter, count in Counter(letters).items():
        scripts[_script_of(letter)] += count
    name, count = scripts.most_common(1)[0] if scripts else ("", 0)
    return name if count >= _LEAST_WORDS and count > 0.6 * scripts.total() else ""


def _script_of(letter: str) -> str:
    word = unicodedata.name(letter, "unknown").split()[0]
    return {"CJK": "Chinese or Japanese", "HIRAGANA": "Chinese or Japanese", "KATAKANA": "Chinese or Japanese"}.get(
        word, word.title()
    )
