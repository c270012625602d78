"""Compose scenes of the generated world from integers: the picture with a mask per object, and five references.

Defines which objects occur where, who rides, holds or sits on what, and which conditions make a scene hard. Everything
is a pure function of the seed: the same integer gives the same bits, in any order of calls.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from engine.demo import language
from engine.demo.backdrops import INDOORS, PLACES, SIDE, backdrop, finish
from engine.demo.sprites import COLOURS, Look, frame, sprite, vary

CONDITIONS = ("night", "small", "occluded", "crowded", "unusual place", "left-right twins")
HARD_SHARE = 0.2
ROLES = ("man", "woman", "boy", "girl")
CHILD_SIZE = 0.76  # relative to an adult's height
BRIGHT = ("red", "blue", "green", "yellow", "orange", "purple", "pink", "white", "black")
PALETTES: dict[str, tuple[str, ...]] = {
    "dog": ("brown", "black", "white"),
    "cat": ("orange", "black", "white", "gray"),
    "horse": ("brown", "white", "black"),
    "sheep": ("white", "white", "black"),
    "cow": ("white", "brown", "black"),
    "bench": ("brown", "green", "red", "blue"),
    "dining table": ("brown", "white"),
    "laptop": ("gray", "black", "white"),
    "cake": ("pink", "white", "brown", "yellow"),
    "bird": ("red", "blue", "yellow", "green", "black", "white"),
    "chair": ("red", "blue", "green", "yellow", "brown", "white"),
    "couch": ("red", "blue", "green", "brown", "purple", "gray"),
    "person": ("red", "blue", "green", "yellow", "orange", "purple", "pink", "white", "black"),
}
COLOURLESS = ("pizza", "tv", "potted plant")  # their colour is fixed and never mentioned
POSES: dict[str, tuple[str, ...]] = {
    "person": ("standing", "walking", "running"),
    "bird": ("standing", "flying"),
    "cat": ("sitting", "lying"),
    "dog": ("standing", "sitting"),
    "horse": ("standing", "grazing"),
    "sheep": ("standing", "grazing"),
    "cow": ("standing", "grazing"),
    "boat": ("sailing", "floating"),
    "car": ("parked",),
    "bus": ("parked",),
    "bicycle": ("parked",),
    "potted plant": ("", "bushy"),
    "cake": ("", "candles"),
}
# The position of a seat, as a share of the kind's height from its top.
SEATS = {"bench": 0.6, "chair": 0.57, "couch": 0.6, "dining table": 0.2}
SITTING_HIP = 0.68  # of the sitting stance's height, from its top
NATIVES: dict[str, tuple[str, ...]] = {
    "beach": ("person", "dog", "bird", "chair", "umbrella", "surfboard", "boat", "horse", "kite", "bicycle"),
    "street": ("person", "car", "bus", "bicycle", "dog", "cat", "bird", "bench"),
    "field": ("cow", "sheep", "horse", "dog", "person", "bird", "kite", "bicycle"),
    "snowy mountain": ("person", "skis", "dog", "bird", "horse"),
    "lake": ("boat", "bird", "dog", "bench", "person", "chair", "cow"),
    "park": ("bench", "dog", "cat", "bird", "bicycle", "person", "umbrella", "kite", "chair", "dining table"),
    "kitchen": ("chair", "dining table", "potted plant", "cat", "dog", "person", "tv"),
    "living room": ("couch", "tv", "potted plant", "chair", "cat", "dog", "person", "dining table"),
}
FOOD = ("cup", "pizza", "cake", "laptop")  # lies on tables, never on the ground


@dataclass(frozen=True)
class Mount:
    """What people ride: the saddle in its frame and the hip in the rider's frame, x from the left, y from the top."""

    kind: str
    pose: str
    rider_pose: str
    saddle: tuple[float, float]
    hip: tuple[float, float]


MOUNTS = {
    "bicycle": Mount("bicycle", "parked", "cycling", (0.58, 0.17), (0.18, 0.62)),
    "horse": Mount("horse", "standing", "astride", (0.56, 0.38), (0.24, 0.66)),
}


@dataclass(frozen=True)
class Group:
    """One to three objects of the same kind that a caption names together."""

    kind: str  # COCO category name
    role: str  # man, woman, boy or girl for a person, else empty
    colour: str  # for a person, the colour of the shirt or dress; empty if it is never mentioned
    pose: str
    count: int

    @property
    def stature(self) -> float:
        """Height relative to an adult, or 1 for anything but a person."""
        return CHILD_SIZE if self.role in ("boy", "girl") else 1.0


@dataclass(frozen=True)
class Thing:
    """One object: its position in pixels of the SIDE x SIDE picture, and its appearance."""

    kind: str
    role: str
    colour: str
    pose: str
    x: float  # centre
    y: float  # lower edge
    height: float
    mirrored: bool
    depth: float  # larger is nearer; objects are drawn in this order
    group: int
    grounded: bool  # casts a shadow


@dataclass(frozen=True)
class Scene:
    """The content of a picture. `relation` is between groups 0 and 1, if there are two."""

    seed: int
    place: str
    time: str
    horizon: float
    line: float
    groups: tuple[Group, ...]
    relation: str
    related: bool  # False: groups[1] is only nearby
    afloat: bool  # the main group is on the water
    things: tuple[Thing, ...]
    conditions: tuple[str, ...]


@dataclass(frozen=True)
class Picture:
    """A drawn scene: the photo, and the visible pixels of each object, uint8[things, SIDE, SIDE] of 0 and 1."""

    image: Image.Image
    masks: np.ndarray


class Stage:
    """A scene while it is being composed."""

    def __init__(self, rng: Random, place: str, time: str, size: float = 1.0) -> None:
        self.rng, self.place, self.time, self.size = rng, place, time, size
        _, horizons, lines = PLACES[place]
        self.horizon, self.line = rng.randint(*horizons), rng.randint(*lines)
        self.groups: list[Group] = []
        self.things: list[Thing] = []
        self.relation, self.related, self.afloat = "", False, False

    @property
    def indoors(self) -> bool:
        return self.place in INDOORS

    def ground(self, low: float = 0.15, high: float = 0.9) -> float:
        """Return a height on the walkable ground, between its far (0) and near (1) end."""
        far = {"beach": self.line + 14, "lake": self.line + 12, "street": self.line + 10}.get(
            self.place, self.horizon + 24
        )
        if self.indoors:
            far = self.horizon + 34
        return far + (216 - far) * self.rng.uniform(low, high)

    def water(self) -> float:
        return self.horizon + (self.line - self.horizon) * self.rng.uniform(0.45, 0.95)

    def scale(self, y: float) -> float:
        """Return the scale of an object at height y: nearer objects are larger."""
        near = (y - self.horizon) / (SIDE - self.horizon)
        return self.size * ((0.96 + 0.34 * near) if self.indoors else (0.74 + 0.62 * near))

    def group(self, kind: str, count: int = 1, pose: str | None = None, role: str = "", colour: str = "") -> Group:
        """Return a new group, with random values for what is not given; it is mentioned next."""
        rng = self.rng
        role = (role or rng.choice(ROLES)) if kind == "person" else ""
        # White objects on snow would be invisible.
        palette = [c for c in PALETTES.get(kind, BRIGHT) if c != "white" or self.place != "snowy mountain"]
        colour = "" if kind in COLOURLESS else colour or rng.choice(palette)
        pose = rng.choice(POSES.get(kind, ("",))) if pose is None else pose
        self.groups.append(Group(kind, role, colour, pose, count))
        return self.groups[-1]

    def put(
        self,
        group: Group,
        x: float,
        y: float,
        scale: float,
        *,
        depth: float | None = None,
        mirrored: bool | None = None,
        grounded: bool = True,
    ) -> Thing:
        height = frame(group.kind, group.pose)[1] * scale * group.stature
        mirrored = self.rng.random() < 0.5 if mirrored is None else mirrored
        number = next(i for i, other in enumerate(self.groups) if other is group)
        self.things.append(
            Thing(
                group.kind,
                group.role,
                group.colour,
                group.pose,
                x,
                y,
                height,
                mirrored,
                y if depth is None else depth,
                number,
                grounded,
            )
        )
        return self.things[-1]

    def free_x(self, width: float) -> float:
        """Return the horizontal position, of several random ones, that is furthest from existing objects."""
        half = min(width / 2, 100)
        tries = [self.rng.uniform(half, SIDE - half) for _ in range(8)]
        return max(tries, key=lambda x: min((abs(x - t.x) for t in self.things), default=0))

    def spread(self, group: Group, low: float = 0.15, high: float = 0.9) -> None:
        """Place a group side by side on its element: ground, water or sky."""
        aspect, height = frame(group.kind, group.pose)
        on_water, in_air = group.kind == "boat" and self.place in ("beach", "lake"), self.airborne(group)
        base = self.water() if on_water else self.rng.uniform(60, 96) if in_air else self.ground(low, high)
        size = self.size * self.rng.uniform(0.8, 1.15) if in_air else self.scale(base) * (1.15 if on_water else 1.0)
        width = aspect * height * size * group.count
        fit = min(1.0, SIDE * 1.02 / width)
        size, pitch = size * fit, min(width * fit / group.count * self.rng.uniform(1.0, 1.25), SIDE / group.count)
        centre = self.free_x(pitch * group.count)
        for k in range(group.count):
            x = centre + (k - (group.count - 1) / 2) * pitch + self.rng.uniform(-3, 3)
            y = base + self.rng.uniform(-6, 6) * (group.count > 1)
            self.put(group, x, y, size, grounded=not (in_air or on_water))
        self.afloat |= on_water and group is self.groups[0]

    def airborne(self, group: Group) -> bool:
        return group.kind == "kite" or (group.kind == "bird" and group.pose == "flying")

    def relate(self, relation: str) -> None:
        self.relation, self.related = relation, True


def _alone(stage: Stage) -> None:
    kind = stage.rng.choice(NATIVES[stage.place])
    stage.spread(stage.group(kind, stage.rng.choice((1, 1, 2, 2, 3))), 0.3)


def _pair(stage: Stage) -> None:
    first, second = stage.rng.sample([k for k in NATIVES[stage.place] if k not in ("boat", "kite", "tv")], 2)
    _side_by_side(stage, first, second)


def _side_by_side(stage: Stage, first: str, second: str) -> None:
    """Two objects next to, in front of or behind each other."""
    rng, relation = stage.rng, stage.rng.choice(("next to", "next to", "in front of", "behind"))
    a, b = stage.group(first, pose=_grounded_pose(first, rng)), stage.group(second, pose=_grounded_pose(second, rng))
    y = stage.ground(0.35, 0.75)
    widths = [frame(g.kind, g.pose)[0] * frame(g.kind, g.pose)[1] * stage.scale(y) for g in (a, b)]
    side = rng.choice((-1, 1))
    if relation == "next to":
        gap = min((widths[0] + widths[1]) / 2 + 4, 128)
        left = rng.uniform(max(20.0, widths[0] / 2), max(21.0, SIDE - gap - widths[1] / 2))
        xs = (left, left + gap) if side > 0 else (SIDE - left, SIDE - left - gap)
        ys = (y, y + rng.uniform(-4, 4))
    else:
        xs = (112 + rng.uniform(-30, 30), 0.0)
        xs = (xs[0], xs[0] + side * widths[1] * rng.uniform(0.1, 0.35))
        ys = (y + 13, y - 13) if relation == "in front of" else (y - 13, y + 13)
    for group, x, base in zip((a, b), xs, ys, strict=True):
        stage.put(group, x, base, stage.scale(base))
    stage.relate(relation)


def _grounded_pose(kind: str, rng: Random) -> str:
    return rng.choice([p for p in POSES.get(kind, ("",)) if p not in ("flying", "running")])


def _ride(stage: Stage) -> None:
    """A person on a bicycle or a horse, with the hip on the saddle."""
    kinds = {"street": ("bicycle",), "park": ("bicycle", "horse"), "field": ("horse", "bicycle")}
    rng = stage.rng
    ride = MOUNTS[rng.choice(kinds.get(stage.place, ("horse", "bicycle")))]
    rider, mount = stage.group("person", pose=ride.rider_pose), stage.group(ride.kind, pose=ride.pose)
    y, mirrored = stage.ground(0.3, 0.85), rng.random() < 0.5
    scale, sign = stage.scale(y) * 1.12, -1 if mirrored else 1
    low = stage.put(mount, rng.uniform(60, 164), y, scale, mirrored=mirrored)
    rider_aspect, rider_height = frame("person", rider.pose)
    # A child on an adult's bicycle is drawn almost as large, or the feet would hang in the air.
    rider_height *= 0.95 if rider.stature < 1 else 1.0
    size = scale / rider.stature * (0.95 if rider.stature < 1 else 1.0)
    reach = (ride.hip[0] - rider_aspect / 2) * rider_height * scale
    x = low.x + sign * ((ride.saddle[0] - frame(ride.kind, ride.pose)[0] / 2) * low.height - reach)
    top = y - low.height * (1 - ride.saddle[1]) - ride.hip[1] * rider_height * scale
    stage.put(rider, x, top + rider_height * scale, size, depth=y + 0.5, mirrored=mirrored, grounded=False)
    stage.relate("riding")


def _glide(stage: Stage) -> None:
    """A surfer on the sea or a skier in the snow, each on what carries them."""
    skiing, rng = stage.place == "snowy mountain", stage.rng
    if not skiing:
        stage.line = 190  # the sea reaches nearer, or the surfer would be too small
    role = rng.choice(ROLES)
    rider = stage.group("person", pose="skiing" if skiing else "surfing", role=role)
    board = stage.group("skis", pose="worn") if skiing else stage.group("surfboard", pose="ridden")
    y = stage.ground(0.2, 0.85) if skiing else rng.uniform(stage.horizon + 60, 180)
    mirrored, scale, x = rng.random() < 0.5, stage.scale(y) * 1.1, rng.uniform(60, 164)
    size = scale * (0.85 if rider.stature < 1 else 1.0) * (1.2 if skiing else 1.0)
    low = stage.put(board, x, y, size, mirrored=mirrored, grounded=skiing)
    lean = (-0.05 if mirrored else 0.05) * 100 * scale if skiing else 0
    stage.put(rider, x + lean, y - low.height * 0.35, scale, depth=y + 0.5, mirrored=mirrored, grounded=False)
    stage.afloat = not skiing
    stage.relate("riding")


def _hold(stage: Stage) -> None:
    """A person with something in the raised hand: umbrella, surfboard or a kite's string."""
    rng = stage.rng
    kinds = {
        "beach": ("umbrella", "surfboard", "kite"),
        "street": ("umbrella",),
        "field": ("kite", "umbrella"),
        "park": ("umbrella", "kite"),
        "lake": ("umbrella",),
        "snowy mountain": ("skis", "umbrella"),
    }
    kind = rng.choice(kinds[stage.place])
    person = stage.group("person", pose="holding")
    held = stage.group(kind, pose="held" if kind == "umbrella" else "")
    y, mirrored = stage.ground(0.3, 0.85), rng.random() < 0.5
    scale, sign = stage.scale(y), -1 if mirrored else 1
    body = stage.put(person, rng.uniform(70, 154), y, scale, mirrored=mirrored)
    hand = (body.x + sign * (0.5 - 0.3) * body.height, y - 0.72 * body.height)
    if kind == "umbrella":
        # The shaft runs down the middle of the frame, and the hand holds it three quarters down.
        size = scale * person.stature
        height = frame(kind, held.pose)[1] * size
        stage.put(held, hand[0], hand[1] + 0.26 * height, size, depth=y - 0.5, grounded=False)
    elif kind == "kite":
        stage.put(
            held,
            hand[0] + sign * rng.uniform(26, 50),
            max(62.0, hand[1] - rng.uniform(6, 20)),
            stage.size * rng.uniform(0.8, 1.0),
            grounded=False,
        )
    else:
        stage.put(held, hand[0] + sign * 4, y - 3, scale * (0.85 if person.stature < 1 else 1.05), depth=y - 0.5)
    stage.relate("flying" if kind == "kite" else "holding")


def _sit(stage: Stage) -> None:
    """A person or an animal on a bench, a chair or a couch."""
    rng = stage.rng
    seats = {
        "park": ("bench", "chair"),
        "street": ("bench",),
        "lake": ("bench", "chair"),
        "beach": ("chair",),
        "kitchen": ("chair",),
        "living room": ("couch", "chair", "couch"),
    }
    seat_kind = rng.choice(seats[stage.place])
    sitters = ("person", "person", "cat", "dog") if stage.indoors else ("person", "person", "bird", "cat")
    kind = rng.choice(sitters)
    pose = {"person": "sitting", "dog": "sitting", "bird": "standing"}.get(kind) or rng.choice(("sitting", "lying"))
    if seat_kind == "chair" and pose == "lying":
        pose = "sitting"
    sitter, seat = stage.group(kind, pose=pose), stage.group(seat_kind)
    y, mirrored = stage.ground(0.4, 0.85), rng.random() < 0.5
    scale = stage.scale(y) * 1.1
    low = stage.put(seat, rng.uniform(75, 149), y, scale, mirrored=mirrored)
    level = y - low.height * (1 - SEATS[seat_kind])
    reach = 0.0 if seat_kind == "chair" else rng.uniform(-0.24, 0.24) * low.height * 1.8
    if kind == "person":
        height = frame("person", "sitting")[1] * scale * sitter.stature
        stage.put(
            sitter,
            low.x + reach,
            level + (1 - SITTING_HIP) * height,
            scale,
            depth=y + 0.5,
            mirrored=mirrored,
            grounded=False,
        )
    else:
        stage.put(sitter, low.x + reach, level + 2, scale * 0.9, depth=y + 0.5, grounded=False)
    stage.relate("on")


def _serve(stage: Stage) -> None:
    """Food, cups or a laptop on a table that fills the foreground."""
    rng = stage.rng
    kind = rng.choice(FOOD + (("potted plant",) if stage.indoors else ()))
    count = rng.choice((1, 1, 2, 3)) if kind in ("cup", "cake", "pizza") else 1
    food, table = stage.group(kind, count), stage.group("dining table")
    y = rng.uniform(206, 214)
    scale = 1.45 * min(stage.size * 1.1, 1.0)
    low = stage.put(table, rng.uniform(100, 124), y, scale)
    aspect, tall = frame(kind, food.pose)
    size = 1.25 * stage.size * min(1.0, 150 / (aspect * tall * 1.25 * count))
    for k in range(count):
        x = low.x + (k - (count - 1) / 2) * aspect * tall * size * 1.08 + rng.uniform(-12, 12) / count
        stage.put(food, x, y - low.height * 0.83 + rng.uniform(-2, 3), size, depth=y + 0.5 + k * 0.1, grounded=False)
    stage.relate("on")


def _shelter(stage: Stage) -> None:
    """An animal or a person under a table, a bench or an umbrella."""
    rng = stage.rng
    roof = {
        "kitchen": "dining table",
        "living room": "dining table",
        "park": rng.choice(("dining table", "bench", "umbrella")),
        "beach": "umbrella",
        "street": "bench",
        "lake": "bench",
    }[stage.place]
    kind = rng.choice(("dog", "cat") if roof != "umbrella" else ("dog", "person", "chair", "cat"))
    guest = stage.group(kind, pose={"dog": "sitting", "cat": "lying", "person": "sitting"}.get(kind, ""))
    cover = stage.group(roof, pose="")
    y = stage.ground(0.6, 0.95)
    scale = stage.scale(y) * (1.9 if roof == "umbrella" else 1.35)
    low = stage.put(cover, rng.uniform(80, 144), y, scale)
    size = stage.scale(y) * {"dining table": 0.9, "bench": 0.6}.get(roof, 0.92)
    offset = 0.16 * low.height * rng.choice((-1, 1)) if roof == "umbrella" else rng.uniform(-8, 8)
    stage.put(guest, low.x + offset, y + 2, size, depth=y + 0.5)
    stage.relate("under")


def _watch(stage: Stage) -> None:
    """A television on a low table, with a person or an object in front of it."""
    rng = stage.rng
    viewer = stage.group(
        rng.choice(("cat", "dog", "person", "couch", "potted plant")),
    )
    screen = stage.group("tv")
    x, y = rng.uniform(84, 140), stage.horizon + rng.uniform(14, 24)
    stage.put(screen, x, y, 1.3 * stage.size, mirrored=False)
    base = rng.uniform(192, 212)
    stage.put(viewer, x + rng.choice((-1, 1)) * rng.uniform(20, 48), base, stage.scale(base) * 0.9)
    stage.relate("in front of")


SITUATIONS: dict[str, tuple[tuple[Callable[[Stage], None], int], ...]] = {
    "beach": ((_alone, 4), (_pair, 2), (_ride, 1), (_glide, 3), (_hold, 4), (_sit, 1), (_shelter, 2)),
    "street": ((_alone, 6), (_pair, 4), (_ride, 3), (_hold, 2), (_sit, 2), (_shelter, 1)),
    "field": ((_alone, 7), (_pair, 3), (_ride, 3), (_hold, 2)),
    "snowy mountain": ((_alone, 3), (_pair, 2), (_glide, 6), (_hold, 3)),
    "lake": ((_alone, 7), (_pair, 3), (_sit, 2), (_hold, 1), (_shelter, 1)),
    "park": ((_alone, 4), (_pair, 3), (_ride, 3), (_hold, 3), (_sit, 3), (_shelter, 2), (_serve, 2)),
    "kitchen": ((_alone, 2), (_pair, 2), (_sit, 2), (_serve, 9), (_shelter, 2)),
    "living room": ((_alone, 3), (_pair, 2), (_sit, 4), (_serve, 3), (_shelter, 1), (_watch, 3)),
}


def _twins(stage: Stage) -> None:
    """Two objects of the same kind that differ only in colour and side."""
    rng = stage.rng
    kind = rng.choice(
        [k for k in NATIVES[stage.place] if k not in ("tv", "potted plant", "dining table", "bus", "couch", "kite")]
    )
    pose, role = _grounded_pose(kind, rng), rng.choice(ROLES)
    colours = rng.sample(sorted(set(PALETTES.get(kind, BRIGHT))), 2)
    left, right = (stage.group(kind, pose=pose, role=role, colour=c) for c in colours)
    on_water = kind == "boat"
    y = stage.water() if on_water else stage.ground(0.35, 0.8)
    aspect, height = frame(kind, pose)
    scale = min(stage.scale(y), 104 / (aspect * height))
    for group, x in ((left, 58), (right, 166)):
        stage.put(group, x + rng.uniform(-5, 5), y, scale, grounded=not on_water)
    stage.afloat = on_water
    stage.relate("to the left of")


def _displaced(stage: Stage) -> None:
    """An object in an unusual place: a couch in the snow, a cow in the kitchen."""
    native = {*NATIVES[stage.place], *FOOD, "boat", "kite", "person"}
    kind = stage.rng.choice(sorted(k for kinds in NATIVES.values() for k in kinds if k not in native))
    stage.spread(stage.group(kind, stage.rng.choice((1, 1, 2)), _grounded_pose(kind, stage.rng)), 0.4)


def _hidden(stage: Stage) -> None:
    """One object half behind another."""
    rng = stage.rng
    covers = {
        "street": ("car", "bicycle", "bench"),
        "beach": ("chair", "surfboard"),
        "field": ("cow", "bicycle"),
        "snowy mountain": ("skis", "horse"),
        "lake": ("bench", "chair"),
        "park": ("bench", "chair"),
        "kitchen": ("chair", "potted plant"),
        "living room": ("couch", "chair", "potted plant"),
    }
    cover_kind = rng.choice(covers[stage.place])
    kind = rng.choice([k for k in NATIVES[stage.place] if k not in ("boat", "kite", "skis", "surfboard", cover_kind)])
    hidden, cover = (
        stage.group(kind, pose=_grounded_pose(kind, rng)),
        stage.group(cover_kind, pose=_grounded_pose(cover_kind, rng)),
    )
    y = stage.ground(0.35, 0.6)
    back = stage.put(hidden, rng.uniform(80, 144), y, stage.scale(y))
    aspect, height = frame(cover_kind, cover.pose)
    scale = stage.scale(y + 14)
    wide = (frame(kind, hidden.pose)[0] * back.height + aspect * height * scale) / 2
    stage.put(cover, back.x + rng.choice((-1, 1)) * wide * rng.uniform(0.1, 0.4), y + 14, scale)
    stage.relate("behind")


def _situate(stage: Stage, condition: str) -> None:
    special = {"left-right twins": _twins, "unusual place": _displaced, "occluded": _hidden}
    if condition in special:
        special[condition](stage)
        return
    situations, weights = zip(*SITUATIONS[stage.place], strict=True)
    stage.rng.choices(situations, weights)[0](stage)


def _bystanders(stage: Stage, condition: str) -> None:
    """Add other groups: at most one, or several in a crowd."""
    rng = stage.rng
    crowded = condition == "crowded"
    for _ in range(rng.randint(2, 3) if crowded else rng.random() < 0.3):
        present = {g.kind for g in stage.groups}
        kinds = [
            k for k in NATIVES[stage.place] if k not in present and k not in ("tv", "bus", "dining table", "couch")
        ]
        if kinds:
            stage.spread(stage.group(rng.choice(kinds), rng.choice((2, 2, 3)) if crowded else 1), 0.0, 0.45)


def compose(seed: int, hard: str | None = None) -> Scene:
    """Return the scene of an integer.

    `hard` is one of CONDITIONS to force it, empty to forbid all of them, or None to make a fifth of the seeds hard.
    Raises ValueError for another name.
    """
    if hard and hard not in CONDITIONS:
        raise ValueError(f"unknown condition {hard!r}: expected one of {', '.join(CONDITIONS)}, '' or None")
    rng = Random(seed)
    drawn = rng.choice(CONDITIONS) if rng.random() < HARD_SHARE else ""
    condition = drawn if hard is None else hard
    time = "night" if condition == "night" else rng.choices(("day", "dusk"), (5, 1))[0]
    stage = Stage(rng, rng.choice(tuple(PLACES)), time, 0.52 if condition == "small" else 1.0)
    _situate(stage, condition)
    if condition not in ("left-right twins", "unusual place", "small"):
        _bystanders(stage, condition)
    return _finish(stage, seed, (condition,) if condition else ())


def portrait(kind: str, seed: int) -> Scene:
    """Return a scene with one large object of `kind` in one of the places: an image of a zero-shot class."""
    rng = Random(f"{kind}/{seed}")  # a string seeds by its bytes, the same on every machine
    places = {
        "boat": ("lake", "beach"),
        "skis": ("snowy mountain",),
        **dict.fromkeys(FOOD, ("kitchen", "living room", "park")),
    }
    stage = Stage(rng, rng.choice(places.get(kind, tuple(PLACES))), rng.choices(("day", "dusk"), (6, 1))[0])
    if kind in FOOD:
        _portrait_on_table(stage, kind)
    else:
        stage.size = 1.15
        stage.spread(stage.group(kind), 0.5, 0.95)
    return _finish(stage, seed, ())


def _portrait_on_table(stage: Stage, kind: str) -> None:
    group, table = stage.group(kind), stage.group("dining table")
    low = stage.put(table, 112, 222, 1.5)
    stage.put(
        group,
        112 + stage.rng.uniform(-30, 30),
        222 - low.height * 0.82,
        stage.rng.uniform(1.3, 1.6),
        depth=223,
        grounded=False,
    )
    stage.relate("on")


def _finish(stage: Stage, seed: int, conditions: tuple[str, ...]) -> Scene:
    things = tuple(sorted(stage.things, key=lambda t: t.depth))
    return Scene(
        seed,
        stage.place,
        stage.time,
        stage.horizon,
        stage.line,
        tuple(stage.groups),
        stage.relation,
        stage.related,
        stage.afloat,
        things,
        conditions,
    )


def describe(scene: Scene, seed: int) -> list[str]:
    """Return five references in five styles; `seed` chooses the words."""
    return language.describe(scene, Random(seed * 5 + 2))


def draw(scene: Scene) -> Picture:
    """Return the picture of a scene, RGB and SIDE x SIDE, and the visible pixels of each of `scene.things`."""
    drawing = Drawing(scene)
    return drawing.picture(drawing.cast)


Cast = Sequence[tuple[int, Thing]]
"""The things that are drawn, in order of depth, each with the number of the thing in the scene whose random numbers it
takes."""


class Drawing:
    """A scene that can also be drawn with other things, by the same random numbers: nothing else changes."""

    def __init__(self, scene: Scene) -> None:
        self._scene, rng = scene, Random(scene.seed * 7 + 3)
        self._backdrop = backdrop(scene.place, scene.time, scene.horizon, scene.line, rng)
        self._starts, self._layers = [], []
        for thing in scene.things:
            self._starts.append(rng.getstate())
            self._layers.append(_layer(thing, rng))
        self._finish = rng.getstate()
        self.cast: Cast = tuple(enumerate(scene.things))
        """The things of the scene itself."""

    def picture(self, cast: Cast) -> Picture:
        """Return the picture, RGB and SIDE x SIDE, and the visible pixels of each thing of `cast`."""
        scene, things, image = self._scene, [thing for _, thing in cast], self._backdrop.copy()
        masks = np.zeros((len(things), SIDE, SIDE), dtype=np.uint8)
        image.paste((26, 26, 34), (0, 0), _shadows(things))
        for place, (number, thing) in enumerate(cast):
            layer = self._layer(number, thing)
            image.paste(layer, _corner(layer, thing), layer)
            mask = (_opacity(layer, thing) > 127).astype(np.uint8)
            masks[:place] &= 1 - mask
            masks[place] = mask
        _draw_string(image, scene, things)
        return Picture(finish(image, scene.time, scene.place in INDOORS, _continued(self._finish)), masks)

    def covered(self, cast: Cast) -> np.ndarray:
        """Return for each pixel what of `cast` can show there, uint8[things + 2, SIDE, SIDE]: opacities, 0 to 255.

        The last two are those of all shadows and of the string of a kite.
        """
        things, line = [thing for _, thing in cast], Image.new("L", (SIDE, SIDE))
        _draw_string(line, self._scene, things)
        opacities = [_opacity(self._layer(number, thing), thing) for number, thing in cast]
        return np.stack([*opacities, np.asarray(_shadows(things)), np.asarray(line)])

    def _layer(self, number: int, thing: Thing) -> Image.Image:
        if thing == self._scene.things[number]:
            return self._layers[number]
        return _layer(thing, _continued(self._starts[number]))


def _continued(state: tuple) -> Random:
    rng = Random()
    rng.setstate(state)
    return rng


def _layer(thing: Thing, rng: Random) -> Image.Image:
    """Return a thing at its size, RGBA."""
    base = COLOURS[thing.colour] if thing.colour else (166, 96, 70)
    look = Look(vary(base, rng, 10), thing.colour, thing.pose, rng, thing.role)
    return sprite(thing.kind, look, thing.height, thing.mirrored)


def _corner(layer: Image.Image, thing: Thing) -> tuple[int, int]:
    """Return where the upper left corner of a layer is in the picture."""
    return round(thing.x - layer.width / 2), round(thing.y - layer.height)


def _opacity(layer: Image.Image, thing: Thing) -> np.ndarray:
    """Return how much of each pixel of the picture a layer covers, uint8[SIDE, SIDE]."""
    alpha = Image.new("L", (SIDE, SIDE))
    alpha.paste(layer.getchannel("A"), _corner(layer, thing))
    return np.asarray(alpha)


def _shadows(things: Sequence[Thing]) -> Image.Image:
    """Return the shadows of things as an opacity, L and SIDE x SIDE."""
    layer = Image.new("L", (SIDE, SIDE))
    canvas = ImageDraw.Draw(layer)
    for thing in things:
        if thing.grounded:
            half = min(frame(thing.kind, thing.pose)[0] * thing.height * 0.46, 110)
            low = thing.y - thing.height * 0.02
            canvas.ellipse((thing.x - half, low - half * 0.12 - 2, thing.x + half, low + half * 0.12 + 2), fill=96)
    return layer.filter(ImageFilter.BoxBlur(2))


def _draw_string(image: Image.Image, scene: Scene, things: Sequence[Thing]) -> None:
    """Draw the string from the hand of the person who flies a kite to the kite."""
    first = {thing.group: thing for thing in reversed(things)}
    if scene.relation != "flying" or not {0, 1} <= first.keys():
        return
    person, kite = first[0], first[1]
    hand = (person.x + (-0.2 if person.mirrored else 0.2) * person.height, person.y - 0.72 * person.height)
    fill = 250 if image.mode == "L" else (250, 250, 250)
    ImageDraw.Draw(image).line((*hand, kite.x, kite.y - 0.4 * kite.height), fill=fill, width=1)
