"""Judges what a caption says about its objects: colours, attributes, postures and relations; and its place."""

from collections import Counter
from collections.abc import Iterable

from engine.diagnosis.facts.fact import Fact, Kind, Omitted, Verdict
from engine.diagnosis.facts.image import ImageFacts, Link, link_of
from engine.diagnosis.facts.phrases import Phrase
from engine.diagnosis.facts.statements import Reading, Relation
from engine.diagnosis.facts.things import most_people, of_references, people
from engine.diagnosis.facts.vocabulary import (
    FAMILIES,
    FURS,
    GARMENTS,
    OPPOSITES,
    POSTURES_APART,
    RELATIONS_APART,
    RIDDEN,
    ROOMS,
    SIMILAR,
    SYMMETRIC,
    TORSO,
    VAGUE,
)

Found = tuple[Verdict, str]


def colour(fact: Fact, phrase: Phrase, found: Reading, image: ImageFacts) -> Found:
    """Judge the colour of an object by the references that name a colour of the same noun."""
    label, value = fact.subject or "", fact.value
    references = image.colours.get(label, [])
    said = Counter(each for phrases in references for each in {each for colours, _ in phrases for each in colours})
    if value in said:
        return "correct", f"{of_references(said[value], image)}: {value}"
    if not said:
        return "unknown", f"no reference names a colour of {label}"
    evidence = f"{of_references(len(references), image)}: {', '.join(sorted(said))}"
    own = set(phrase.clothes) if label == "clothes" else {each for _, each in phrase.colours}
    if (
        own & said.keys()
        or not _is_described(label, found, image)
        or any(_is_vague(label, value, each) for each in said)
    ):
        return "unknown", evidence
    if any(frozenset((value, each)) in SIMILAR for each in said):
        is_agreed = all(_support(label, each, image) > 1 for each in said if frozenset((value, each)) in SIMILAR)
        return ("wrong" if is_agreed else "unknown"), evidence
    return "wrong", evidence


def _support(label: str, value: str, image: ImageFacts) -> int:
    """Return how many times references name a colour of an object, or of any garment that covers a person."""
    labels = TORSO if label in TORSO else {label}
    return sum(
        any(value in each for each, _ in phrases) for label in labels for phrases in image.colours.get(label, ())
    )


def _is_vague(label: str, value: str, other: str) -> bool:
    """Return whether two colours never contradict each other."""
    if label in FAMILIES[0] and any(value in fur and other in fur for fur in FURS):
        return True
    return bool(VAGUE & {value, other}) and frozenset((value, other)) in SIMILAR


def _is_described(label: str, found: Reading, image: ImageFacts) -> bool:
    """Return whether the references describe every object with a label, so that none is left with another colour."""
    references = image.colours[label]
    number = image.number(label)
    if number is not None:
        most = max(sum(number for _, number in phrases) for phrases in references)
        return number <= max(most, _distinct(each for phrases in references for each, _ in phrases))
    if (label in GARMENTS or label == "clothes") and max(people(found), most_people(image)) > 1:
        return False
    described = max(len(phrases) for phrases in references)
    named = sum(each.label == label and bool(each.colours) for each in found.phrases)
    is_single = len({colours for phrases in references for colours, _ in phrases}) == 1 or described == 1
    return is_single and named <= described and label not in image.crowds


def _distinct(looks: Iterable[frozenset[str]]) -> int:
    """Return how many of these colours of objects cannot be those of the same object."""
    apart: list[frozenset[str]] = []
    for own in looks:
        if all(not own & each and all({a, b} not in SIMILAR for a in own for b in each) for each in apart):
            apart.append(own)
    return len(apart)


def described(fact: Fact, image: ImageFacts) -> Found:
    """Judge an attribute or a posture by the references that describe the same noun."""
    is_posture = fact.kind == "posture"
    said = (image.postures if is_posture else image.attributes).get(fact.subject or "", Counter())
    if fact.value in said:
        return "correct", f"{of_references(said[fact.value], image)}: {fact.value}"
    apart = POSTURES_APART if is_posture else OPPOSITES
    other = next((each for each in said if frozenset((each, fact.value)) in apart and said[each] > 1), None)
    if other is None or any(frozenset((each, fact.value)) not in apart for each in said):
        return "unknown", f"no reference says it of {fact.subject}"
    if image.number(fact.subject or "") not in (None, 1):
        return "unknown", f"several of {fact.subject}; {of_references(said[other], image)}: {other}"
    return "wrong", f"{of_references(said[other], image)}: {other}"


def place(value: str, image: ImageFacts) -> Found:
    """Judge the place of an image."""
    number = max(image.places[value], image.named[value])
    if number:
        return "correct", f"{of_references(number, image)}: {value}"
    other = next((each for each in image.places if frozenset((each, value)) in ROOMS), None)
    if other is not None and image.places[other] > 1 and 2 * image.places[other] > image.references:
        return "wrong", f"{of_references(image.places[other], image)}: {other}"
    return "unknown", "no reference names this place"


def relation(own: Relation, image: ImageFacts) -> Found:
    """Judge a relation by the references that relate the same two objects."""
    link = link_of(own)
    agreeing = contradicting = most = 0
    said: list[str] = []
    for links in image.relations:
        is_same = is_other = False
        for each, number in links.items():
            if {each.subject, each.object} != {link.subject, link.object}:
                continue
            most = max(most, number)
            is_same |= _agrees(link, each)
            if _contradicts(link, each):
                is_other = True
                said.append(f"{each.subject} {each.name} {each.object}")
        agreeing += is_same
        contradicting += is_other
    if agreeing:
        return "correct", f"{of_references(agreeing, image)}: {link.subject} {link.name} {link.object}"
    if link.name == "riding" and (ridden := _ridden(own, image)):
        return "wrong", ridden
    if not contradicting:
        return "unknown", f"no reference relates {link.subject} and {link.object} so"
    evidence = f"{of_references(contradicting, image)}: {max(sorted(set(said)), key=said.count)}"
    number = image.number(link.subject)
    if link.subject != link.object and number is not None and number > most:
        return "unknown", f"{evidence}; {number} boxes of {link.subject}"
    return "wrong", evidence


def _ridden(own: Relation, image: ImageFacts) -> str:
    """Return evidence that references agree on something else that is ridden; empty if they do not."""
    label, subject = own.object.label, own.subject.label
    said = [
        each.object
        for links in image.relations
        for each in links
        if each.name == "riding" and each.subject == subject and each.object in RIDDEN
    ]
    if label not in RIDDEN or len(said) < 2 or len(set(said)) > 1 or said[0] in (own.object.noun.also or ()):
        return ""
    number = image.number(subject)
    is_alone = number == 1 and label not in image.fitting
    return f"{of_references(len(said), image)}: {subject} riding {said[0]}" if is_alone else ""


def _agrees(own: Link, other: Link) -> bool:
    if own.name != other.name:
        return False
    if own.subject == own.object:
        straight = _fit(own, other.subject_colours, other.object_colours)
        return straight is True or (straight is None and not _fit(own, other.object_colours, other.subject_colours))
    return own.name in SYMMETRIC or own.subject == other.subject


def _contradicts(own: Link, other: Link) -> bool:
    is_reversed = own.subject != other.subject
    if own.subject == own.object:
        crossed = _fit(own, other.object_colours, other.subject_colours)
        is_reversed = crossed is True and not _fit(own, other.subject_colours, other.object_colours)
        if crossed is None:
            return False
    if own.name == other.name:
        return is_reversed and own.name not in SYMMETRIC
    return not is_reversed and frozenset((own.name, other.name)) in RELATIONS_APART


def _fit(own: Link, subject: frozenset[str], other: frozenset[str]) -> bool | None:
    """Return whether the colours of two objects of one label fit others; None if too few are named to tell."""
    pairs = [(mine, its) for mine, its in ((own.subject_colours, subject), (own.object_colours, other)) if mine and its]
    return all(mine == its for mine, its in pairs) if pairs else None


def omitted(found: Reading, image: ImageFacts) -> list[Omitted]:
    """Return the colours, numbers, relations and places that most references state and the caption does not."""
    return [
        Omitted(kind, subject, value, of_references(number, image))
        for (kind, subject, value), number in _said(image).items()
        if 2 * number > image.references and _is_omitted(kind, subject, value, found)
    ]


_Key = tuple[Kind, str | None, str]


def _said(image: ImageFacts) -> Counter[_Key]:
    """Return how many references state each colour, number, relation and place."""
    said: Counter[_Key] = Counter()
    for label, references in image.colours.items():
        for phrases in references:
            said.update(
                ("colour", label, each) for each in sorted({each for colours, _ in phrases for each in colours})
            )
    for label, stated in image.counts.items():
        said.update(("count", label, str(total)) for total, _, _, _ in stated if total > 1)
    for links in image.relations:
        keys = dict.fromkeys((each.subject, f"{each.name} {each.object}") for each in links)
        said.update(("relation", subject, value) for subject, value in keys)
    said.update({("place", None, value): number for value, number in image.places.items()})
    return said


def _is_omitted(kind: Kind, subject: str | None, value: str, found: Reading) -> bool:
    """Return whether a caption does not state something; colours and numbers only of what it names."""
    own = [phrase for phrase in found.phrases if phrase.label == subject]
    if kind == "colour":
        return bool(own) and all(value != colour for phrase in own for _, colour in phrase.colours)
    if kind == "count":
        return bool(own) and all(str(phrase.count) != value for phrase in own)
    if kind == "place":
        return all(scene.label != value for scene in found.scenes)
    return all((each.subject.label, f"{each.name} {each.object.label}") != (subject, value) for each in found.relations)
