from pathlib import Path

import pytest

from engine.data.dataset import Box
from engine.data.split import Split

BOX = Box("dog", 0, 0, 1, 1)
SPLIT = Split(("a", "b", "c"), (("x",), (), ("y", "z")), (Path("a.png"), None, Path("c.png")), ((), (BOX,), (BOX,)))


@pytest.mark.parametrize(
    ("needs", "rows"),
    [((), [0, 1, 2]), (("references",), [0, 2]), (("photos",), [0, 2]), (("objects",), [1, 2]),
     (("references", "photos", "objects"), [2])],
)  # fmt: skip
def test_the_images_that_have_what_a_metric_needs(needs, rows):
    assert SPLIT.having(needs) == rows


def test_rows_keep_all_parts_together():
    part = SPLIT.take([2, 0])
    assert part == Split(("c", "a"), (("y", "z"), ("x",)), (Path("c.png"), Path("a.png")), ((BOX,), ()))


def test_parts_of_another_length_are_refused():
    with pytest.raises(ValueError, match="photos: 1 values for 2 images"):
        Split(("a", "b"), ((), ()), (None,))


def test_references_alone_make_a_split():
    assert Split.of_references([["x"], ["y"]]).having({"references"}) == [0, 1]
    assert Split.of_references([["x"]]).having({"photos"}) == []
