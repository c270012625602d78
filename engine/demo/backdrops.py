"""Paint the places of the generated world without objects: sky, ground, walls, texture and light.

Objects are placed in `scenes` and drawn in `sprites`.
"""

from collections.abc import Callable
from functools import lru_cache
from math import pi, sin
from random import Random

import numpy as np
from PIL import Image, ImageDraw

from engine.demo.sprites import Rgb, shade, vary

SIDE = 224  # pixels, the input of both models
SCALE = 2  # backdrops are painted at twice the size and reduced, which smooths edges
SKIES: dict[str, tuple[tuple[Rgb, Rgb], ...]] = {
    "day": (((96, 166, 230), (206, 230, 246)), ((120, 180, 226), (226, 236, 240)), ((150, 176, 200), (222, 226, 230))),
    "dusk": (((92, 74, 138), (252, 164, 96)), ((150, 84, 120), (255, 196, 110)), ((70, 84, 150), (250, 142, 120))),
    "night": (((10, 14, 44), (40, 52, 96)), ((14, 10, 38), (48, 46, 88))),
}
# Multipliers of red, green, blue over a whole picture.
LIGHT: dict[str, tuple[float, float, float]] = {
    "day": (1.0, 1.0, 1.0),
    "dusk": (1.0, 0.84, 0.74),
    "night": (0.5, 0.56, 0.82),
}


class Sheet:
    """A canvas with coordinates in final pixels, painted at `SCALE` times that size."""

    def __init__(self) -> None:
        self.image = Image.new("RGB", (SIDE * SCALE, SIDE * SCALE))
        self.canvas = ImageDraw.Draw(self.image)

    def gradient(self, top: float, bottom: float, upper: Rgb, lower: Rgb) -> None:
        """A vertical blend from `upper` at `top` to `lower` at `bottom`."""
        strip = Image.new("RGB", (1, 2))
        strip.putdata([upper, lower])
        height = max(1, round((bottom - top) * SCALE))
        self.image.paste(
            strip.resize((1, height), Image.Resampling.BILINEAR).resize((SIDE * SCALE, height)), (0, round(top * SCALE))
        )

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: Rgb) -> None:
        self.canvas.rectangle((x0 * SCALE, y0 * SCALE, x1 * SCALE, y1 * SCALE), fill=fill)

    def oval(self, x: float, y: float, rx: float, ry: float, fill: Rgb) -> None:
        self.canvas.ellipse(((x - rx) * SCALE, (y - ry) * SCALE, (x + rx) * SCALE, (y + ry) * SCALE), fill=fill)

    def poly(self, points: list[tuple[float, float]], fill: Rgb) -> None:
        self.canvas.polygon([(x * SCALE, y * SCALE) for x, y in points], fill=fill)

    def line(self, x0: float, y0: float, x1: float, y1: float, width: float, fill: Rgb) -> None:
        self.canvas.line(
            (x0 * SCALE, y0 * SCALE, x1 * SCALE, y1 * SCALE), fill=fill, width=max(1, round(width * SCALE))
        )

    def ridge(self, base: float, height: float, rng: Random, fill: Rgb) -> None:
        """A rolling skyline above `base`, filled down to it."""
        a, b, c = (rng.uniform(0, 2 * pi) for _ in range(3))
        points = [
            (x, base - height * (0.55 + 0.28 * sin(x / 38 + a) + 0.17 * sin(x / 17 + b + c)))
            for x in range(-4, SIDE + 12, 8)
        ]
        self.poly([(-4, base + 1), *points, (SIDE + 8, base + 1)], fill)


def _sky(sheet: Sheet, time: str, horizon: float, rng: Random) -> None:
    upper, lower = rng.choice(SKIES[time])
    sheet.gradient(0, horizon + 2, vary(upper, rng, 10), vary(lower, rng, 8))
    x, y = rng.uniform(20, 204), rng.uniform(12, max(20, horizon * 0.45))
    if time == "night":
        for _ in range(26):
            sheet.oval(rng.uniform(0, SIDE), rng.uniform(0, horizon), 0.8, 0.8, (236, 236, 220))
        sheet.oval(x, y, 10, 10, (244, 240, 214))
        sheet.oval(x + 4, y - 2, 8, 8, shade(upper, 1.06))
    elif time == "dusk":
        sheet.oval(x, horizon - 6, 17, 17, (255, 220, 130))
    else:
        if rng.random() < 0.5:
            sheet.oval(x, y, 11, 11, (255, 236, 150))
        for _ in range(rng.randint(0, 3)):
            _cloud(sheet, rng.uniform(0, SIDE), rng.uniform(10, horizon * 0.6), rng.uniform(8, 16))


def _cloud(sheet: Sheet, x: float, y: float, r: float) -> None:
    for dx, dy, k in ((-1.3, 0.25, 0.6), (-0.4, -0.2, 0.9), (0.6, -0.05, 0.8), (1.4, 0.3, 0.55), (0, 0.35, 0.7)):
        sheet.oval(x + dx * r, y + dy * r * 0.6, r * k, r * k * 0.6, (250, 250, 252))


def _tufts(sheet: Sheet, top: float, rng: Random, fill: Rgb, count: int = 60) -> None:
    for _ in range(count):
        x, y = rng.uniform(0, SIDE), top + (SIDE - top) * rng.random() ** 0.8
        size = 1 + 3 * (y - top) / (SIDE - top)
        tone = shade(fill, rng.choice((0.82, 0.9, 1.12)))
        sheet.line(x, y, x - size * 0.5, y - size * 1.4, 0.6, tone)
        sheet.line(x, y, x + size * 0.6, y - size * 1.2, 0.6, tone)


def _tree(sheet: Sheet, x: float, base: float, height: float, rng: Random) -> None:
    leaf = vary((58, 122, 58), rng, 18)
    sheet.box(x - height * 0.05, base - height * 0.45, x + height * 0.05, base, (98, 70, 48))
    for _ in range(6):
        sheet.oval(
            x + rng.uniform(-0.2, 0.2) * height,
            base - height * rng.uniform(0.5, 0.85),
            height * 0.2,
            height * 0.18,
            shade(leaf, rng.uniform(0.85, 1.1)),
        )


def _pine(sheet: Sheet, x: float, base: float, height: float, rng: Random) -> None:
    leaf = vary((44, 92, 70), rng, 10)
    sheet.box(x - height * 0.04, base - height * 0.15, x + height * 0.04, base, (88, 64, 46))
    for k in range(3):
        y, half = base - height * (0.12 + 0.26 * k), height * (0.26 - 0.05 * k)
        sheet.poly([(x - half, y), (x, y - height * 0.4), (x + half, y)], leaf)
        sheet.poly(
            [(x - half * 0.5, y - height * 0.2), (x, y - height * 0.4), (x + half * 0.5, y - height * 0.2)],
            (238, 244, 250),
        )


def _beach(sheet: Sheet, time: str, horizon: float, shore: float, rng: Random) -> None:
    _sky(sheet, time, horizon, rng)
    sea, sand = vary((42, 132, 176), rng), vary((230, 206, 156), rng, 12)
    sheet.gradient(horizon, shore, sea, shade(sea, 1.3))
    sheet.gradient(shore, SIDE, sand, shade(sand, 0.86))
    for k in range(4):
        y = horizon + (shore - horizon) * (k + 0.7) / 4.4
        for x in range(-10, SIDE, 30):
            sheet.line(
                x + rng.uniform(0, 16), y, x + rng.uniform(18, 28), y + rng.uniform(-0.5, 0.5), 0.8, shade(sea, 1.55)
            )
    sheet.poly(
        [(0, shore - 3), *[(x, shore + 2 * sin(x / 14 + shore)) for x in range(0, SIDE + 8, 8)], (SIDE, shore - 3)],
        (246, 250, 250),
    )
    for _ in range(50):
        sheet.oval(rng.uniform(0, SIDE), rng.uniform(shore + 6, SIDE), 0.7, 0.5, shade(sand, 0.78))
    if rng.random() < 0.45:
        _palm(sheet, rng.choice((rng.uniform(6, 26), rng.uniform(198, 218))), shore + 14, rng)


def _palm(sheet: Sheet, x: float, base: float, rng: Random) -> None:
    lean, top = rng.uniform(-8, 8), base - rng.uniform(70, 95)
    for k in range(10):
        sheet.line(
            x + lean * k / 10,
            base + (top - base) * k / 10,
            x + lean * (k + 1) / 10,
            base + (top - base) * (k + 1) / 10,
            4,
            (128, 96, 62),
        )
    for k in range(7):
        a = k * pi / 6
        dx = 26 * (1 - k / 3)
        sheet.poly(
            [
                (x + lean, top),
                (x + lean + dx * 0.6, top - 10 * sin(a) - 3),
                (x + lean + dx, top + 12 - 12 * sin(a)),
                (x + lean + dx * 0.55, top - 2 - 6 * sin(a)),
            ],
            (60, 130, 66),
        )


def _street(sheet: Sheet, time: str, horizon: float, kerb: float, rng: Random) -> None:
    _sky(sheet, time, horizon, rng)
    x = -rng.uniform(0, 20)
    while x < SIDE:
        width, top = rng.uniform(34, 62), rng.uniform(6, horizon - 38)
        wall = vary(
            rng.choice(((184, 150, 124), (160, 164, 172), (196, 178, 150), (150, 110, 96), (126, 138, 150))), rng
        )
        sheet.box(x, top, x + width, kerb, wall)
        for wy in np.arange(top + 7, kerb - 18, 17):
            for wx in np.arange(x + 6, x + width - 9, 14):
                lit = rng.random() < 0.5 and time != "day"
                sheet.box(wx, wy, wx + 7, wy + 9, (255, 226, 130) if lit else shade(wall, 0.6))
        sheet.box(x + width / 2 - 5, kerb - 16, x + width / 2 + 5, kerb, shade(wall, 0.45))
        x += width + rng.choice((0, 0, 2))
    sheet.box(0, kerb, SIDE, kerb + 16, vary((176, 172, 166), rng, 8))
    road = vary((92, 94, 100), rng, 10)
    sheet.gradient(kerb + 16, SIDE, road, shade(road, 0.84))
    sheet.box(0, kerb + 15, SIDE, kerb + 17, (206, 204, 198))
    y, offset = (kerb + SIDE) / 2 + 14, rng.uniform(0, 40)
    for x in range(-40, SIDE, 46):
        sheet.poly(
            [(x + offset, y), (x + offset + 24, y), (x + offset + 22, y + 4), (x + offset - 3, y + 4)], (228, 224, 206)
        )


def _field(sheet: Sheet, time: str, horizon: float, fence: float, rng: Random) -> None:
    _sky(sheet, time, horizon, rng)
    sheet.ridge(horizon, rng.uniform(14, 30), rng, vary((128, 160, 128), rng))
    grass = vary((126, 172, 74), rng, 16)
    sheet.gradient(horizon, SIDE, shade(grass, 1.12), shade(grass, 0.8))
    _tufts(sheet, horizon + 6, rng, grass, 90)
    if rng.random() < 0.55:
        wood = (150, 120, 88)
        for x in range(-4, SIDE, 24):
            sheet.box(x, fence - 14, x + 3, fence + 3, wood)
        for dy in (-11, -4):
            sheet.box(0, fence + dy, SIDE, fence + dy + 2, shade(wood, 1.15))
    for _ in range(rng.randint(0, 2)):
        _tree(sheet, rng.uniform(0, SIDE), horizon + 4, rng.uniform(22, 40), rng)
    for _ in range(rng.choice((0, 0, 24))):
        sheet.oval(
            rng.uniform(0, SIDE),
            rng.uniform(horizon + 20, SIDE),
            1.3,
            1.3,
            rng.choice(((250, 240, 120), (240, 240, 250))),
        )


def _mountain(sheet: Sheet, time: str, horizon: float, _: float, rng: Random) -> None:
    _sky(sheet, time, horizon, rng)
    for x, height in ((rng.uniform(20, 80), rng.uniform(62, 84)), (rng.uniform(130, 210), rng.uniform(48, 80))):
        rock, half = vary((112, 122, 142), rng, 10), height * 1.15
        top = horizon + 6 - height
        sheet.poly([(x - half, horizon + 8), (x, top), (x + half, horizon + 8)], rock)
        sheet.poly([(x, top), (x + half, horizon + 8), (x + half * 0.2, horizon + 8)], shade(rock, 0.82))
        sheet.poly(
            [
                (x - half * 0.42, top + height * 0.42),
                (x, top),
                (x + half * 0.42, top + height * 0.42),
                (x + half * 0.2, top + height * 0.36),
                (x, top + height * 0.5),
                (x - half * 0.2, top + height * 0.36),
            ],
            (246, 250, 255),
        )
    snow = vary((232, 240, 250), rng, 5)
    sheet.gradient(horizon, SIDE, snow, shade(snow, 0.9))
    sheet.ridge(horizon + 10, 10, rng, snow)
    for _i in range(rng.randint(2, 5)):
        _pine(
            sheet,
            rng.choice((rng.uniform(0, 60), rng.uniform(164, 224))),
            horizon + rng.uniform(6, 22),
            rng.uniform(30, 52),
            rng,
        )
    for _i in range(4):
        y = rng.uniform(horizon + 24, SIDE)
        sheet.line(rng.uniform(0, 100), y, rng.uniform(120, SIDE), y + rng.uniform(-5, 9), 1, shade(snow, 0.88))


def _lake(sheet: Sheet, time: str, horizon: float, shore: float, rng: Random) -> None:
    _sky(sheet, time, horizon, rng)
    sheet.ridge(horizon + 2, rng.uniform(26, 46), rng, vary((112, 140, 150), rng))
    sheet.ridge(horizon + 2, rng.uniform(10, 18), rng, vary((56, 104, 72), rng))
    water, grass = vary((72, 122, 150), rng), vary((110, 154, 72), rng)
    sheet.gradient(horizon, shore, shade(water, 1.25), water)
    for _ in range(26):
        x, y = rng.uniform(0, SIDE), rng.uniform(horizon + 3, shore - 2)
        sheet.line(x, y, x + 4 + (y - horizon) * 0.16, y, 0.9, shade(water, rng.choice((1.3, 1.5, 0.86))))
    sheet.gradient(shore, SIDE, grass, shade(grass, 0.8))
    _tufts(sheet, shore, rng, grass, 50)
    x = rng.choice((rng.uniform(2, 20), rng.uniform(196, 214)))
    for dx in range(-8, 10, 4):
        sheet.line(x + dx, shore + 5, x + dx * 1.4, shore - rng.uniform(14, 24), 1.2, (96, 126, 60))


def _park(sheet: Sheet, time: str, horizon: float, _: float, rng: Random) -> None:
    _sky(sheet, time, horizon, rng)
    for x in range(-10, SIDE, 26):
        _tree(sheet, x + rng.uniform(-6, 6), horizon + 8, rng.uniform(52, 84), rng)
    grass, path = vary((104, 166, 84), rng, 12), vary((206, 188, 154), rng, 8)
    sheet.gradient(horizon, SIDE, grass, shade(grass, 0.84))
    bend, middle = rng.uniform(-60, 60), rng.uniform(60, 164)
    sheet.poly(
        [(middle + bend - 5, horizon + 2), (middle + bend + 5, horizon + 2), (middle + 60, SIDE), (middle - 40, SIDE)],
        path,
    )
    _tufts(sheet, horizon + 8, rng, grass, 50)
    x = rng.choice((rng.uniform(8, 30), rng.uniform(190, 216)))
    _tree(sheet, x, horizon + 34, rng.uniform(96, 118), rng)


def _window(sheet: Sheet, x: float, y: float, w: float, h: float, time: str, rng: Random) -> None:
    upper, lower = rng.choice(SKIES[time])
    sheet.box(x - 3, y - 3, x + w + 3, y + h + 3, (244, 240, 232))
    for k in range(8):
        mix = k / 7
        tone = tuple(int(a + (b - a) * mix) for a, b in zip(upper, lower, strict=True))
        sheet.box(x, y + h * k / 8, x + w, y + h * (k + 1) / 8, tone)  # ty: ignore[invalid-argument-type]
    sheet.box(x + w / 2 - 1, y, x + w / 2 + 1, y + h, (244, 240, 232))
    sheet.box(x, y + h / 2 - 1, x + w, y + h / 2 + 1, (244, 240, 232))


def _kitchen(sheet: Sheet, time: str, horizon: float, _: float, rng: Random) -> None:
    wall = vary(rng.choice(((226, 220, 200), (206, 222, 216), (236, 214, 186), (214, 218, 226))), rng, 8)
    sheet.gradient(0, horizon + 16, wall, shade(wall, 0.94))
    for y in range(48, int(horizon), 10):
        sheet.line(0, y, SIDE, y, 0.6, shade(wall, 0.87))
        for x in range(10 * ((y // 10) % 2), SIDE, 20):
            sheet.line(x, y, x, y + 10, 0.6, shade(wall, 0.87))
    wood = vary(rng.choice(((160, 116, 76), (216, 212, 206), (110, 132, 140), (128, 150, 118))), rng)
    fridge_left, width = rng.random() < 0.5, 50
    left, right = (width, SIDE) if fridge_left else (0, SIDE - width)
    for x in range(left, right, 44):
        sheet.box(x + 1, 4, x + 42, 40, wood)
        sheet.box(x + 5, 8, x + 38, 36, shade(wood, 1.12))
    if rng.random() < 0.6:
        _window(sheet, (left + right) / 2 - 22, 48, 44, 36, time, rng)
    counter = horizon - 14
    sheet.box(left, counter, right, horizon + 16, wood)
    sheet.box(left, counter - 5, right, counter, shade(wood, 0.55))
    for x in range(left, right, 44):
        sheet.box(x + 4, counter + 5, x + 40, horizon + 12, shade(wood, 1.12))
    fx = 2 if fridge_left else SIDE - width
    sheet.box(fx, 20, fx + width - 4, horizon + 16, (214, 220, 224))
    sheet.line(fx, 62, fx + width - 4, 62, 1.4, (150, 156, 162))
    sheet.line(fx + 6, 68, fx + 6, 90, 2, (120, 126, 132))
    tile = vary((206, 196, 184), rng, 8)
    sheet.gradient(horizon + 16, SIDE, tile, shade(tile, 0.88))
    for k in range(-8, 12):
        sheet.line(112 + k * 22, horizon + 16, 112 + k * 60, SIDE, 0.8, shade(tile, 0.82))
    for y in (horizon + 28, horizon + 46, horizon + 72):
        sheet.line(0, y, SIDE, y, 0.8, shade(tile, 0.82))


def _living_room(sheet: Sheet, time: str, horizon: float, _: float, rng: Random) -> None:
    wall = vary(
        rng.choice(((224, 206, 170), (176, 196, 204), (206, 184, 196), (190, 204, 170), (220, 214, 206))), rng, 10
    )
    sheet.gradient(0, horizon, wall, shade(wall, 0.92))
    sheet.box(0, horizon - 4, SIDE, horizon, (242, 238, 230))
    side = rng.random() < 0.5
    wx = rng.uniform(12, 30) if side else rng.uniform(138, 158)
    _window(sheet, wx, 18, 52, 56, time, rng)
    curtain = vary(rng.choice(((176, 70, 70), (90, 110, 150), (214, 190, 130), (110, 140, 110))), rng)
    for x in (wx - 13, wx + 53):
        sheet.box(x, 12, x + 12, 84, curtain)
        sheet.line(x + 4, 12, x + 4, 84, 1, shade(curtain, 0.8))
    px = rng.uniform(130, 160) if side else rng.uniform(24, 60)
    sheet.box(px, 22, px + 36, 50, (110, 78, 50))
    sheet.box(px + 3, 25, px + 33, 47, vary((150, 170, 160), rng, 30))
    sheet.poly([(px + 3, 47), (px + 14, 33), (px + 24, 47)], vary((100, 120, 90), rng, 20))
    floor = vary(rng.choice(((172, 122, 78), (142, 98, 62), (190, 160, 124))), rng)
    sheet.gradient(horizon, SIDE, floor, shade(floor, 0.86))
    for k in range(-6, 9):
        sheet.line(112 + k * 20, horizon, 112 + k * 44, SIDE, 0.8, shade(floor, 0.82))
    if rng.random() < 0.6:
        rug = vary(rng.choice(((178, 80, 70), (90, 110, 140), (200, 190, 170), (110, 130, 100))), rng)
        sheet.oval(112, SIDE - 34, 98, 26, rug)
        sheet.oval(112, SIDE - 34, 88, 21, shade(rug, 1.2))
    if rng.random() < 0.5:
        lx = rng.choice((10, 212))
        sheet.line(lx, 60, lx, horizon + 8, 2, (70, 64, 60))
        sheet.poly([(lx - 7, 42), (lx + 7, 42), (lx + 13, 64), (lx - 13, 64)], (250, 230, 170))


# place: (painter, lowest and highest horizon, lowest and highest second line: shore, kerb or fence)
PLACES: dict[str, tuple[Callable[[Sheet, str, float, float, Random], None], tuple[int, int], tuple[int, int]]] = {
    "beach": (_beach, (70, 92), (122, 140)),
    "street": (_street, (84, 100), (108, 120)),
    "field": (_field, (78, 104), (112, 122)),
    "snowy mountain": (_mountain, (86, 108), (0, 0)),
    "lake": (_lake, (76, 94), (168, 184)),
    "park": (_park, (86, 104), (0, 0)),
    "kitchen": (_kitchen, (112, 124), (0, 0)),
    "living room": (_living_room, (116, 128), (0, 0)),
}
INDOORS = ("kitchen", "living room")


def backdrop(place: str, time: str, horizon: float, line: float, rng: Random) -> Image.Image:
    """Return the empty place as an RGB image of SIDE x SIDE; `line` is the shore, kerb or fence in pixels."""
    sheet = Sheet()
    PLACES[place][0](sheet, time, horizon, line, rng)
    return sheet.image.reduce(SCALE)


@lru_cache(maxsize=1)
def _grain() -> np.ndarray:
    """Return soft blotches with fine grain, float32[512, 512, 1], from which `finish` takes windows."""
    noise = np.random.Generator(np.random.PCG64(7))
    coarse = Image.fromarray((noise.random((24, 24)) * 255).astype(np.uint8)).resize(
        (512, 512), Image.Resampling.BICUBIC
    )
    fine = noise.normal(0, 3.2, (512, 512))
    return ((np.asarray(coarse, dtype=np.float32) - 127) * 0.06 + fine).astype(np.float32)[..., None]


def finish(image: Image.Image, time: str, indoors: bool, rng: Random) -> Image.Image:
    """Return the picture in the light of its hour, with grain, so that pictures have no identical flat areas."""
    red, green, blue = (1 - (1 - c) * (0.55 if indoors else 1.0) for c in LIGHT[time])
    gain = rng.uniform(0.92, 1.06)
    x, y = rng.randrange(512 - SIDE), rng.randrange(512 - SIDE)
    pixels = np.asarray(image, dtype=np.float32) * np.array([red * gain, green * gain, blue * gain], dtype=np.float32)
    pixels += _grain()[y : y + SIDE, x : x + SIDE]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
