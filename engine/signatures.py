"""What two numbers' signatures have in common, and where they differ: whether one axis may hold both.

Knows the form `metric|name:value|...`. Knows no metric and no run.
"""

from dataclasses import dataclass

_OURS_TO_DIFFER = {"beam"}  # the choice itself; everything else is said

_SEARCH = {"rule", "max_length", "length_penalty", "early_stopping"}

_WORDS = {
    "": "metric",
    "data": "data (fingerprint)",
    "images": "images scored",
    "refs": "references an image",
    "rule": "search rule",
    "max_length": "maximum length",
    "length_penalty": "length penalty",
    "early_stopping": "early stopping",
    "tok": "tokeniser",
    "clip": "CLIP",
    "weights": "CLIP weights",
}
_UNKNOWN = "not known"


@dataclass(frozen=True)
class Difference:
    """One thing that two signatures do not share."""

    what: str
    left: str
    right: str
    search: bool = False  # how captions were searched for, and not how they were measured

    def __str__(self) -> str:
        return f"{self.what}: {self.left} against {self.right}"


def facts(signature: str) -> dict[str, str]:
    """The named values of a signature in its order; the metric's own name stands under ""."""
    name, *rest = (signature or "").split("|")
    found = {"": name}
    last = ""
    for entry in rest:
        key, colon, value = entry.partition(":")
        if colon:
            last = key
            found[key] = value
        else:
            found[last] += f"|{entry}"  # a bar inside a value, such as in a CLIP prefix
    return found


def differences(left: str, right: str) -> list[Difference]:
    """What differs apart from the beam size, in the order of the signatures."""
    one, other = facts(left), facts(right)
    return [
        Difference(
            _WORDS.get(key, key.replace("_", " ")), one.get(key, _UNKNOWN), other.get(key, _UNKNOWN), key in _SEARCH
        )
        for key in dict.fromkeys([*one, *other])
        if key not in _OURS_TO_DIFFER and one.get(key) != other.get(key)
    ]
