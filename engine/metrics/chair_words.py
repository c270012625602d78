"""Words as the original CHAIR code sees them: word_tokenize of nltk 3.2.5, then singularize of Pattern 3.6.

Only what can change an object word is implemented. Object words have letters only, so that contractions such as
`cannot` and compounds with hyphens stay whole. A full stop after an abbreviation ends a sentence, which differs only if
a quote follows it. The order of the rules and their mistakes ("bus" becomes "bu") are part of the definition.

The endings and irregular words are those of Pattern (T. De Smedt, W. Daelemans; BSD 3-Clause), which took them from
B. Ferrer's Inflector (MIT); the order of separations is that of nltk's Treebank tokeniser (Apache 2.0).
"""

import re
from collections.abc import Iterator
from functools import lru_cache

_LONGEST = 64
"""Letters of a word that may have a singular; longer ones are kept as they are."""


def words(text: str) -> list[str]:
    """Return the words of a caption in lower case and in the singular."""
    lower = text.lower()
    return [singular(token) for token in _tokens(lower)]


# Sentences. Only the last full stop of a sentence is separated from its word, so that their ends matter.

_CHUNK = re.compile(r"\S+")
_AFTER = """?!)";}]*:@'({["""
"""Characters that are never part of a word; a sentence can end before them."""
_STOP = re.compile(rf"[.?!](?=[{re.escape(_AFTER)}])")
_DOTS = r"-{2,}|\.{2,}"
_PIECE = re.compile(
    rf"""{_DOTS}|(?=[^("`{{\[:;&#*@)}}\]\-,])\S+?(?=\s|$|[{re.escape(_AFTER)}]|{_DOTS}"""
    rf"""|,(?=$|\s|[{re.escape(_AFTER)}]|{_DOTS}))|\S"""
)
_CLOSING = re.compile(r"""["')\]}]+?(?:\s+|(?=--)|$)""", re.MULTILINE)
"""Quotes and brackets after the end of a sentence belong to it."""


def _sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a text in lower case."""
    start = 0
    for end, following in _ends(text):
        if closing := _CLOSING.match(text, following):
            end, following = following + len(closing[0].rstrip()), closing.end()
        if end > start:
            yield text[start:end]
            start = following
    yield text[start:]


def _ends(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each sentence but the last ends, and where the next one begins."""
    chunks = list(_CHUNK.finditer(text))
    for chunk, following in zip(chunks, [*chunks[1:], None], strict=True):
        # In text without spaces, only the last possible end is examined.
        if following is not None and chunk[0][-1] in ".?!":
            context, begins = f"{chunk[0]} {following[0]}", following.start()
            end = chunk.end()
        elif found := list(_STOP.finditer(chunk[0])):
            end = begins = chunk.start() + found[-1].end()
            context = text[chunk.start() : end + 1]
        else:
            continue
        if any(map(_is_end, _PIECE.findall(context)[:-1])):
            yield end, begins


def _is_end(piece: str) -> bool:
    return piece in ("?", "!", ".") or (piece.endswith(".") and not piece.endswith(".."))


# Tokens of a sentence: each rule separates something from the words beside it.

_PLAIN = re.compile(r"((?:[a-z0-9 ]|-(?!-)|, (?!,))*)\.?\s*")
"""Text in which only commas must be separated, and a full stop at the end: most captions."""
_SPACES = re.compile(" {2,}")
_APART = r" \g<0> "
_RULES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        ("[«“‘]", _APART),
        ("^'+", r"\g<0> "),
        ('^"|``', " `` "),
        (r"""([ (\[{<])(?:"|'')""", r"\1 `` "),
        # The full stop at the end, with what closes the sentence.
        (r"""([^.])(\.)([\])}>"'»”’ ]*)\s*$""", r"\1 \2 \3 "),
        # A comma before a digit is part of a number; the character after a comma cannot be a second comma.
        ("([:,])([^0-9])", r" \1 \2"),
        ("[:,]$", _APART),
        (r"\.\.\.|[;@#$%&?!]", _APART),
        ("([^'])' ", r"\1 ' "),
        (r"[\][(){}<>]|--", _APART),
        (r"\A|\Z", " "),
        ("[»”’]", _APART),
        ('"', " '' "),
        (r"([^ \t\n\r\f\v])('')", r"\1 \2 "),
        ("([^' ])('s|'m|'d|') ", r"\1 \2 "),
        ("([^' ])('ll|'re|'ve|n't) ", r"\1 \2 "),
    )
)


def _tokens(text: str) -> list[str]:
    """Return the tokens of a text in lower case."""
    if plain := _PLAIN.fullmatch(text):
        return plain[1].replace(",", " , ").split()
    single = _SPACES.sub(" ", text)  # rules would read a long run of spaces again and again
    return [token for sentence in _sentences(single) for token in _of_sentence(sentence)]


def _of_sentence(sentence: str) -> list[str]:
    for pattern, replacement in _RULES:
        sentence = pattern.sub(replacement, sentence)
    return sentence.split()


# Singular forms.

_KEPT = """
bison debris headquarters pincers trout bream diabetes herpes pliers tuna breeches djinn high-jinks proceedings whiting
britches eland homework rabies wildebeest carp elk innings salmon chassis flounder jackanapes scissors christmas gallows
mackerel series clippers georgia measles shears cod graffiti mews species contretemps mumps swine corps news swiss
advice equipment happiness luggage software bread fruit information mathematics progress understanding butter furniture
ketchup mayonnaise research water cheese garbage knowledge meat rice electricity gravel love mustard sand
"""
_KEPT_ENDS = frozenset(word[start:] for word in _KEPT.split() for start in range(len(word)))
"""Words without a plural. The original compares them the wrong way round: every ending of one is kept, too."""

_IE = """
alergie cutie hoagie newbie softie veggie auntie doggie hottie nightie sortie weenie beanie eyrie indie oldie stoolie
yuppie birdie freebie junkie sweetie zombie bogie goonie laddie pixie techie bombie groupie laramie quickie collie
hankie lingerie reverie toughie cookie hippie meanie rookie valkyrie
"""
_IES = tuple(f"{word}s" for word in _IE.split())
"""Endings of plurals that the original leaves as they are."""

_IRREGULAR_PAIRS = """
atlantes:atlas atlases:atlas axes:axe beeves:beef brethren:brother children:child corpora:corpus corpuses:corpus
ephemerides:ephemeris feet:foot ganglia:ganglion geese:goose genera:genus genii:genie helves:helve kine:cow leaves:leaf
loaves:loaf men:man mongooses:mongoose monies:money moves:move mythoi:mythos numena:numen occipita:occiput
octopodes:octopus opera:opus opuses:opus our:my oxen:ox penes:penis penises:penis people:person sexes:sex
soliloquies:soliloquy teeth:tooth testes:testis trilbys:trilby turves:turf zoa:zoon
"""
_IRREGULAR = {plural: single for plural, _, single in (pair.partition(":") for pair in _IRREGULAR_PAIRS.split())}
"""Irregular plurals, also at the end of longer words."""

_ENDINGS = tuple(
    (re.compile(f"({before}){ending}$"), rf"\g<1>{new}")
    for before, ending, new in (
        (".", "ae", "a"),
        (".", "itis", "itis"),
        (".", "eaux", "eau"),
        ("quiz", "zes", ""),
        ("matr", "ices", "ix"),
        ("ap|vert|ind", "ices", "ex"),
        ("alias|status", "es", ""),
        ("[octp|vir]", "i", "us"),
        ("cris|ax|test", "es", "is"),
        ("shoe", "s", ""),
        ("o|bus", "es", ""),
        ("[m|l]", "ice", "ouse"),
        ("x|ch|ss|sh", "es", ""),
        ("m", "ovies", "ovie"),
        (".", "ombies", "ombie"),
        ("s", "eries", "eries"),
        ("[^aeiouy]|qu", "ies", "y"),
        ("[aeo]l|[^d]ea|ar", "ves", "f"),
        ("er", "ves", "ve"),
        ("[nlw]i", "ves", "fe"),
        ("[lr]", "ves", "f"),
        ("[aeo]", "ves", "ve"),
        ("sive|tive|hive", "s", ""),
        ("[^f]", "ves", "fe"),
        ("analy|ba|diagno|parenthe|progno|synop|the", "ses", "sis"),
        (".", "opses", "opsis"),
        (".", "yses", "ysis"),
        ("h|d|r|o|n|b|cl|p", "oses", "ose"),
        (".", "oses", "osis"),
        ("[ti]", "a", "um"),
        ("n", "ews", "ews"),
        ("", "s", ""),
    )
)
"""(Ending of a plural, its singular): the first that fits is applied."""


@lru_cache(maxsize=65_536)
def singular(word: str) -> str:
    """Return the singular of a lower-case word; a word with other characters than letters names no object."""
    if not word.isalpha() or len(word) > _LONGEST or word in _KEPT_ENDS or word.endswith(_IES):
        return word
    for plural, single in _IRREGULAR.items():
        if word.endswith(plural):
            return word.removesuffix(plural) + single
    for ending, new in _ENDINGS:
        if ending.search(word):
            return ending.sub(new, word)
    return word
