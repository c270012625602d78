"""Twins of scenes: the same picture with one object removed, recoloured, duplicated or mirrored, and nothing else.

A twin is a pure function of the seed, the change and the object. Noise, light and the looks of all other objects come
from the same random numbers, so that pixels differ only where the object, its shadow or a kite's string is or was.

`python -m engine.demo.twins --pairs 500` captions both pictures of each pair with the demo captioner and prints how
often the caption changes in what it says about the changed object, and how often elsewhere. With `--run` the pairs are
stored in a run, and its report shows them.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from itertools import count, cycle, islice
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from tqdm import tqdm

from engine.demo import judge
from engine.demo.backdrops import SIDE
from engine.demo.language import COLOUR_WORDS
from engine.demo.scenes import BRIGHT, PALETTES, Cast, Drawing, Picture, Scene, Thing, compose, frame
from engine.demo.world import FIRST_SEED
from engine.statistics import wilson_interval
from engine.store import records
from engine.store.tables import table_of, write_table
from engine.writing import replacing

CHANGES = ("removed", "recoloured", "duplicated", "mirrored")
VISIBLE = 150
"""Minimum visible pixels of an object that is changed."""

_APART = 40
"""Minimum pixels between an object and its mirrored place."""
_ATTACHED = ("riding", "holding", "flying", "on", "under")
"""Relations whose two objects cannot be moved apart."""
_FIXED = ("tv", "dining table")
_MOST_ALIKE = 3
"""Objects of a kind: captions of the generated world count no more."""


class TwinError(ValueError):
    """A change that a scene does not allow; the message says which."""


@dataclass(frozen=True)
class Twin:
    """Two pictures that differ in one object."""

    scene: Scene
    change: str
    number: int
    """The changed object in `scene.things` and in the masks of `original`."""
    changed: Thing | None
    """The object in the twin, or its copy; None if it is removed."""
    original: Picture
    twin: Picture
    """Its masks are in the order of its own objects: without a removed one, with a copy after its original."""
    mask: np.ndarray
    """Visible pixels of the object in the original, uint8[SIDE, SIDE] of 0 and 1."""
    twin_mask: np.ndarray
    """The same in the twin; of the copy if it is duplicated, nothing if it is removed."""
    region: np.ndarray
    """Pixels that may differ, bool[SIDE, SIDE]: the object with its edges, its shadow, a kite's string."""

    @property
    def thing(self) -> Thing:
        """Return the object in the original."""
        return self.scene.things[self.number]


def twin(seed: int, change: str, number: int | None = None) -> Twin:
    """Return the twin of a scene.

    Args:
        change: one of CHANGES.
        number: the object in `compose(seed).things`; None chooses one by the seed among those that allow the change.

    Raises:
        TwinError: an unknown change, or no such object, or the object does not allow it.
    """
    if change not in CHANGES:
        raise TwinError(f"unknown change {change!r}: expected one of {', '.join(CHANGES)}")
    scene = compose(seed)
    if number is not None and not 0 <= number < len(scene.things):
        raise TwinError(f"scene {seed} has no object {number}: expected 0 to {len(scene.things) - 1}")
    drawing = Drawing(scene)
    original = drawing.picture(drawing.cast)
    order = Random(f"{seed}/{change}")  # a string seeds by its bytes, the same on every machine
    numbers = order.sample(range(len(scene.things)), len(scene.things)) if number is None else [number]
    for each in numbers:
        if original.masks[each].sum() >= VISIBLE or number is not None:
            cast, changed = _changed(scene, change, each)
            if cast is not None:
                return _twin(drawing, scene, original, change, each, cast, changed)
    which = "no object" if number is None else f"object {number}, a {scene.things[number].kind}, which"
    raise TwinError(f"scene {seed} has {which} can be {change}; choose another seed, object or change")


def removals(seed: int) -> list[Twin]:
    """Return a twin for each object of a scene, with that object removed; fully hidden objects have none.

    The label of an object is `twin.thing.kind`, its visible pixels are `twin.mask`.
    """
    scene = compose(seed)
    drawing = Drawing(scene)
    original = drawing.picture(drawing.cast)
    return [
        _twin(drawing, scene, original, "removed", number, _without(scene, number), None)
        for number in range(len(scene.things))
        if original.masks[number].any()
    ]


def pairs(number: int, first_seed: int = FIRST_SEED["test"]) -> Iterator[Twin]:
    """Yield `number` twins of different scenes, the changes in turn; scenes that do not allow a change are skipped."""
    seeds = count(first_seed)
    for change in islice(cycle(CHANGES), number):
        found = None
        while found is None:
            with suppress(TwinError):
                found = twin(next(seeds), change)
        yield found


def _twin(
    drawing: Drawing, scene: Scene, original: Picture, change: str, number: int, cast: Cast, changed: Thing | None
) -> Twin:
    picture = drawing.picture(cast)
    place = next((at for at, (_, thing) in enumerate(cast) if thing is changed), None)
    twin_mask = np.zeros((SIDE, SIDE), np.uint8) if place is None else picture.masks[place]
    before, after = drawing.covered(drawing.cast), drawing.covered(cast)
    region = (before[-2:] != after[-2:]).any(0)  # shadows and string
    if change != "duplicated":
        region |= before[number] > 0
    if place is not None:
        region |= after[place] > 0
    return Twin(scene, change, number, changed, original, picture, original.masks[number], twin_mask, region)


def _changed(scene: Scene, change: str, number: int) -> tuple[Cast | None, Thing | None]:
    """Return the objects of the twin and the changed one, or None if the object does not allow the change."""
    things, thing = scene.things, scene.things[number]
    rng = Random(f"{scene.seed}/{change}/{number}")
    if change == "removed":
        return _without(scene, number), None
    if change == "recoloured":
        other = _other_colour(scene, thing, rng)
        changed = None if other is None else replace(thing, colour=other)
    elif _is_attached(scene, thing):
        changed = None
    elif change == "mirrored":
        place = SIDE - thing.x
        is_free = abs(place - thing.x) >= _APART and _is_free(scene, thing, place, [number])
        changed = replace(thing, x=place, mirrored=not thing.mirrored) if is_free else None
    elif sum((each.role or each.kind) == (thing.role or thing.kind) for each in things) >= _MOST_ALIKE:
        changed = None
    else:
        free = [x for x in range(20, SIDE - 20, 4) if _is_free(scene, thing, x, [])]
        changed = replace(thing, x=float(rng.choice(free))) if free else None
    if changed is None:
        return None, None
    own = [(number, thing), (number, changed)] if change == "duplicated" else [(number, changed)]
    return [*enumerate(things[:number]), *own, *list(enumerate(things))[number + 1 :]], changed


def _without(scene: Scene, number: int) -> Cast:
    return [(at, thing) for at, thing in enumerate(scene.things) if at != number]


def _other_colour(scene: Scene, thing: Thing, rng: Random) -> str | None:
    """Return another colour of the kind that no other object of the kind has."""
    taken = {each.colour for each in scene.things if each.kind == thing.kind}
    # White objects on snow would be invisible.
    taken |= {"white"} if scene.place == "snowy mountain" else set()
    free = sorted(set(PALETTES.get(thing.kind, BRIGHT)) & set(COLOUR_WORDS) - taken)
    return rng.choice(free) if thing.colour and free else None


def _is_attached(scene: Scene, thing: Thing) -> bool:
    return thing.kind in _FIXED or (thing.group < 2 and scene.relation in _ATTACHED)


def _is_free(scene: Scene, thing: Thing, x: float, left_out: Sequence[int]) -> bool:
    """Return whether an object at x is in the picture and hides no other one that is not `left_out`."""
    half = _half(thing)
    return half * 0.8 <= x <= SIDE - half * 0.8 and all(
        abs(x - each.x) >= half + _half(each) or not _overlaps(thing, each)
        for number, each in enumerate(scene.things)
        if number not in left_out
    )


def _half(thing: Thing) -> float:
    return frame(thing.kind, thing.pose)[0] * thing.height / 2


def _overlaps(first: Thing, second: Thing) -> bool:
    """Return whether two objects are at the same height of the picture."""
    return first.y - first.height < second.y and second.y - second.height < first.y


# Captions of both pictures


@dataclass(frozen=True)
class CaptionPair:
    """The captions of the two pictures of a twin, and where they differ."""

    seed: int
    change: str
    label: str
    role: str
    original: str
    twin: str
    named: bool
    """Whether the original's caption names the changed object."""
    object_changed: bool
    """Whether what is said about the object differs: its noun, colour, count or side."""
    aspects: tuple[str, ...]
    """Which of these differ."""
    elsewhere_changed: bool
    """Whether what is said about other objects or the place differs."""

    @property
    def is_same(self) -> bool:
        """Return whether both captions are the same text."""
        return self.original == self.twin


def compared(pair: Twin, original: str, changed: str) -> CaptionPair:
    """Return where the captions of the two pictures of a twin differ."""
    first, second = (_parted(pair, text) for text in (original, changed))
    (about, others), (about_twin, others_twin) = first, second
    aspects = ("noun", *_MORE) if about and about_twin else ("noun",)
    aspects = tuple(aspect for aspect in aspects if _stated(pair, about, aspect) != _stated(pair, about_twin, aspect))
    places = judge.place_of(original), judge.place_of(changed)
    # A caption may leave out the place, and a room can be a kitchen: only a place that disagrees is a change.
    elsewhere = others != others_twin or (places[0] != places[1] and places[0].isdisjoint(places[1]))
    thing = pair.thing
    return CaptionPair(
        *(pair.scene.seed, pair.change, thing.kind, thing.role, original, changed),
        *(bool(about), bool(aspects), aspects, elsewhere),
    )


def _parted(pair: Twin, caption: str) -> tuple[list[judge.Claim], Counter]:
    """Return what a caption says about the changed object, and about the other objects."""
    name = pair.thing.role or pair.thing.kind
    present = {thing.role or thing.kind for thing in pair.scene.things}
    about, others = [], Counter()
    for claim in judge.claims(caption):
        # A person who is taken for another one is still the changed object, if nobody else can be meant.
        is_person = bool(pair.thing.role) and claim.names <= set(judge.PEOPLE) and not claim.names & present
        if name in claim.names or is_person:
            about.append(claim)
        else:  # `guy` and `man` are the same; `person` is the only one in the scene that it can be
            others[claim.names & present or claim.names, claim.count, claim.colours, claim.side] += 1
    return about, others


_MORE = ("count", "colour", "side")


def _stated(pair: Twin, about: Sequence[judge.Claim], aspect: str) -> object:
    """Return one aspect of what is said about the changed object."""
    if aspect == "noun":
        return {(pair.thing.role or pair.thing.kind) in claim.names for claim in about}
    if aspect == "count":
        return None if any(claim.count is None for claim in about) else sum(claim.count or 0 for claim in about)
    if aspect == "colour":
        return sorted(colour for claim in about for colour in claim.colours)
    return sorted(claim.side for claim in about)


def captioned(twins: Iterable[Twin], captioner: Path) -> Iterator[CaptionPair]:
    """Caption both pictures of each twin by greedy search, and yield where the captions differ.

    Raises:
        CheckpointError: the folder has no captioner.
    """
    from engine.captioners.native.pipeline import NativeCaptioner
    from engine.config import DecodingConfig

    model = NativeCaptioner.load(captioner)
    greedy, left = DecodingConfig(beam_sizes=(1,)), iter(twins)
    while some := list(islice(left, _TOGETHER)):  # a pair takes a megabyte
        photos = [model.read(picture.image) for each in some for picture in (each.original, each.twin)]
        captions = model.caption(photos, [str(place) for place in range(len(photos))], greedy)[1]
        texts = [hypotheses[0].text for hypotheses in captions]
        yield from map(compared, some, texts[::2], texts[1::2])


_TOGETHER = 32
"""Pairs that are captioned together."""

# Shares of pairs


@dataclass(frozen=True)
class Share:
    """How many pairs have something, with a 95 % Wilson interval; low and high are NaN without pairs."""

    count: int
    of: int

    @property
    def interval(self) -> tuple[float, float]:
        """Return low and high."""
        return wilson_interval(self.count, self.of)

    def __str__(self) -> str:
        if not self.of:
            return "-"
        low, high = self.interval
        return f"{self.count} of {self.of} ({self.count / self.of:.1%}, {100 * low:.1f}-{100 * high:.1f})"


def shares(found: Sequence[CaptionPair], change: str) -> dict[str, Share]:
    """Return what the captions of one change have, by the heads of the table."""
    mine = [each for each in found if each.change == change]
    named = [each for each in mine if each.named]
    columns = {
        "about the object": [each.object_changed for each in mine],
        "if it was named": [each.object_changed for each in named],
        "elsewhere": [each.elsewhere_changed for each in mine],
        "same caption": [each.is_same for each in mine],
    }
    return {head: Share(sum(values), len(values)) for head, values in columns.items()}


def table(found: Sequence[CaptionPair]) -> str:
    """Return the shares of each change as lines of text."""
    by_change = {change: shares(found, change) for change in CHANGES if any(each.change == change for each in found)}
    heads = list(next(iter(by_change.values()), {}))
    rows = [["change", *heads], *([change, *map(str, own.values())] for change, own in by_change.items())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def store(found: Sequence[CaptionPair], pictures: Mapping[tuple[int, str], Twin], folder: Path) -> None:
    """Write the table `twins` of a run.

    Args:
        pictures: (seed, change) -> the pairs whose pictures are stored.
    """
    rows = []
    for each in found:
        row, shown = {**asdict(each), "aspects": list(each.aspects)}, pictures.get((each.seed, each.change))
        for side in ("original", "twin"):
            row[f"{side}_picture"] = None if shown is None else _webp(getattr(shown, side).image)
        rows.append(row)
    write_table(folder, "twins", table_of("twins", rows))


def _webp(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "WEBP", quality=85)
    return buffer.getvalue()


def _run_folder(results: Path, run: str, captioner: Path) -> Path:
    """Return the folder of a finished run of a captioner.

    Raises:
        TwinError: no such run, or one of another captioner.
    """
    from engine.captioners.native.pipeline import NativeCaptioner

    folder = records.run_folder(results, run)
    record = records.read_record(folder)
    if record is None:
        raise TwinError(f"{results} has no finished run {run!r}; evaluate the captioner first")
    fingerprint = NativeCaptioner.load(captioner).fingerprint
    if (record.get("captioner") or {}).get("fingerprint") != fingerprint:
        raise TwinError(f"run {run!r} is of another captioner than {captioner}; choose it with --captioner")
    return folder


_PICTURED = 3
"""Pairs of each change whose pictures are stored: those whose captions differ elsewhere first."""


def _pictured(found: Sequence[CaptionPair]) -> dict[tuple[int, str], Twin]:
    chosen = {}
    for change in CHANGES:
        mine = sorted((each for each in found if each.change == change), key=lambda each: not each.elsewhere_changed)
        for each in mine[:_PICTURED]:
            chosen[each.seed, change] = twin(each.seed, change)
    return chosen


def write(found: Sequence[CaptionPair], out: Path) -> None:
    """Write a row per pair, as a Parquet table or as JSON by the ending of the file."""
    rows = [{**asdict(each), "aspects": list(each.aspects)} for each in found]
    with replacing(out) as temporary:
        if out.suffix == ".json":
            temporary.write_text(json.dumps(rows, indent=1), encoding="utf-8")
        else:
            pq.write_table(pa.Table.from_pylist(rows), temporary)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table for new pairs."""
    parser = argparse.ArgumentParser(
        prog="python -m engine.demo.twins",
        description="Caption pairs of pictures that differ in one object, and count where the captions differ.",
    )
    parser.add_argument("--pairs", type=_positive, default=500, metavar="N", help="pairs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=FIRST_SEED["test"], help="first scene (default: %(default)s)")
    parser.add_argument(
        "--captioner", type=Path, default=Path(__file__).parent / "captioner", help="folder (default: the demo's)"
    )
    parser.add_argument("--run", metavar="NAME", help="store the pairs in this run of the captioner, for its report")
    parser.add_argument("--results", type=Path, default=Path("results"), help="results folder (default: %(default)s)")
    parser.add_argument("--out", type=_out, metavar="FILE", help="also write a row per pair, as .parquet or .json")
    options = parser.parse_args(arguments)
    try:
        folder = None if options.run is None else _run_folder(options.results, options.run, options.captioner)
        made = captioned(pairs(options.pairs, options.seed), options.captioner)
        found = list(tqdm(made, "caption pairs", options.pairs, unit="pair"))
        print("pairs whose caption changes (95 % Wilson intervals in %)")
        print(table(found))
        if options.out is not None:
            write(found, options.out)
        if folder is not None:
            store(found, _pictured(found), folder)
    except (ValueError, OSError) as error:  # no captioner in the folder, or a file that cannot be written
        sys.exit(f"error: {error}")


def _positive(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_PAIRS:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number from 1 to {_MOST_PAIRS:,}")
    return int(text)


_MOST_PAIRS = 100_000


def _out(text: str) -> Path:
    if Path(text).suffix not in (".parquet", ".json"):
        raise argparse.ArgumentTypeError(f"{text!r}, expected a name that ends in .parquet or .json")
    return Path(text)


if __name__ == "__main__":
    main()
