"""Judges which objects a caption names, how many, and what it calls persons."""

from engine.diagnosis.facts.fact import Fact, Judged, Omitted, Verdict
from engine.diagnosis.facts.image import ImageFacts
from engine.diagnosis.facts.phrases import Phrase
from engine.diagnosis.facts.statements import Reading
from engine.diagnosis.facts.vocabulary import FAMILIES, MEMBERS, PERSONS

Found = tuple[Verdict, str]


def of_references(number: int, image: ImageFacts) -> str:
    """Return the beginning of evidence: "4 of 5 references"."""
    return f"{number} of {image.references} references"


def _boxes(number: int, label: str) -> str:
    return f"{number} box{'' if number == 1 else 'es'} of {label}"


def object_(phrase: Phrase, found: Reading, image: ImageFacts) -> Found:
    """Judge whether the image shows an object."""
    label, noun = phrase.label, phrase.noun
    shown = next((each for each in (label, *(noun.also or ()), *MEMBERS.get(label, ())) if image.is_shown(each)), None)
    if shown is not None:
        return "correct", _shown(shown, image)
    if label in image.fitting:
        return "unknown", f"a reference has a name that fits {label}"
    if image.is_annotated and noun.is_label and noun.also is None:
        return "wrong", f"no box, and none of {image.references} references names it"
    other = _mistaken_for(label, found, image)
    if other is not None:
        return "wrong", f"{of_references(image.named[other], image)}: {other}, none: {label}"
    return "unknown", "not annotated, and no reference names it"


def _shown(label: str, image: ImageFacts) -> str:
    """Return the evidence of an object that is shown."""
    if label in image.boxes:
        return _boxes(image.boxes[label], label)
    if label in image.crowds:
        return f"a region of several {label}"
    return f"{of_references(image.named[label], image)}: {label}"


def _mistaken_for(label: str, found: Reading, image: ImageFacts) -> str | None:
    """Return what most references name instead of `label`, if the caption does not name it."""
    family = next((family for family in FAMILIES if label in family), None)
    if family is None or any(general in image.named for general, members in MEMBERS.items() if label in members):
        return None
    named = [each for each in image.named if each in family]
    agreed = named[0] if len(named) == 1 else None
    if agreed is None or image.named[agreed] < 2 or 2 * image.named[agreed] <= image.references:
        return None
    return None if any(phrase.label == agreed for phrase in found.phrases) else agreed


def omitted(found: Reading, image: ImageFacts) -> list[Omitted]:
    """Return the objects that most references name and the caption does not, in the order of the references."""
    named = {phrase.label for phrase in found.phrases}
    named |= {label for phrase in found.phrases for label in phrase.noun.also or ()}
    named |= {member for label in named for member in MEMBERS.get(label, ())}
    return [
        Omitted("object", label, label, f"{number} of {image.references} references")
        for label, number in image.named.items()
        if label not in named and 2 * number > image.references
    ]


def count(phrase: Phrase, found: Reading, image: ImageFacts) -> Found:
    """Judge a stated number of objects.

    Annotations include objects in the background: a number below that of the boxes is wrong only if references state
    another. They may lack small objects: a number above it is right if a reference states it.
    """
    label, number = phrase.label, phrase.count or 1
    stated = image.counts.get(label, [])
    claimed = sum(each.number for each in found.phrases if each.label == label)
    agreeing = sum(number in numbers or claimed == total for total, numbers, _, _ in stated)
    if agreeing:
        return "correct", f"{of_references(agreeing, image)}: {number}"
    boxes = image.number(label) if label in image.boxes else None
    if label.lower() == "person" and not _OTHERS.isdisjoint(found.parts):
        return "unknown", "the caption names further persons without a noun"
    if boxes == claimed:
        return "correct", _boxes(boxes, label)
    others = [total for total, _, _, _ in stated if total]
    says = f"{of_references(len(others), image)}: {_list(others)}" if others else "no reference states a number"
    if boxes is None:
        is_wrong = len(others) > 1 and len(set(others)) == 1 and label not in image.crowds
        return ("wrong" if is_wrong else "unknown"), says
    if claimed > boxes:
        singular = all(is_singular for _, _, _, is_singular in stated)
        is_wrong = boxes in others or (bool(stated) and singular)
        return ("wrong" if is_wrong else "unknown"), f"{_boxes(boxes, label)}; {says}"
    return ("wrong" if boxes in others else "unknown"), f"{_boxes(boxes, label)}; {says}"


_OTHERS = {"another", "other", "others", "third", "one"}


def _list(numbers: list[int]) -> str:
    return " or ".join(map(str, sorted(set(numbers))))


def too_few(found: Reading, image: ImageFacts) -> list[Judged]:
    """Return the phrases with "a" of whose objects the references and the annotations both show the same several.

    "A dog" does not say that there is one dog, so that only a number on which all agree contradicts it.
    """
    judged = []
    for phrase in found.phrases:
        label = phrase.label
        stated = image.counts.get(label, [])
        if not phrase.is_one or phrase.count is not None or len(stated) < 2:
            continue
        totals = {total for total, _, _, _ in stated if total > 1}
        several = sum(total > 1 for total, _, _, _ in stated)
        is_alone = sum(each.label == label for each in found.phrases) == 1
        is_agreed = len(totals) == 1 and several > 1 and not any(singular for _, _, _, singular in stated)
        if is_alone and is_agreed and image.number(label) in totals and label in image.boxes:
            places, number = found.places, next(iter(totals))
            fact = Fact("count", places[phrase.start], places[phrase.stop - 1] + 1, label, "1")
            evidence = f"{_boxes(number, label)}; {of_references(several, image)}: {number}"
            judged.append(Judged(fact, "wrong", evidence))
    return judged


def person(phrase: Phrase, found: Reading, image: ImageFacts) -> Found:
    """Judge whether references call a person so. Only their words are evidence, not how a person looks.

    Words contradict each other by gender, such as man and woman, or by age, such as man and boy. A "young man" may be a
    boy, and a person may be anybody.
    """
    value, gender, age = PERSONS[phrase.noun.name]
    same = sum(any(PERSONS[word][0] == value for word in words if word in PERSONS) for words in image.persons)
    if same:
        return "correct", f"{of_references(same, image)}: {value}"
    is_young = age == "adult" and any(attribute == "young" for _, attribute in phrase.attributes)
    may_be_child = is_young and not any(_CHILDREN & words.keys() for words in image.persons)
    for axis, own in ((1, gender), (2, "" if may_be_child else age)):
        found_other = _other_person(axis, own, found, image) if own else None
        if found_other is not None:
            number, other = found_other
            return "wrong", f"{of_references(number, image)}: {other}, none: {value}"
    named, shown = people(found), image.number("person")
    if shown is not None and named > shown >= most_people(image) and image.persons:
        return "wrong", f"{_boxes(shown, 'person')}, and no reference names more; none: {value}"
    return "unknown", "the references do not agree on another word"


def is_unanimous(value: str, image: ImageFacts) -> bool:
    """Return whether every reference that names a person says another gender, or another age, than `value`."""
    own = next(said for said in PERSONS.values() if said[0] == value)
    return any(
        own[axis]
        and all(
            word in PERSONS and PERSONS[word][axis] not in ("", own[axis]) for words in image.persons for word in words
        )
        for axis in (1, 2)
    )


def people(found: Reading) -> int:
    """Return the number of persons that a caption names."""
    return sum(max(each.number, 1) for each in found.phrases if each.label.lower() == "person")


def most_people(image: ImageFacts) -> int:
    """Return the largest number of persons that a reference names."""
    return max((sum(max(number, 1) for number in words.values()) for words in image.persons), default=0)


_CHILDREN = {"child", "children", "kid", "kids", "toddler", "toddlers", "baby", "babies"}
_LEAST = {1: 2, 2: 3}
"""Axis of PERSONS (gender, age) -> number of references that must agree. Ages are called more freely than genders."""


def _other_person(axis: int, own: str, found: Reading, image: ImageFacts) -> tuple[int, str] | None:
    """Return how many references agree on another gender or age, and their word; None if they do not."""
    others: list[str] = []
    neutral = 0
    for words in image.persons:
        said = [PERSONS[word][axis] if word in PERSONS else "" for word in words]
        if own in said:
            return None
        if all(said):
            others.append(PERSONS[next(iter(words))][0])
        else:
            neutral += 1
    if len(others) < _LEAST[axis] or neutral >= len(others):
        return None
    if sum(each.label.lower() == "person" for each in found.phrases) > 1:
        shown = image.number("person")
        if shown is None or (people(found) <= shown and most_people(image) < shown):
            return None  # it may be one of the others
    return len(others), max(sorted(set(others)), key=others.count)
