"""Write captions of the generated world: references in five styles, and captions with one wrong word.

Captions depend on the scene's groups, relation, place and hour, not on pixels.
"""

from __future__ import annotations

import re
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.demo.scenes import Group, Scene

# kind or role: singular synonyms, most common first
NOUNS: dict[str, tuple[str, ...]] = {
    "man": ("man", "man", "guy", "person"),
    "woman": ("woman", "woman", "lady", "person"),
    "boy": ("boy", "boy", "young boy", "child", "kid"),
    "girl": ("girl", "girl", "young girl", "child", "little girl"),
    "bicycle": ("bicycle", "bike"),
    "car": ("car", "car", "vehicle"),
    "bus": ("bus",),
    "boat": ("boat", "boat", "ship"),
    "bench": ("bench",),
    "bird": ("bird", "bird", "small bird"),
    "cat": ("cat", "cat", "kitty"),
    "dog": ("dog", "dog", "puppy"),
    "horse": ("horse", "horse", "pony"),
    "sheep": ("sheep",),
    "cow": ("cow",),
    "umbrella": ("umbrella", "umbrella", "open umbrella"),
    "skis": ("pair of skis",),
    "kite": ("kite", "kite", "big kite"),
    "surfboard": ("surfboard", "surfboard", "board"),
    "cup": ("cup", "mug", "cup of coffee"),
    "pizza": ("pizza", "pizza", "whole pizza"),
    "cake": ("cake",),
    "chair": ("chair", "chair", "seat"),
    "couch": ("couch", "sofa"),
    "dining table": ("table", "table", "dining table"),
    "tv": ("tv", "television", "flat screen tv"),
    "laptop": ("laptop", "laptop", "computer"),
    "potted plant": ("potted plant", "plant", "plant in a pot"),
}
IRREGULAR = {
    "man": "men",
    "woman": "women",
    "lady": "ladies",
    "kitty": "kitties",
    "puppy": "puppies",
    "pony": "ponies",
    "sheep": "sheep",
    "pair of skis": "pairs of skis",
    "person": "people",
    "child": "children",
    "cup of coffee": "cups of coffee",
    "plant in a pot": "plants in pots",
}
ADJECTIVES = ("small", "big", "open", "whole")  # a colour follows them: 'a small red bird'
NUMBERS = {1: "a", 2: "two", 3: "three"}
PLACES: dict[str, tuple[str, ...]] = {
    "beach": ("on the beach", "on a sandy beach", "at the beach", "on the sand", "by the ocean"),
    "street": ("on the street", "on a city street", "on the road", "in front of some buildings", "in the city"),
    "field": ("in a field", "in a grassy field", "on the grass", "in a wide pasture", "in a meadow"),
    "snowy mountain": ("on a snowy mountain", "in the snow", "on a snowy slope", "on a snow covered hill"),
    "lake": ("by a lake", "near the water", "on the shore of a lake", "in front of a lake"),
    "park": ("in a park", "in the park", "on the grass", "near some trees", "next to a path"),
    "kitchen": ("in a kitchen", "in the kitchen", "in a kitchen with a fridge", "on a tiled floor"),
    "living room": ("in a living room", "in the living room", "inside a house", "in a room with a window"),
}
TABLED = {"kitchen": PLACES["kitchen"][:3]}  # nothing that is on a table is on the floor
WATERS = {
    "beach": ("in the ocean", "on the sea", "off the beach"),
    "lake": ("on a lake", "on the water", "in the lake"),
}
PLACE_NOUNS: dict[str, tuple[str, ...]] = {
    "beach": ("beach", "sandy beach", "beach scene"),
    "street": ("city street", "street", "road"),
    "field": ("grassy field", "wide field", "meadow"),
    "snowy mountain": ("snowy mountain", "snowy slope"),
    "lake": ("lake", "lake shore", "quiet lake"),
    "park": ("park", "park with trees", "sunny park"),
    "kitchen": ("kitchen", "clean kitchen"),
    "living room": ("living room", "room"),
}
HOURS: dict[str, tuple[str, ...]] = {
    "day": ("", "", "", "during the day"),
    "dusk": ("at sunset", "at dusk", "in the evening"),
    "night": ("at night", "at night", "in the dark"),
}
RELATIONS: dict[str, tuple[str, ...]] = {
    "riding": ("riding",),
    "holding": ("holding", "holding", "carrying"),
    "flying": ("flying",),
    "on": ("on", "on", "on top of"),
    "under": ("under", "underneath", "below"),
    "next to": ("next to", "beside", "by"),
    "in front of": ("in front of",),
    "behind": ("behind", "behind", "partly hidden by"),
    "to the left of": ("to the left of", "on the left of"),
}
# A relation described from the other group: the words that follow it, with the subject in the gap.
CONVERSES: dict[str, tuple[str, ...]] = {
    "riding": ("with {} on it", "ridden by {}"),
    "holding": ("held by {}",),
    "flying": ("flown by {}",),
    "on": ("with {} on it", "with {} on top"),
    "under": ("with {} under it", "over {}"),
    "next to": ("next to {}", "beside {}"),
    "in front of": ("behind {}",),
    "behind": ("in front of {}", "hiding {}"),
    "to the left of": ("to the right of {}",),
}
ACTIVE = ("riding", "holding", "flying")  # relations that are verbs themselves
POSTURES: dict[str, tuple[str, ...]] = {
    "standing": ("standing", "standing", ""),
    "walking": ("walking", "walking", "strolling"),
    "running": ("running", "running", "jogging"),
    "sitting": ("sitting", "sitting", "resting"),
    "lying": ("lying", "resting", "sleeping"),
    "grazing": ("grazing", "eating grass", "feeding"),
    "flying": ("flying", "soaring"),
    "parked": ("parked", "parked", ""),
    "sailing": ("sailing", "floating"),
    "floating": ("floating", "drifting"),
    "holding": ("standing",),
}
PRESENT = {
    "standing": "stand",
    "walking": "walk",
    "strolling": "stroll",
    "running": "run",
    "jogging": "jog",
    "sitting": "sit",
    "resting": "rest",
    "sleeping": "sleep",
    "grazing": "graze",
    "flying": "fly",
    "soaring": "soar",
    "riding": "ride",
    "holding": "hold",
    "sailing": "sail",
    "floating": "float",
    "skiing": "ski",
    "surfing": "surf",
    "lying": "lie",
    "feeding": "feed",
}
THIRD_PERSON = {"flies": "fly", "is": "are", **{f"{base}s": base for base in PRESENT.values()}}
COLOUR_WORDS = ("red", "blue", "green", "yellow", "orange", "purple", "pink", "white", "black", "brown", "gray")
# The probability that a style names colours: terse, plain, detailed, scene first, action first.
COLOUR_CHANCE = (0.25, 0.6, 0.95, 0.45, 0.5)


def plural(noun: str) -> str:
    """Return the plural of a noun phrase, formed on its last word."""
    if noun in IRREGULAR:
        return IRREGULAR[noun]
    head, _, last = noun.rpartition(" ")
    if last in IRREGULAR:
        return f"{head} {IRREGULAR[last]}".strip()
    return noun + ("es" if last.endswith(("s", "sh", "ch", "x")) else "s")


def article(phrase: str) -> str:
    """Return the phrase with its indefinite article."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def name(group: Group, rng: Random, coloured: bool) -> str:
    """Return a noun phrase with its determiner: 'two red cars', 'a man in a blue shirt'."""
    noun = rng.choice(NOUNS[group.role or group.kind])
    noun = noun if group.count == 1 else plural(noun)
    tail = _clothes(group, rng) if coloured and group.role else ""
    if coloured and group.colour and not group.role:
        first, _, rest = noun.partition(" ")
        if first in ("pair", "pairs"):
            noun = noun.replace("of ", f"of {group.colour} ")
        else:
            noun = f"{first} {group.colour} {rest}" if first in ADJECTIVES else f"{group.colour} {noun}"
    return (article(noun) if group.count == 1 else f"{NUMBERS[group.count]} {noun}") + tail


def _clothes(group: Group, rng: Random) -> str:
    skirted = group.role in ("woman", "girl") and group.pose in ("standing", "walking", "running", "holding")
    wear = "dress" if skirted else "shirt"
    if rng.random() < 0.25:
        return f" dressed in {group.colour}"
    worn = f"{group.colour} {wear}"
    return f" {rng.choice(('in', 'wearing'))} {article(worn) if group.count == 1 else plural(worn)}"


def _be(group: Group) -> str:
    return "is" if group.count == 1 else "are"


def _where(scene: Scene, rng: Random) -> str:
    tabled = scene.related and scene.groups[1].kind == "dining table"
    options = TABLED.get(scene.place) if tabled else None
    return rng.choice(WATERS[scene.place] if scene.afloat else options or PLACES[scene.place])


def _posture(scene: Scene, rng: Random) -> str:
    group = scene.groups[0]
    if group.kind == "bird" and group.pose == "flying":
        return "flying"
    if group.kind == "kite":
        return "flying"
    return rng.choice(POSTURES.get(group.pose, ("",)))


def _predicate(scene: Scene, rng: Random, coloured: bool) -> str:
    """Return what the subject does, as after 'is': 'riding a red bicycle', 'sitting on a bench', 'grazing'."""
    posture = _posture(scene, rng)
    if not scene.related:
        return posture
    other, relation = scene.groups[1], rng.choice(RELATIONS[scene.relation])
    if scene.relation in ACTIVE:
        posture = ""
        if scene.relation == "riding" and other.kind == "skis":
            return rng.choice(("skiing", "skiing", f"riding {name(other, rng, coloured)}"))
        if scene.relation == "riding" and other.kind == "surfboard":
            return rng.choice(
                ("surfing", f"riding {name(other, rng, coloured)}", f"surfing on {name(other, rng, coloured)}")
            )
    if scene.relation == "to the left of" and other.kind == scene.groups[0].kind:
        coloured = True  # the twins differ in nothing else
    return f"{posture} {relation} {name(other, rng, coloured)}".strip()


def _nearby(scene: Scene, rng: Random, coloured: bool) -> str:
    """Return the other groups: ' with a dog nearby', ' near two cars and a bird'."""
    others = scene.groups[2:] if scene.related else scene.groups[1:]
    if not others:
        return ""
    told = " and ".join(name(group, rng, coloured) for group in others[:2])
    return rng.choice((f"with {told} nearby", f"near {told}", f"with {told} in the background"))


def _join(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _converse(scene: Scene, rng: Random, coloured: bool) -> str:
    """Return the relation described from the other group: 'a bench with a cat on it'."""
    told = rng.choice(CONVERSES[scene.relation]).format(name(scene.groups[0], rng, coloured))
    return f"{name(scene.groups[1], rng, True)} {told}"


def _terse(scene: Scene, rng: Random, coloured: bool) -> str:
    subject = name(scene.groups[0], rng, coloured)
    if scene.related and rng.random() < 0.3 and scene.relation != "to the left of":
        return _converse(scene, rng, False)
    if rng.random() < 0.4:
        return _join(subject, _where(scene, rng))
    where = "" if scene.related else _where(scene, rng)
    return _join(subject, _predicate(scene, rng, False), where)


def _plain(scene: Scene, rng: Random, coloured: bool) -> str:
    subject, predicate = scene.groups[0], _predicate(scene, rng, coloured)
    verb, _, rest = predicate.partition(" ")
    if verb in PRESENT and rng.random() < 0.5:
        base = PRESENT[verb]
        one = next(third for third, root in THIRD_PERSON.items() if root == base)
        predicate = _join(one if subject.count == 1 else base, rest)
    else:
        predicate = _join(_be(subject), predicate)
    hour = rng.choice(HOURS[scene.time]) if rng.random() < 0.5 else ""
    return _join(name(subject, rng, coloured), predicate, _where(scene, rng), hour)


def _detailed(scene: Scene, rng: Random, coloured: bool) -> str:
    return _join(
        name(scene.groups[0], rng, coloured),
        _predicate(scene, rng, coloured),
        _where(scene, rng),
        _nearby(scene, rng, rng.random() < 0.5),
        rng.choice(HOURS[scene.time]),
    )


def _scene_first(scene: Scene, rng: Random, coloured: bool) -> str:
    subject, predicate = name(scene.groups[0], rng, coloured), _predicate(scene, rng, coloured)
    told, start = _join(subject, predicate), rng.random()
    if start < 0.45 and not scene.afloat:
        lead = rng.choice(("with {}", "where there {be} {}", "and {}")).format(told, be=_be(scene.groups[0]))
        return _join(article(rng.choice(PLACE_NOUNS[scene.place])), rng.choice(HOURS[scene.time]), lead)
    if start < 0.6:
        return _join("a", rng.choice(("picture", "view", "photo")), "of", told, _where(scene, rng))
    return _join(f"there {_be(scene.groups[0])}", told, _where(scene, rng) if start < 0.85 else "")


def _action_first(scene: Scene, rng: Random, coloured: bool) -> str:
    subject, predicate = scene.groups[0], _predicate(scene, rng, coloured)
    if scene.related and rng.random() < 0.35:
        return _join(_converse(scene, rng, coloured), _where(scene, rng))
    if predicate.split(" ")[0].endswith("ing"):
        return _join(predicate, _where(scene, rng), _be(subject), name(subject, rng, coloured))
    return _join(_where(scene, rng), _be(subject), name(subject, rng, coloured), predicate)


VOICES = (_terse, _plain, _detailed, _scene_first, _action_first)


def describe(scene: Scene, rng: Random) -> list[str]:
    """Return five references of a scene, one per style, in lower case with a final full stop."""
    return [voice(scene, rng, rng.random() < chance) + "." for voice, chance in zip(VOICES, COLOUR_CHANCE, strict=True)]


# Swaps: a word is replaced by another of its class, for captions with exactly one mistake.
SINGULARS = (
    "man",
    "woman",
    "boy",
    "girl",
    "bicycle",
    "car",
    "bus",
    "boat",
    "bench",
    "bird",
    "cat",
    "dog",
    "horse",
    "sheep",
    "cow",
    "umbrella",
    "kite",
    "surfboard",
    "cup",
    "pizza",
    "cake",
    "chair",
    "couch",
    "laptop",
)
FAMILIES = (
    SINGULARS[:4],
    ("bicycle", "car", "bus", "boat"),
    ("bird", "cat", "dog", "horse", "sheep", "cow"),
    ("bench", "chair", "couch"),
    ("cup", "pizza", "cake", "laptop"),
    ("umbrella", "kite", "surfboard"),
)
PLURALS = {plural(noun): noun for noun in SINGULARS if noun != "sheep"}
SYNONYMS = {
    "guy": "man",
    "lady": "woman",
    "bike": "bicycle",
    "board": "surfboard",
    "mug": "cup",
    "sofa": "couch",
    "puppy": "dog",
    "kitty": "cat",
    "pony": "horse",
    "vehicle": "car",
    "ship": "boat",
    "computer": "laptop",
    "seat": "chair",
}
SWAPS = ("noun", "colour", "count")


def swap(caption: str, what: str, rng: Random) -> str | None:
    """Return the caption with one noun, colour or count replaced, or None if it has none.

    The new word is neither in the caption nor a synonym of the old word; half of the new nouns are from the family of
    the old one. Raises KeyError unless `what` is one of SWAPS.
    """
    words = caption.rstrip(".").split()
    replace = {"noun": _swap_noun, "colour": _swap_colour, "count": _swap_count}[what]
    changed = replace(words, rng)
    return None if changed is None else _articles(" ".join(changed)) + "."


def _swap_noun(words: list[str], rng: Random) -> list[str] | None:
    places = [i for i, w in enumerate(words) if w in SINGULARS or w in PLURALS or w in SYNONYMS]
    if not places:
        return None
    i = rng.choice(places)
    word = words[i]
    known = {PLURALS.get(w, SYNONYMS.get(w, w)) for w in words}
    own = PLURALS.get(word, SYNONYMS.get(word, word))
    family = next(f for f in FAMILIES if own in f) if rng.random() < 0.5 else SINGULARS
    other = rng.choice([n for n in family if n not in known] or [n for n in SINGULARS if n not in known])
    return [*words[:i], plural(other) if word in PLURALS else other, *words[i + 1 :]]


def _swap_colour(words: list[str], rng: Random) -> list[str] | None:
    places = [i for i, w in enumerate(words) if w in COLOUR_WORDS]
    if not places:
        return None
    i = rng.choice(places)
    return [*words[:i], rng.choice([c for c in COLOUR_WORDS if c not in words]), *words[i + 1 :]]


def _swap_count(words: list[str], rng: Random) -> list[str] | None:
    """Swap two and three; replace a single leading 'a' by two, with a plural noun and an agreeing verb."""
    for i, word in enumerate(words):
        if word in ("two", "three"):
            return [*words[:i], "three" if word == "two" else "two", *words[i + 1 :]]
    for i, word in enumerate(words):
        if word in SINGULARS or word in SYNONYMS:
            article_at = next((j for j in range(i - 1, -1, -1) if words[j] in ("a", "an")), None)
            if article_at is None or i - article_at > 2:
                return None
            number = rng.choice(("two", "three"))
            rest = [THIRD_PERSON.get(w, w) for w in words]
            return [*rest[:article_at], number, *rest[article_at + 1 : i], plural(word), *rest[i + 1 :]]
    return None


def _articles(text: str) -> str:
    return re.sub(r"\b(a|an) (\w)", lambda m: f"{'an' if m[2] in 'aeiou' else 'a'} {m[2]}", text)
