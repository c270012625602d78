"""Ways to damage a file: its bytes, its text, or the values of a JSON document."""

import json
from random import Random
from typing import Any

TOKENS: tuple[bytes, ...] = (
    *(b"[" * 3000, b'{"a":' * 3000, b"9" * 5000, b"-", b"1e400", b"NaN", b"Infinity", b"null", b"true", b"{}", b"[]"),
    *(b'""', b"\\ud83d", b"\\u0000", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\x1b[2J", b"../", b"/etc/passwd", b"%s%n"),
    *(b"\r\n", b"\n", b"\t", b",", b'"', b"|", b"#", b"=cmd()", "\u2028é🐶".encode(), b"x" * 70_000, b"0x10", b"1_0"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 0.5, 1.0, -0.0, 1e-300, 1e300, 10**6, 10**9, 10**18, 10**400, -(10**400)),
    *(float("nan"), float("inf"), "", " ", "a", "1", "01", "1.0", "../x", "/etc/passwd", "C:\\x", "a\0b", "\x1b[31m"),
    *("x" * 70_000, "é🐶", [], {}, [[]], [None], {"a": None}, [1, 2, 3, 4], ["a"], "hf-hub:x/y", "a.jpg"),
)


def damaged(content: bytes, random: Random) -> bytes:
    """Return the content of a file after one to three mutations."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        content = _mutated(content, random)
    return content


def _mutated(content: bytes, random: Random) -> bytes:
    if random.random() < 0.6 and (changed := _json_changed(content, random)) is not None:
        return changed
    at, other = sorted((random.randint(0, len(content)), random.randint(0, len(content))))
    near = min(other, at + random.choice((1, 4, 64)))
    return random.choice(_BYTES)(content, at, near, other, random)


_BYTES = (
    lambda content, at, near, other, random: content[:at],
    lambda content, at, near, other, random: content[:at] + content[near:],
    lambda content, at, near, other, random: content[:at] + random.choice(TOKENS) + content[at:],
    lambda content, at, near, other, random: content[:at] + random.choice(TOKENS) + content[near:],
    lambda content, at, near, other, random: content[:at] + random.randbytes(near - at) + content[near:],
    lambda content, at, near, other, random: content[:at] + content[at:near] * 2 + content[near:],
    lambda content, at, near, other, random: content[at:other],
    lambda content, at, near, other, random: _flipped(content, at, random),
    lambda content, at, near, other, random: b"" if random.random() < 0.2 else _flipped(content, at, random),
)


def _flipped(content: bytes, at: int, random: Random) -> bytes:
    if at >= len(content):
        return content
    return content[:at] + bytes([content[at] ^ (1 << random.randrange(8))]) + content[at + 1 :]


def _json_changed(content: bytes, random: Random) -> bytes | None:
    """Return a JSON document, or one line of JSON lines, with one value replaced, removed or repeated."""
    lines = content.split(b"\n")
    number = random.randrange(len(lines)) if len(lines) > 2 else None
    try:
        document = json.loads(content if number is None else lines[number])
    except (ValueError, RecursionError):
        return None
    places = list(_places(document))
    if not places:
        return None
    parent, key = random.choice(places)
    _change(parent, key, random)
    text = json.dumps(document, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")
    if number is None:
        return text
    return b"\n".join([*lines[:number], text, *lines[number + 1 :]])


def _change(parent: Any, key: Any, random: Random) -> None:
    kind = random.random()
    if kind < 0.2:
        del parent[key]
    elif kind < 0.3 and isinstance(parent, list):
        parent.append(parent[key])
    elif kind < 0.4 and isinstance(parent, dict):
        parent[random.choice(("id", "image_id", "caption", "x" * 70_000, ""))] = parent.pop(key)
    elif kind < 0.5:
        parent[key] = [parent[key]]
    elif kind < 0.6:
        parent[key] = str(parent[key])
    else:
        parent[key] = random.choice(VALUES)


def _places(value: Any):
    if isinstance(value, dict):
        for key, below in list(value.items()):
            yield value, key
            yield from _places(below)
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield value, number
            yield from _places(below)
