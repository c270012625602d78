"""What is known about an image: its annotated objects, and what its references state, read once for all captions."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from engine.diagnosis.facts.phrases import Phrase
from engine.diagnosis.facts.reader import read_text
from engine.diagnosis.facts.statements import Reading, Relation
from engine.diagnosis.facts.vocabulary import GARMENTS, PERSONS
from engine.diagnosis.lexicon import Mentions


@dataclass(frozen=True, slots=True)
class Link:
    """A relation as it is compared: labels, and the colours that tell two objects of one label apart."""

    subject: str
    name: str
    object: str
    subject_colours: frozenset[str]
    object_colours: frozenset[str]


def link_of(relation: Relation) -> Link:
    """Return a relation as it is compared."""
    return Link(
        relation.subject.label,
        relation.name,
        relation.object.label,
        _looks(relation.subject),
        _looks(relation.object),
    )


def _looks(phrase: Phrase) -> frozenset[str]:
    return frozenset([*(colour for _, colour in phrase.colours), *phrase.clothes])


class ImageFacts:
    """The annotations and the references of an image.

    What references state is counted per reference: a reference that names a dog twice names it once.
    """

    def __init__(
        self,
        labels: Iterable[str],
        crowds: Collection[str],
        references: Sequence[str],
        mentions: Mentions,
        is_annotated: bool,
    ) -> None:
        """Read the references.

        Args:
            labels: the label of each annotated single object.
            crowds: labels with a region of several objects.
            mentions: the nouns of the annotation vocabulary.
            is_annotated: whether the objects of this image were annotated: without, absent labels mean nothing.
        """
        self.mentions = mentions
        self.boxes = Counter(labels)
        self.crowds = frozenset(crowds)
        self.is_annotated = is_annotated
        self.references = len(references)
        self.named: Counter[str] = Counter()
        """Label or noun -> number of references that name it, in the order of the references."""
        self.fitting: set[str] = set()
        """Labels that a loose name of a reference may mean."""
        self.counts: dict[str, list[tuple[int, frozenset[int], int, bool]]] = defaultdict(list)
        """Label -> per reference: its total if it states one, else 0; the stated numbers; all that it surely counts;
        whether all its phrases are singular."""
        self.colours: dict[str, list[list[tuple[frozenset[str], int]]]] = defaultdict(list)
        """Label -> per reference that names a colour: the colours of each phrase with its number of objects."""
        self.attributes: dict[str, Counter[str]] = defaultdict(Counter)
        self.persons: list[dict[str, int]] = []
        """Per reference that names a person: the words for persons with their numbers."""
        self.relations: list[dict[Link, int]] = []
        """Per reference: its relations, with the number of subjects."""
        self.places: Counter[str] = Counter()
        self.postures: dict[str, Counter[str]] = defaultdict(Counter)
        for text in references:
            self._add(read_text(text, mentions))

    def number(self, label: str) -> int | None:
        """Return the number of annotated objects with a label; None if it is not known."""
        if not self.is_annotated or label in self.crowds:
            return None
        if label in GARMENTS or label == "clothes":
            return self.number("person") or None
        return self.boxes.get(label)

    def is_shown(self, label: str) -> bool:
        """Return whether annotations or references show an object with this label."""
        return label in self.boxes or label in self.crowds or label in self.named

    def _add(self, found: Reading) -> None:
        by_label: dict[str, list[Phrase]] = {}
        for phrase in found.phrases:
            by_label.setdefault(phrase.label, []).append(phrase)
            if phrase.noun.also and phrase.label not in self.boxes:
                self.fitting.update(phrase.noun.also)
        for label, phrases in by_label.items():
            self.named[label] += 1
            self._add_objects(label, phrases)
        for value in dict.fromkeys(scene.label for scene in found.scenes):
            self.places[value] += 1
        for label, value in dict.fromkeys((phrase.label, value) for phrase, value, _ in found.postures):
            self.postures[label][value] += 1
        if found.worn:
            self.colours["clothes"].append(
                [(frozenset({colour}), max(wearer.number, 1)) for wearer, colour, _, _ in found.worn]
            )
        if found.relations:
            self.relations.append({link_of(each): max(each.subject.number, 1) for each in found.relations})

    def _add_objects(self, label: str, phrases: Sequence[Phrase]) -> None:
        numbers = [phrase.number for phrase in phrases]
        stated = frozenset(phrase.count for phrase in phrases if phrase.count is not None)
        total = sum(numbers) if all(numbers) and (stated or len(phrases) > 1) else 0
        self.counts[label].append((total, stated, sum(numbers), not any(phrase.noun.is_plural for phrase in phrases)))
        coloured = [
            (frozenset(colour for _, colour in phrase.colours), max((phrase.owner or phrase).number, 1))
            for phrase in phrases
            if phrase.colours
        ]
        if coloured:
            self.colours[label].append(coloured)
        for value in dict.fromkeys(value for phrase in phrases for _, value in phrase.attributes):
            self.attributes[label][value] += 1
        words = {phrase.noun.name: phrase.number for phrase in phrases if phrase.noun.name in PERSONS}
        if words or label.lower() == "person":
            self.persons.append(words or {"person": 0})
