"""Photos on a page: upright, only from the run's folder, and a sentence where there is none."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from dashboard.figures.thumbnails import inside, photo


def opened(uri: str) -> Image.Image:
    kind, _, body = uri.partition(",")
    assert kind == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(body)))


def test_a_photo_keeps_its_shape_and_becomes_small(tmp_path):
    Image.new("RGB", (800, 400), "red").save(tmp_path / "a.png")
    assert opened(photo(tmp_path, "a.png", 200).uri).size == (200, 100)


def test_a_photo_lying_on_its_side_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (80, 40)).save(tmp_path / "a.jpg", exif=exif)
    assert opened(photo(tmp_path, "a.jpg").uri).size == (40, 80)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "I;16", "F"])
def test_every_kind_of_pixel_is_shown(tmp_path, mode):
    if mode == "I;16":
        image = Image.fromarray(np.full((8, 8), 128 * 256, np.uint16))
    else:
        grey = Image.new("L", (8, 8), 128)
        image = grey.quantize() if mode == "P" else grey.convert("RGB").convert(mode)
    image.save(tmp_path / "a.tif")
    shade = opened(photo(tmp_path, "a.tif").uri).convert("L").getpixel((4, 4))
    assert mode == "1" or abs(shade - 128) < 6


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "folder/../../secret.png", "notes.txt", "a\0.png"])
def test_no_name_reads_a_file_that_is_no_photo_of_the_run(tmp_path, name):
    Image.new("RGB", (4, 4)).save(tmp_path / "secret.png")
    root = tmp_path / "photos"
    root.mkdir()
    (root / "notes.txt").write_text("private")
    assert inside(root, name) is None
    assert photo(root, name).uri == ""


def test_photos_and_folders_that_are_links_are_shown(tmp_path):
    (tmp_path / "kept").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "kept" / "blob.png")
    root = tmp_path / "photos"
    root.mkdir()
    (root / "link.png").symlink_to(tmp_path / "kept" / "blob.png")
    (root / "folder").symlink_to(tmp_path / "kept")
    assert photo(root, "link.png").uri and photo(root, "folder/blob.png").uri


def test_what_cannot_be_shown_says_why(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    assert photo(tmp_path, "gone.jpg").missing == "gone.jpg was not found."
    assert photo(tmp_path, "broken.jpg").missing == "broken.jpg cannot be opened as a photo."
    assert photo(tmp_path, "empty.png").missing == "empty.png cannot be opened as a photo."
    assert photo(None, "a.jpg").missing == photo(tmp_path, None).missing == "The run record names no photo folder."


def test_a_replaced_photo_is_read_again(tmp_path):
    Image.new("RGB", (8, 8), "black").save(tmp_path / "a.png")
    before = photo(tmp_path, "a.png").uri
    Image.new("RGB", (8, 8), "white").save(tmp_path / "a.png")
    assert photo(tmp_path, "a.png").uri != before
