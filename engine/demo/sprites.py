"""Draw the objects of the generated world, one function per kind.

Coordinates are in the object's own frame: y runs from 0 (top) to 1 (bottom), x from 0 to the kind's aspect. Positions
in a scene are chosen in `scenes`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, pi, sin
from random import Random

from PIL import Image, ImageDraw

Rgb = tuple[int, int, int]
Point = tuple[float, float]

COLOURS: dict[str, Rgb] = {
    "red": (205, 38, 38),
    "blue": (38, 84, 190),
    "green": (44, 140, 62),
    "yellow": (240, 200, 40),
    "orange": (236, 126, 30),
    "purple": (126, 58, 158),
    "pink": (238, 130, 170),
    "white": (240, 240, 236),
    "black": (40, 40, 44),
    "brown": (124, 80, 46),
    "gray": (140, 144, 150),
}
SKINS: tuple[Rgb, ...] = ((246, 208, 176), (224, 172, 132), (176, 120, 82), (116, 76, 52))
HAIRS: tuple[Rgb, ...] = ((48, 34, 26), (96, 62, 34), (190, 140, 70), (30, 28, 30), (150, 70, 36))
TROUSERS: tuple[Rgb, ...] = ((46, 56, 92), (70, 70, 76), (104, 84, 60), (36, 40, 46))
METAL, TYRE, GLASS, WOOD = (176, 182, 188), (34, 34, 38), (172, 208, 226), (150, 102, 60)
OVERSAMPLING = 3


def shade(colour: Rgb, factor: float) -> Rgb:
    """Return the colour darkened (factor < 1) or moved towards white (factor > 1)."""
    if factor <= 1:
        return tuple(int(c * factor) for c in colour)  # ty: ignore[invalid-explicit-return]
    return tuple(int(255 - (255 - c) * (2 - factor)) for c in colour)  # ty: ignore[invalid-explicit-return]


def vary(colour: Rgb, rng: Random, amount: int = 14) -> Rgb:
    """Return a slightly changed colour, so that two objects of a colour do not have equal pixels."""
    light = rng.randint(-amount, amount)
    return tuple(max(0, min(255, c + light + rng.randint(-6, 6))) for c in colour)  # ty: ignore[invalid-explicit-return]


@dataclass(frozen=True)
class Look:
    """The variable properties of a drawing: colour, pose and random stream."""

    colour: Rgb
    colour_name: str
    pose: str
    rng: Random
    role: str = ""  # man, woman, boy or girl for a person


class Pen:
    """Draws in an object's own frame onto a transparent layer, oversampled and optionally mirrored."""

    def __init__(self, aspect: float, height: float, mirrored: bool) -> None:
        self.aspect, self.mirrored = aspect, mirrored
        self.unit = height * OVERSAMPLING
        size = (
            max(OVERSAMPLING, round(aspect * height) * OVERSAMPLING),
            max(OVERSAMPLING, round(height) * OVERSAMPLING),
        )
        self.layer = Image.new("RGBA", size)
        self.canvas = ImageDraw.Draw(self.layer)

    def finish(self) -> Image.Image:
        """Return the layer at its final size, RGBA."""
        return self.layer.reduce(OVERSAMPLING)

    def at(self, point: Point) -> Point:
        x = self.aspect - point[0] if self.mirrored else point[0]
        return x * self.unit, point[1] * self.unit

    def poly(self, points: Sequence[Point], fill: Rgb) -> None:
        self.canvas.polygon([self.at(p) for p in points], fill=fill)

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: Rgb, radius: float = 0.0) -> None:
        (a, b), (c, d) = self.at((x0, y0)), self.at((x1, y1))
        self.canvas.rounded_rectangle((min(a, c), min(b, d), max(a, c), max(b, d)), radius * self.unit, fill=fill)

    def oval(self, x: float, y: float, rx: float, ry: float, fill: Rgb) -> None:
        cx, cy = self.at((x, y))
        self.canvas.ellipse(
            (cx - rx * self.unit, cy - ry * self.unit, cx + rx * self.unit, cy + ry * self.unit), fill=fill
        )

    def ring(self, x: float, y: float, radius: float, width: float, fill: Rgb) -> None:
        cx, cy = self.at((x, y))
        r = radius * self.unit
        self.canvas.ellipse((cx - r, cy - r, cx + r, cy + r), outline=fill, width=max(2, round(width * self.unit)))

    def line(self, points: Sequence[Point], width: float, fill: Rgb) -> None:
        pixels = max(2, round(width * self.unit))
        ends = [self.at(p) for p in points]
        self.canvas.line(ends, fill=fill, width=pixels, joint="curve")
        if pixels > 4:
            for x, y in (ends[0], ends[-1]):
                self.canvas.ellipse((x - pixels / 2, y - pixels / 2, x + pixels / 2, y + pixels / 2), fill=fill)

    def blob(self, points: Sequence[Point], fill: Rgb) -> None:
        """Return a closed smooth curve through the points (Catmull-Rom)."""
        n, curve = len(points), []
        for i in range(n):
            p0, p1, p2, p3 = (points[(i + k) % n] for k in (-1, 0, 1, 2))
            for t in (0.0, 0.25, 0.5, 0.75):
                curve.append(
                    tuple(
                        0.5
                        * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t * t + (3 * b - a - 3 * c + d) * t**3)
                        for a, b, c, d in zip(p0, p1, p2, p3, strict=True)
                    )
                )
        self.poly(curve, fill)


@dataclass(frozen=True)
class Stance:
    """A person's joints, in the person's frame, and the frame itself."""

    aspect: float
    height: float  # relative to a standing person of the same kind
    head: Point
    neck: Point
    hip: Point
    legs: tuple[tuple[Point, Point], ...]  # knee, foot; the far leg first
    arms: tuple[tuple[Point, Point], ...]  # elbow, hand; the far arm first


STANCES: dict[str, Stance] = {
    "standing": Stance(
        0.6,
        1.0,
        (0.3, 0.11),
        (0.3, 0.23),
        (0.3, 0.55),
        (((0.25, 0.77), (0.24, 0.98)), ((0.35, 0.77), (0.36, 0.98))),
        (((0.16, 0.4), (0.14, 0.55)), ((0.44, 0.4), (0.46, 0.55))),
    ),
    "walking": Stance(
        0.6,
        1.0,
        (0.31, 0.11),
        (0.3, 0.23),
        (0.29, 0.55),
        (((0.22, 0.76), (0.1, 0.95)), ((0.4, 0.75), (0.46, 0.98))),
        (((0.4, 0.38), (0.5, 0.48)), ((0.19, 0.4), (0.14, 0.54))),
    ),
    "running": Stance(
        0.75,
        1.0,
        (0.45, 0.11),
        (0.42, 0.23),
        (0.34, 0.54),
        (((0.2, 0.72), (0.04, 0.68)), ((0.5, 0.66), (0.52, 0.94))),
        (((0.55, 0.38), (0.68, 0.3)), ((0.26, 0.36), (0.2, 0.48))),
    ),
    "holding": Stance(
        0.6,
        1.0,
        (0.27, 0.12),
        (0.27, 0.24),
        (0.27, 0.56),
        (((0.22, 0.77), (0.2, 0.98)), ((0.32, 0.77), (0.34, 0.98))),
        (((0.14, 0.41), (0.13, 0.55)), ((0.44, 0.4), (0.5, 0.28))),
    ),
    "sitting": Stance(
        0.62,
        0.8,
        (0.24, 0.14),
        (0.23, 0.29),
        (0.22, 0.66),
        (((0.46, 0.66), (0.46, 0.96)), ((0.5, 0.69), (0.51, 0.98))),
        (((0.32, 0.5), (0.44, 0.6)), ((0.24, 0.5), (0.4, 0.62))),
    ),
    "cycling": Stance(
        0.7,
        0.86,
        (0.42, 0.13),
        (0.36, 0.26),
        (0.18, 0.6),
        (((0.42, 0.7), (0.3, 0.96)), ((0.38, 0.62), (0.36, 0.85))),
        (((0.48, 0.43), (0.62, 0.46)), ((0.46, 0.46), (0.62, 0.48))),
    ),
    "astride": Stance(
        0.55,
        0.8,
        (0.27, 0.13),
        (0.27, 0.27),
        (0.24, 0.64),
        (((0.34, 0.72), (0.3, 0.9)), ((0.36, 0.74), (0.28, 0.97))),
        (((0.36, 0.46), (0.48, 0.52)), ((0.32, 0.5), (0.46, 0.55))),
    ),
    "surfing": Stance(
        1.05,
        0.82,
        (0.56, 0.14),
        (0.52, 0.28),
        (0.46, 0.6),
        (((0.26, 0.7), (0.24, 0.98)), ((0.7, 0.7), (0.76, 0.98))),
        (((0.3, 0.32), (0.1, 0.24)), ((0.76, 0.34), (0.97, 0.3))),
    ),
    "skiing": Stance(
        0.9,
        0.9,
        (0.5, 0.13),
        (0.45, 0.27),
        (0.34, 0.6),
        (((0.5, 0.72), (0.38, 0.97)), ((0.54, 0.72), (0.42, 0.98))),
        (((0.56, 0.44), (0.68, 0.46)), ((0.52, 0.46), (0.66, 0.5))),
    ),
}


def draw_person(pen: Pen, look: Look) -> None:
    stance, rng = STANCES[look.pose], look.rng
    skin, hair, trousers = vary(rng.choice(SKINS), rng), rng.choice(HAIRS), vary(rng.choice(TROUSERS), rng)
    child = look.role in ("boy", "girl")
    dress = look.role in ("woman", "girl") and look.pose in ("standing", "walking", "holding", "running")
    bare = look.pose == "surfing" or child
    thick = 0.1 if child else 0.085
    _legs(pen, stance, thick, skin if dress or bare else trousers, trousers, bare and not dress)
    _arm(pen, stance, stance.arms[0], thick, look.colour, skin, 0.85)
    _torso(pen, stance, look, thick, dress)
    _head(pen, stance, look, skin, hair, 0.135 if child else 0.105)
    _arm(pen, stance, stance.arms[1], thick, look.colour, skin, 0.93)
    if look.pose == "skiing":
        for _, hand in stance.arms:
            pen.line([(hand[0] + 0.06, hand[1] - 0.12), hand, (hand[0] - 0.1, 0.98)], 0.016, (60, 62, 70))


def _legs(pen: Pen, stance: Stance, thick: float, fill: Rgb, trousers: Rgb, shorts: bool) -> None:
    for side, (knee, foot) in enumerate(stance.legs):
        tone = 0.8 if side == 0 else 1.0
        hip = (stance.hip[0] + (-0.035 if side == 0 else 0.035), stance.hip[1])
        pen.line([hip, knee, foot], thick * 0.95, shade(fill, tone))
        if shorts:
            half = ((hip[0] + 2 * knee[0]) / 3, (hip[1] + 2 * knee[1]) / 3)
            pen.line([hip, half], thick * 1.25, shade(trousers, tone))
        pen.oval(foot[0] + 0.03, min(foot[1], 0.975), 0.055, 0.026, (46, 38, 36))


def _arm(pen: Pen, stance: Stance, arm: tuple[Point, Point], thick: float, sleeve: Rgb, skin: Rgb, tone: float) -> None:
    elbow, hand = arm
    side = -0.09 if elbow[0] < stance.neck[0] else 0.09
    shoulder = (stance.neck[0] + side, stance.neck[1] + 0.045)
    pen.line([elbow, hand], thick * 0.6, skin)
    pen.oval(*hand, thick * 0.42, thick * 0.42, skin)
    pen.line([shoulder, elbow], thick * 0.8, shade(sleeve, tone))


def _torso(pen: Pen, stance: Stance, look: Look, thick: float, dress: bool) -> None:
    (nx, ny), (hx, hy) = stance.neck, stance.hip
    pen.poly(
        [
            (nx - 0.12, ny + 0.04),
            (nx - 0.05, ny - 0.005),
            (nx + 0.05, ny - 0.005),
            (nx + 0.12, ny + 0.04),
            (hx + 0.095, hy),
            (hx + 0.08, hy + 0.04),
            (hx - 0.08, hy + 0.04),
            (hx - 0.095, hy),
        ],
        look.colour,
    )
    if dress:
        pen.poly(
            [(hx - 0.08, hy - 0.12), (hx + 0.08, hy - 0.12), (hx + 0.2, hy + 0.2), (hx - 0.2, hy + 0.2)], look.colour
        )
        pen.line([(hx - 0.085, hy - 0.1), (hx + 0.085, hy - 0.1)], 0.025, shade(look.colour, 0.7))
    else:
        pen.line([(nx + 0.01, ny + 0.04), (hx + 0.01, hy)], 0.012, shade(look.colour, 0.8))


def _head(pen: Pen, stance: Stance, look: Look, skin: Rgb, hair: Rgb, radius: float) -> None:
    x, y = stance.head
    if look.role == "woman":
        pen.blob(
            [
                (x - radius * 1.15, y - 0.02),
                (x, y - radius * 1.25),
                (x + radius * 0.95, y - 0.02),
                (x + radius * 0.7, y + radius * 2.0),
                (x - radius * 1.25, y + radius * 2.0),
            ],
            hair,
        )
    if look.role == "girl":
        pen.oval(x - radius * 1.15, y + 0.03, radius * 0.45, radius * 0.65, hair)
        pen.oval(x + radius * 1.05, y + 0.03, radius * 0.4, radius * 0.6, hair)
    pen.line([(x, y), stance.neck], 0.065, shade(skin, 0.88))
    pen.oval(x, y, radius * 0.88, radius, hair)
    pen.oval(x + radius * 0.16, y + radius * 0.2, radius * 0.76, radius * 0.8, skin)
    for side in (-0.05, 0.5):
        pen.oval(x + radius * side, y + radius * 0.12, 0.012, 0.015, (30, 26, 26))
    pen.line([(x + radius * 0.05, y + radius * 0.6), (x + radius * 0.4, y + radius * 0.6)], 0.012, shade(skin, 0.6))
    if look.role == "boy" or (look.role == "man" and look.pose in ("skiing", "astride", "cycling")):
        cap = shade(look.colour, 0.8)
        pen.poly(
            [(x + radius * cos(a) * 0.95, y - radius * 0.15 - radius * sin(a)) for a in (k * pi / 8 for k in range(9))],
            cap,
        )
        pen.line([(x + radius * 0.3, y - radius * 0.2), (x + radius * 1.35, y - radius * 0.15)], 0.03, cap)


def draw_bicycle(pen: Pen, look: Look) -> None:
    r, rear, front = 0.32, (0.36, 0.66), (1.2, 0.66)
    for x, y in (rear, front):
        pen.ring(x, y, r, 0.065, TYRE)
        for k in range(4):
            dx, dy = cos(k * pi / 4) * r, sin(k * pi / 4) * r
            pen.line([(x - dx, y - dy), (x + dx, y + dy)], 0.008, METAL)
    crank, seat, head = (0.74, 0.7), (0.58, 0.22), (1.06, 0.26)
    pen.line([rear, crank, head, (0.61, 0.3), rear], 0.062, look.colour)
    pen.line([crank, seat], 0.062, look.colour)
    pen.line([front, (1.02, 0.1)], 0.062, look.colour)
    pen.line([(0.92, 0.08), (1.02, 0.1), (1.14, 0.14)], 0.05, TYRE)
    pen.line([(0.47, 0.19), (0.68, 0.19)], 0.07, TYRE)
    pen.oval(*crank, 0.07, 0.07, (70, 72, 76))


def draw_car(pen: Pen, look: Look) -> None:
    body, dark = look.colour, shade(look.colour, 0.72)
    tall = look.rng.random() < 0.4
    if tall:
        pen.poly([(0.12, 0.5), (0.2, 0.08), (1.3, 0.06), (1.62, 0.46)], body)
        pen.poly([(0.26, 0.44), (0.3, 0.15), (0.72, 0.14), (0.72, 0.44)], GLASS)
        pen.poly([(0.79, 0.44), (0.79, 0.14), (1.26, 0.13), (1.48, 0.44)], GLASS)
    else:
        pen.poly([(0.3, 0.48), (0.58, 0.1), (1.18, 0.1), (1.54, 0.48)], body)
        pen.poly([(0.45, 0.45), (0.64, 0.17), (0.84, 0.17), (0.84, 0.45)], GLASS)
        pen.poly([(0.91, 0.45), (0.91, 0.17), (1.14, 0.17), (1.4, 0.45)], GLASS)
    pen.box(0.04, 0.42, 1.96, 0.82, body, 0.12)
    pen.box(0.04, 0.7, 1.96, 0.82, dark, 0.05)
    pen.line([(0.88, 0.47), (0.88, 0.72)], 0.012, dark)
    pen.box(0.94, 0.54, 1.06, 0.57, dark)
    pen.oval(1.9, 0.54, 0.06, 0.06, (255, 244, 180))
    pen.box(0.04, 0.5, 0.1, 0.6, (190, 30, 30))
    for x in (0.44, 1.56):
        pen.oval(x, 0.79, 0.2, 0.2, TYRE)
        pen.oval(x, 0.79, 0.1, 0.1, METAL)


def draw_bus(pen: Pen, look: Look) -> None:
    body = look.colour
    pen.box(0.03, 0.05, 1.87, 0.88, body, 0.08)
    pen.box(0.03, 0.6, 1.87, 0.68, (245, 245, 240) if look.colour_name != "white" else (190, 50, 50))
    pen.box(0.03, 0.8, 1.87, 0.88, shade(body, 0.7))
    for k in range(5):
        pen.box(0.12 + k * 0.29, 0.16, 0.36 + k * 0.29, 0.48, GLASS, 0.02)
    pen.box(1.59, 0.16, 1.84, 0.78, shade(GLASS, 0.85), 0.02)
    pen.line([(1.715, 0.18), (1.715, 0.78)], 0.016, shade(body, 0.7))
    pen.box(1.5, 0.07, 1.84, 0.13, (30, 30, 30))
    pen.oval(1.84, 0.76, 0.04, 0.04, (255, 244, 180))
    for x in (0.42, 1.38):
        pen.oval(x, 0.87, 0.13, 0.13, TYRE)
        pen.oval(x, 0.87, 0.06, 0.06, METAL)


def draw_boat(pen: Pen, look: Look) -> None:
    if look.pose == "sailing":
        pen.line([(0.5, 0.02), (0.5, 0.8)], 0.025, (110, 84, 60))
        pen.poly(
            [(0.54, 0.04), (0.54, 0.7), (0.98, 0.7)],
            (246, 244, 236) if look.colour_name != "white" else (226, 220, 200),
        )
        pen.poly([(0.46, 0.14), (0.46, 0.7), (0.14, 0.7)], shade(look.colour, 1.3))
        pen.poly([(0.04, 0.76), (1.0, 0.76), (0.84, 0.98), (0.18, 0.98)], look.colour)
        pen.line([(0.05, 0.78), (0.98, 0.78)], 0.03, shade(look.colour, 0.65))
        return
    pen.poly([(0.45, 0.5), (0.52, 0.14), (1.02, 0.14), (1.14, 0.5)], (240, 238, 230))
    pen.poly([(0.56, 0.42), (0.6, 0.22), (0.76, 0.22), (0.76, 0.42)], GLASS)
    pen.poly([(0.82, 0.42), (0.82, 0.22), (0.98, 0.22), (1.04, 0.42)], GLASS)
    pen.line([(0.7, 0.14), (0.7, 0.0)], 0.02, (90, 90, 90))
    pen.poly([(0.02, 0.46), (1.78, 0.42), (1.5, 0.97), (0.2, 0.97)], look.colour)
    pen.poly([(0.02, 0.46), (1.78, 0.42), (1.74, 0.52), (0.05, 0.56)], shade(look.colour, 0.66))
    pen.line([(0.14, 0.8), (1.6, 0.8)], 0.03, (245, 245, 240))


def draw_bench(pen: Pen, look: Look) -> None:
    dark = shade(look.colour, 0.7)
    for x in (0.14, 1.56):
        pen.line([(x, 0.05), (x, 0.98)], 0.06, (64, 64, 68))
        pen.line([(x, 0.62), (x + (0.1 if x < 1 else -0.1), 0.98)], 0.05, (64, 64, 68))
    for y in (0.06, 0.22, 0.38):
        pen.box(0.06, y, 1.64, y + 0.11, look.colour, 0.02)
    pen.box(0.0, 0.56, 1.7, 0.66, look.colour, 0.03)
    pen.box(0.0, 0.66, 1.7, 0.71, dark, 0.02)


def draw_bird(pen: Pen, look: Look) -> None:
    body, dark = look.colour, shade(look.colour, 0.68)
    belly = shade(body, 1.45)
    if look.pose == "flying":
        pen.poly([(0.55, 0.5), (0.3, 0.02), (0.95, 0.4)], dark)
        pen.blob([(0.12, 0.62), (0.5, 0.42), (1.0, 0.46), (1.12, 0.58), (0.95, 0.7), (0.5, 0.74)], body)
        pen.poly([(0.2, 0.62), (0.0, 0.46), (0.02, 0.76)], dark)
        pen.poly([(0.45, 0.55), (0.42, 0.05), (0.68, 0.1), (0.9, 0.52)], shade(body, 0.82))
        pen.oval(1.1, 0.52, 0.14, 0.13, body)
        pen.poly([(1.2, 0.46), (1.4, 0.54), (1.2, 0.6)], (240, 160, 40))
        pen.oval(1.14, 0.48, 0.03, 0.03, (250, 250, 250))
        pen.oval(1.15, 0.48, 0.02, 0.02, (20, 20, 20))
        return
    for x in (0.42, 0.54):
        pen.line([(x, 0.74), (x, 0.96), (x + 0.1, 0.97)], 0.028, (230, 140, 40))
    pen.poly([(0.2, 0.55), (0.0, 0.8), (0.06, 0.86), (0.34, 0.74)], dark)
    pen.blob([(0.14, 0.62), (0.35, 0.4), (0.66, 0.36), (0.78, 0.56), (0.62, 0.78), (0.32, 0.8)], body)
    pen.blob([(0.45, 0.7), (0.66, 0.5), (0.75, 0.58), (0.62, 0.77)], belly)
    pen.blob([(0.2, 0.6), (0.4, 0.46), (0.56, 0.56), (0.42, 0.7)], dark)
    pen.oval(0.68, 0.26, 0.19, 0.19, body)
    pen.poly([(0.83, 0.2), (1.0, 0.29), (0.83, 0.35)], (240, 160, 40))
    pen.oval(0.74, 0.22, 0.04, 0.04, (250, 250, 250))
    pen.oval(0.75, 0.22, 0.025, 0.025, (20, 20, 20))


def draw_cat(pen: Pen, look: Look) -> None:
    fur, dark = look.colour, shade(look.colour, 0.68)
    if look.colour_name == "black":
        dark = (70, 70, 76)
    if look.pose == "lying":
        pen.line([(0.2, 0.8), (0.04, 0.62), (0.12, 0.44)], 0.1, dark)
        pen.blob([(0.1, 0.92), (0.16, 0.5), (0.6, 0.36), (1.1, 0.5), (1.3, 0.92), (0.7, 0.98)], fur)
        for k in range(3):
            pen.line([(0.42 + k * 0.18, 0.42), (0.44 + k * 0.18, 0.62)], 0.04, dark)
        pen.oval(1.2, 0.93, 0.18, 0.06, shade(fur, 1.2))
        _cat_face(pen, 1.18, 0.46, 0.26, fur, dark)
        return
    pen.line([(0.3, 0.92), (0.08, 0.86), (0.08, 0.6), (0.16, 0.5)], 0.08, dark)
    pen.blob([(0.2, 0.97), (0.24, 0.6), (0.42, 0.4), (0.62, 0.42), (0.7, 0.7), (0.72, 0.97)], fur)
    for k in range(3):
        pen.line([(0.27, 0.58 + k * 0.11), (0.42, 0.6 + k * 0.11)], 0.035, dark)
    pen.oval(0.5, 0.76, 0.1, 0.16, shade(fur, 1.4))
    for x in (0.5, 0.66):
        pen.oval(x, 0.95, 0.09, 0.045, shade(fur, 1.25))
    _cat_face(pen, 0.52, 0.26, 0.22, fur, dark)


def _cat_face(pen: Pen, x: float, y: float, r: float, fur: Rgb, dark: Rgb) -> None:
    for side in (-1, 1):
        pen.poly(
            [(x + side * r * 0.95, y - r * 1.15), (x + side * r * 0.95, y), (x + side * r * 0.1, y - r * 0.75)], fur
        )
        pen.poly(
            [
                (x + side * r * 0.82, y - r * 0.85),
                (x + side * r * 0.82, y - r * 0.3),
                (x + side * r * 0.4, y - r * 0.65),
            ],
            (230, 150, 150),
        )
    pen.oval(x, y, r, r * 0.85, fur)
    pen.line([(x, y - r * 0.8), (x, y - r * 0.45)], 0.035, dark)
    pen.oval(x, y + r * 0.35, r * 0.45, r * 0.32, (240, 236, 230))
    pen.oval(x, y + r * 0.2, r * 0.12, r * 0.09, (220, 110, 120))
    for side in (-1, 1):
        pen.oval(x + side * r * 0.42, y - r * 0.1, r * 0.2, r * 0.2, (170, 200, 70))
        pen.oval(x + side * r * 0.42, y - r * 0.1, r * 0.08, r * 0.18, (20, 20, 20))
        pen.line([(x + side * r * 0.4, y + r * 0.3), (x + side * r * 1.15, y + r * 0.2)], 0.01, (250, 250, 250))


def draw_dog(pen: Pen, look: Look) -> None:
    fur, dark = look.colour, shade(look.colour, 0.62)
    if look.colour_name == "black":
        dark = (76, 74, 78)
    if look.pose == "sitting":
        pen.line([(0.22, 0.9), (0.02, 0.78), (0.0, 0.66)], 0.07, fur)
        pen.blob([(0.14, 0.97), (0.2, 0.68), (0.42, 0.4), (0.64, 0.4), (0.7, 0.7), (0.5, 0.97)], fur)
        pen.line([(0.62, 0.55), (0.64, 0.94)], 0.12, fur)
        pen.oval(0.68, 0.95, 0.1, 0.04, shade(fur, 1.2))
        pen.oval(0.34, 0.94, 0.16, 0.05, shade(fur, 1.15))
        _dog_face(pen, 0.62, 0.24, 0.19, fur, dark)
        return
    for x in (0.3, 1.0):
        pen.line([(x + 0.1, 0.6), (x + 0.12, 0.94)], 0.1, shade(fur, 0.8))
    pen.line([(0.2, 0.45), (0.05, 0.24), (0.08, 0.14)], 0.075, fur)
    pen.blob([(0.14, 0.5), (0.4, 0.36), (0.9, 0.36), (1.14, 0.46), (1.1, 0.66), (0.6, 0.7), (0.22, 0.72)], fur)
    for x in (0.26, 0.96):
        pen.line([(x, 0.6), (x, 0.94)], 0.12, fur)
        pen.oval(x + 0.04, 0.95, 0.09, 0.045, shade(fur, 1.2))
    pen.line([(1.02, 0.46), (1.16, 0.3)], 0.2, fur)
    pen.line([(1.0, 0.52), (1.16, 0.5)], 0.06, (200, 40, 40))
    _dog_face(pen, 1.18, 0.26, 0.2, fur, dark)


def _dog_face(pen: Pen, x: float, y: float, r: float, fur: Rgb, dark: Rgb) -> None:
    pen.oval(x, y, r, r * 0.92, fur)
    pen.oval(x + r * 0.95, y + r * 0.3, r * 0.68, r * 0.42, shade(fur, 1.25))
    pen.oval(x + r * 1.5, y + r * 0.12, r * 0.2, r * 0.17, (24, 22, 24))
    pen.line([(x + r * 0.9, y + r * 0.6), (x + r * 1.3, y + r * 0.55)], 0.02, (120, 40, 40))
    pen.blob(
        [
            (x - r * 0.5, y - r * 0.8),
            (x - r * 0.95, y - r * 0.2),
            (x - r * 0.85, y + r * 0.85),
            (x - r * 0.25, y + r * 0.5),
            (x - r * 0.1, y - r * 0.6),
        ],
        dark,
    )
    pen.oval(x + r * 0.4, y - r * 0.2, r * 0.15, r * 0.17, (20, 18, 18))
    pen.oval(x + r * 0.45, y - r * 0.25, r * 0.05, r * 0.05, (250, 250, 250))


def _four_legs(pen: Pen, xs: Sequence[float], top: float, width: float, fur: Rgb, hoof: Rgb) -> None:
    for k, x in enumerate(xs):
        tone = shade(fur, 0.75) if k % 2 else fur
        pen.line([(x, top), (x, 0.94)], width, tone)
        pen.box(x - width * 0.55, 0.92, x + width * 0.55, 0.99, hoof)


def draw_horse(pen: Pen, look: Look) -> None:
    fur = look.colour
    mane = (36, 28, 26) if look.colour_name != "black" else (84, 80, 82)
    if look.colour_name == "white":
        mane = (186, 180, 170)
    pen.line([(0.2, 0.42), (0.08, 0.56), (0.1, 0.76)], 0.075, mane)
    _four_legs(pen, (0.86, 0.96, 0.28, 0.4), 0.56, 0.072, fur, (40, 36, 34))
    pen.blob(
        [(0.16, 0.44), (0.34, 0.37), (0.7, 0.4), (0.98, 0.36), (1.04, 0.5), (0.92, 0.64), (0.6, 0.66), (0.26, 0.64)],
        fur,
    )
    if look.pose == "grazing":
        pen.poly([(0.88, 0.38), (1.04, 0.46), (1.24, 0.8), (1.12, 0.84), (0.9, 0.6)], fur)
        pen.line([(0.94, 0.37), (1.1, 0.54), (1.2, 0.74)], 0.05, mane)
        pen.blob([(1.1, 0.78), (1.22, 0.74), (1.3, 0.9), (1.26, 0.98), (1.18, 0.96)], fur)
        pen.oval(1.2, 0.82, 0.018, 0.018, (20, 18, 18))
        return
    pen.poly([(0.84, 0.42), (1.0, 0.08), (1.14, 0.14), (1.06, 0.5)], fur)
    pen.line([(0.86, 0.38), (0.93, 0.22), (1.02, 0.06)], 0.065, mane)
    pen.blob([(0.98, 0.06), (1.12, 0.06), (1.32, 0.24), (1.28, 0.33), (1.18, 0.3), (1.0, 0.2)], fur)
    pen.poly([(1.0, 0.1), (1.03, 0.0), (1.09, 0.08)], fur)
    pen.oval(1.13, 0.14, 0.018, 0.02, (20, 18, 18))
    pen.oval(1.28, 0.26, 0.012, 0.014, (40, 30, 30))


def draw_sheep(pen: Pen, look: Look) -> None:
    wool = look.colour
    face = (52, 46, 46) if look.colour_name != "black" else (120, 112, 108)
    low = 0.22 if look.pose == "grazing" else 0.0
    for k, x in enumerate((0.42, 0.52, 0.9, 1.0)):
        pen.line([(x, 0.7), (x, 0.97)], 0.075, face if k % 2 else shade(face, 0.8))
    for k in range(12):
        a = k * pi / 6
        pen.oval(0.7 + 0.4 * cos(a), 0.48 + 0.24 * sin(a), 0.16, 0.15, shade(wool, 0.9 if sin(a) > 0.3 else 1.0))
    pen.oval(0.7, 0.48, 0.44, 0.3, wool)
    for dx, dy in ((-0.2, -0.05), (0.05, 0.08), (0.2, -0.1), (-0.05, -0.18), (0.25, 0.1), (-0.28, 0.1)):
        pen.ring(0.7 + dx, 0.48 + dy, 0.07, 0.014, shade(wool, 0.86))
    pen.oval(1.08, 0.3 + low, 0.1, 0.06, shade(face, 0.85))
    pen.blob([(1.1, 0.18 + low), (1.26, 0.2 + low), (1.36, 0.44 + low), (1.28, 0.54 + low), (1.16, 0.46 + low)], face)
    pen.oval(1.16, 0.2 + low, 0.13, 0.1, wool)
    pen.oval(1.24, 0.33 + low, 0.022, 0.022, (240, 240, 240))


def draw_cow(pen: Pen, look: Look) -> None:
    fur, spot = look.colour, (44, 40, 42)
    low = 0.34 if look.pose == "grazing" else 0.0
    if look.colour_name in ("black", "brown"):
        spot = (236, 232, 226)
    pen.line([(0.16, 0.28), (0.06, 0.4), (0.07, 0.68)], 0.04, fur)
    pen.oval(0.07, 0.7, 0.04, 0.07, spot)
    _four_legs(pen, (0.32, 0.44, 1.04, 1.16), 0.6, 0.1, fur, (50, 44, 42))
    pen.box(0.14, 0.24, 1.28, 0.72, fur, 0.14)
    for x, y, rx, ry in (
        (0.42, 0.4, 0.17, 0.12),
        (0.86, 0.52, 0.2, 0.12),
        (0.78, 0.3, 0.12, 0.06),
        (1.14, 0.36, 0.08, 0.1),
    ):
        pen.oval(x + look.rng.uniform(-0.05, 0.05), y, rx, ry, spot)
    pen.oval(0.52, 0.73, 0.1, 0.07, (236, 160, 160))
    pen.poly([(1.12, 0.28), (1.34, 0.2 + low * 0.8), (1.4, 0.42 + low), (1.2, 0.6)], fur)
    x, y = 1.42, 0.26 + low
    for side in (-1, 1):
        pen.poly(
            [(x + side * 0.08, y - 0.12), (x + side * 0.15, y - 0.25), (x + side * 0.15, y - 0.1)], (226, 214, 180)
        )
        pen.oval(x + side * 0.17, y - 0.04, 0.08, 0.045, shade(fur, 0.8))
    pen.blob([(x - 0.13, y - 0.13), (x + 0.13, y - 0.13), (x + 0.11, y + 0.16), (x - 0.11, y + 0.16)], fur)
    pen.oval(x, y - 0.06, 0.045, 0.09, spot)
    pen.oval(x, y + 0.15, 0.13, 0.09, (236, 170, 166))
    for side in (-1, 1):
        pen.oval(x + side * 0.07, y - 0.02, 0.022, 0.026, (20, 18, 18))
        pen.oval(x + side * 0.05, y + 0.15, 0.018, 0.02, (120, 60, 60))


def draw_umbrella(pen: Pen, look: Look) -> None:
    light, dark = shade(look.colour, 1.3), shade(look.colour, 0.75)
    pen.line([(0.6, 0.02), (0.6, 0.92)], 0.028, (70, 62, 58))
    if look.pose == "held":
        pen.line([(0.6, 0.9), (0.62, 0.98), (0.7, 0.97)], 0.03, (70, 62, 58))
    dome = [(0.6 + 0.6 * cos(a), 0.5 - 0.44 * sin(a)) for a in (k * pi / 16 for k in range(17))]
    pen.poly(dome, look.colour)
    for k, tone in ((0, dark), (2, light), (4, dark)):
        pen.poly([(0.6, 0.06), (0.24 * k, 0.5), (0.24 * (k + 1), 0.5)], tone)
    for k in range(5):
        pen.oval(0.12 + 0.24 * k, 0.5, 0.12, 0.05, (dark, look.colour, light, look.colour, dark)[k])


def draw_skis(pen: Pen, look: Look) -> None:
    if look.pose == "worn":
        for y, tone in ((0.45, 0.75), (0.7, 1.0)):
            pen.line([(0.15, y), (7.0, y), (7.7, y - 0.4)], 0.3, shade(look.colour, tone))
        return
    for x, lean in ((0.12, 0.06), (0.36, -0.06)):
        pen.poly(
            [(x - 0.05, 0.98), (x + 0.05, 0.98), (x + lean + 0.06, 0.1), (x + lean, 0.0), (x + lean - 0.06, 0.1)],
            look.colour,
        )
        pen.box(x + lean / 2 - 0.06, 0.5, x + lean / 2 + 0.06, 0.62, (50, 52, 58))
        pen.line([(x - 0.02, 0.94), (x + lean * 0.9, 0.14)], 0.015, shade(look.colour, 1.5))


def draw_kite(pen: Pen, look: Look) -> None:
    pen.line([(0.4, 0.62), (0.3, 0.74), (0.42, 0.84), (0.3, 0.97)], 0.02, (90, 90, 96))
    for x, y in ((0.32, 0.75), (0.38, 0.86), (0.32, 0.95)):
        pen.poly(
            [(x - 0.07, y - 0.04), (x - 0.07, y + 0.04), (x + 0.07, y - 0.04), (x + 0.07, y + 0.04)],
            shade(look.colour, 0.8),
        )
    pen.poly([(0.4, 0.0), (0.74, 0.24), (0.4, 0.66), (0.06, 0.24)], look.colour)
    pen.poly([(0.4, 0.0), (0.4, 0.24), (0.06, 0.24)], shade(look.colour, 1.35))
    pen.poly([(0.4, 0.24), (0.74, 0.24), (0.4, 0.66)], shade(look.colour, 0.7))
    pen.line([(0.4, 0.0), (0.4, 0.66)], 0.014, (70, 60, 60))
    pen.line([(0.06, 0.24), (0.74, 0.24)], 0.014, (70, 60, 60))


def draw_surfboard(pen: Pen, look: Look) -> None:
    stripe = (250, 250, 244) if look.colour_name != "white" else (200, 60, 60)
    if look.pose == "ridden":
        pen.blob([(0.1, 0.5), (1.5, 0.12), (4.6, 0.1), (5.9, 0.4), (4.6, 0.85), (1.4, 0.9)], look.colour)
        pen.line([(0.5, 0.5), (5.4, 0.45)], 0.16, stripe)
        return
    pen.blob([(0.16, 0.02), (0.3, 0.3), (0.3, 0.7), (0.2, 0.97), (0.12, 0.97), (0.02, 0.7), (0.02, 0.3)], look.colour)
    pen.line([(0.16, 0.06), (0.16, 0.94)], 0.022, stripe)
    pen.line([(0.04, 0.7), (0.28, 0.62)], 0.03, stripe)


def draw_cup(pen: Pen, look: Look) -> None:
    pen.ring(0.82, 0.5, 0.22, 0.08, shade(look.colour, 0.85))
    pen.poly([(0.08, 0.2), (0.84, 0.2), (0.76, 0.9), (0.66, 0.98), (0.26, 0.98), (0.16, 0.9)], look.colour)
    pen.poly([(0.66, 0.2), (0.84, 0.2), (0.76, 0.9), (0.66, 0.98), (0.58, 0.98)], shade(look.colour, 0.78))
    pen.oval(0.46, 0.2, 0.38, 0.1, shade(look.colour, 0.7))
    pen.oval(0.46, 0.21, 0.32, 0.075, (84, 52, 32))
    for x in (0.36, 0.54):
        pen.line([(x, 0.12), (x + 0.05, 0.07), (x, 0.01)], 0.025, (225, 225, 225))


def draw_pizza(pen: Pen, look: Look) -> None:
    pen.oval(1.0, 0.58, 1.0, 0.4, (226, 226, 228))
    pen.oval(1.0, 0.52, 0.9, 0.36, (190, 126, 60))
    pen.oval(1.0, 0.5, 0.78, 0.29, (246, 204, 92))
    for k in range(9):
        a, d = k * 2.4 + look.rng.uniform(-0.3, 0.3), 0.25 + 0.08 * (k % 5)
        topping = ((196, 44, 36), (196, 44, 36), (66, 130, 50))[k % 3]
        pen.oval(1.0 + d * 1.15 * cos(a), 0.5 + d * 0.42 * sin(a), 0.13, 0.055, topping)
    for a in (0.5, 1.6, 2.7):
        dx, dy = cos(a) * 0.85, sin(a) * 0.33
        pen.line([(1.0 - dx, 0.51 - dy), (1.0 + dx, 0.51 + dy)], 0.018, (170, 110, 50))


def draw_cake(pen: Pen, look: Look) -> None:
    icing, sponge = look.colour, (214, 168, 112) if look.colour_name != "brown" else (96, 58, 36)
    pen.oval(0.6, 0.93, 0.6, 0.07, (222, 224, 230))
    pen.box(0.14, 0.42, 1.06, 0.92, sponge, 0.03)
    pen.box(0.14, 0.62, 1.06, 0.7, shade(icing, 0.92))
    pen.box(0.12, 0.36, 1.08, 0.5, icing, 0.05)
    for k in range(6):
        pen.oval(0.2 + k * 0.16, 0.5, 0.075, 0.06 + 0.04 * (k % 2), icing)
    pen.oval(0.6, 0.37, 0.48, 0.07, shade(icing, 1.25))
    if look.pose == "candles":
        for x in (0.34, 0.6, 0.86):
            pen.line([(x, 0.34), (x, 0.18)], 0.045, (250, 240, 240))
            pen.oval(x, 0.1, 0.035, 0.07, (255, 180, 40))
    else:
        for x in (0.34, 0.6, 0.86):
            pen.oval(x, 0.28, 0.08, 0.08, (204, 30, 50))


def draw_chair(pen: Pen, look: Look) -> None:
    dark = shade(look.colour, 0.68)
    for x in (0.2, 0.62):
        pen.line([(x, 0.55), (x, 0.88)], 0.05, dark)
    pen.box(0.1, 0.02, 0.54, 0.1, look.colour, 0.03)
    for x in (0.13, 0.32, 0.5):
        pen.line([(x, 0.06), (x, 0.56)], 0.055, look.colour)
    pen.box(0.1, 0.26, 0.54, 0.33, look.colour)
    pen.poly([(0.1, 0.52), (0.54, 0.52), (0.68, 0.62), (0.06, 0.62)], shade(look.colour, 1.15))
    pen.box(0.06, 0.61, 0.68, 0.67, dark)
    for x in (0.1, 0.64):
        pen.line([(x, 0.64), (x, 0.97)], 0.06, look.colour)


def draw_couch(pen: Pen, look: Look) -> None:
    dark, light = shade(look.colour, 0.7), shade(look.colour, 1.15)
    for x in (0.2, 1.8):
        pen.box(x - 0.05, 0.86, x + 0.05, 0.98, (70, 50, 36))
    pen.box(0.12, 0.05, 1.88, 0.7, look.colour, 0.1)
    pen.line([(1.0, 0.1), (1.0, 0.5)], 0.02, dark)
    pen.box(0.16, 0.48, 0.99, 0.7, light, 0.06)
    pen.box(1.01, 0.48, 1.84, 0.7, light, 0.06)
    pen.box(0.1, 0.68, 1.9, 0.9, dark, 0.04)
    for x in (0.02, 1.72):
        pen.box(x, 0.32, x + 0.26, 0.9, look.colour, 0.1)


def draw_table(pen: Pen, look: Look) -> None:
    dark = shade(look.colour, 0.7)
    for x in (0.28, 1.62):
        pen.line([(x, 0.25), (x, 0.8)], 0.07, shade(look.colour, 0.5))
    for x in (0.12, 1.78):
        pen.line([(x, 0.3), (x, 0.97)], 0.09, dark)
    pen.poly([(0.22, 0.04), (1.68, 0.04), (1.9, 0.3), (0.0, 0.3)], look.colour)
    pen.poly([(0.0, 0.3), (1.9, 0.3), (1.9, 0.37), (0.0, 0.37)], dark)
    for k in range(4):
        pen.line([(0.3 + 0.36 * k, 0.07), (0.18 + 0.46 * k, 0.28)], 0.01, shade(look.colour, 0.88))


def draw_tv(pen: Pen, look: Look) -> None:
    screen = vary(look.rng.choice([(60, 110, 180), (70, 140, 110), (150, 90, 120), (90, 96, 120)]), look.rng)
    pen.poly([(0.6, 0.86), (0.9, 0.86), (1.06, 0.98), (0.44, 0.98)], (54, 54, 58))
    pen.box(0.02, 0.02, 1.48, 0.88, (24, 24, 28), 0.04)
    pen.box(0.08, 0.08, 1.42, 0.8, screen, 0.02)
    pen.poly([(0.08, 0.8), (0.5, 0.44), (0.8, 0.8)], shade(screen, 0.7))
    pen.poly([(0.5, 0.8), (0.98, 0.36), (1.42, 0.8)], shade(screen, 0.8))
    pen.oval(1.16, 0.26, 0.09, 0.09, (250, 236, 160))
    pen.poly([(0.14, 0.1), (0.4, 0.1), (0.14, 0.5)], shade(screen, 1.3))


def draw_laptop(pen: Pen, look: Look) -> None:
    case = look.colour
    pen.box(0.2, 0.02, 1.2, 0.66, shade(case, 0.8), 0.04)
    pen.box(0.26, 0.08, 1.14, 0.6, (66, 120, 196), 0.01)
    for k in range(3):
        pen.line([(0.34, 0.18 + 0.12 * k), (0.6 + 0.14 * ((k * 2) % 3), 0.18 + 0.12 * k)], 0.035, (230, 238, 250))
    pen.poly([(0.2, 0.66), (1.2, 0.66), (1.4, 0.94), (0.0, 0.94)], case)
    pen.poly([(0.27, 0.69), (1.13, 0.69), (1.22, 0.82), (0.18, 0.82)], (52, 52, 58))
    pen.poly([(0.56, 0.84), (0.84, 0.84), (0.87, 0.92), (0.53, 0.92)], shade(case, 0.78))
    pen.poly([(0.0, 0.94), (1.4, 0.94), (1.38, 0.99), (0.02, 0.99)], shade(case, 0.6))


def draw_plant(pen: Pen, look: Look) -> None:
    leaf = vary((52, 132, 60), look.rng)
    if look.pose == "bushy":
        for k in range(9):
            a = k * 2 * pi / 9
            pen.oval(0.4 + 0.2 * cos(a), 0.34 + 0.2 * sin(a), 0.15, 0.14, shade(leaf, 0.8 + 0.05 * (k % 5)))
        pen.oval(0.4, 0.32, 0.18, 0.18, shade(leaf, 1.15))
    else:
        for k in range(7):
            a = pi * (0.08 + 0.14 * k)
            tip = (0.4 + 0.42 * cos(a), 0.62 - 0.6 * sin(a))
            mid = (0.4 + 0.16 * cos(a), 0.62 - 0.36 * sin(a))
            pen.blob(
                [(0.4, 0.66), (mid[0] - 0.07, mid[1]), tip, (mid[0] + 0.07, mid[1])], shade(leaf, 0.78 + 0.09 * (k % 4))
            )
    pen.poly([(0.16, 0.66), (0.64, 0.66), (0.56, 0.98), (0.24, 0.98)], look.colour)
    pen.box(0.13, 0.6, 0.67, 0.7, shade(look.colour, 0.85), 0.02)


# kind: (drawing, aspect, height in pixels at scale 1)
SPRITES: dict[str, tuple[Callable[[Pen, Look], None], float, float]] = {
    "person": (draw_person, 0.6, 100),
    "bicycle": (draw_bicycle, 1.56, 66),
    "car": (draw_car, 2.0, 60),
    "bus": (draw_bus, 1.9, 92),
    "boat": (draw_boat, 1.8, 58),
    "bench": (draw_bench, 1.7, 52),
    "bird": (draw_bird, 1.0, 46),
    "cat": (draw_cat, 0.8, 54),
    "dog": (draw_dog, 1.56, 58),
    "horse": (draw_horse, 1.36, 92),
    "sheep": (draw_sheep, 1.42, 56),
    "cow": (draw_cow, 1.62, 74),
    "umbrella": (draw_umbrella, 1.2, 68),
    "skis": (draw_skis, 0.48, 78),
    "kite": (draw_kite, 0.8, 78),
    "surfboard": (draw_surfboard, 0.32, 96),
    "cup": (draw_cup, 1.08, 44),
    "pizza": (draw_pizza, 2.0, 40),
    "cake": (draw_cake, 1.2, 54),
    "chair": (draw_chair, 0.76, 78),
    "couch": (draw_couch, 2.0, 74),
    "dining table": (draw_table, 1.9, 66),
    "tv": (draw_tv, 1.5, 66),
    "laptop": (draw_laptop, 1.4, 48),
    "potted plant": (draw_plant, 0.8, 66),
}
POSED_ASPECTS: dict[tuple[str, str], tuple[float, float]] = {
    # Poses with a different frame: (aspect, height relative to the kind's height).
    ("bird", "flying"): (1.42, 1.0),
    ("cat", "lying"): (1.5, 0.72),
    ("dog", "sitting"): (1.0, 1.1),
    ("boat", "sailing"): (1.04, 1.55),
    ("skis", "worn"): (7.8, 0.13),
    ("surfboard", "ridden"): (6.0, 0.2),
    **{("person", pose): (stance.aspect, stance.height) for pose, stance in STANCES.items()},
}


def frame(kind: str, pose: str) -> tuple[float, float]:
    """Return (aspect, height in pixels at scale 1) of a kind in a pose."""
    _, aspect, height = SPRITES[kind]
    posed, factor = POSED_ASPECTS.get((kind, pose), (aspect, 1.0))
    return posed, height * factor


def sprite(kind: str, look: Look, height: float, mirrored: bool) -> Image.Image:
    """Return one object as an RGBA image, `height` pixels tall."""
    pen = Pen(frame(kind, look.pose)[0], height, mirrored)
    SPRITES[kind][0](pen, look)
    return pen.finish()
