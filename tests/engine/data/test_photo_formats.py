"""Which files are photos, and what is said of the others."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from engine.data import registry
from engine.data.dataset import DatasetError
from engine.data.photo_formats import FORMATS, files_below, is_photo
from engine.data.photos import PhotoError, open_photo
from tests.support import tiny

SAVED = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "AVIF": "avif", "TIFF": "tif", "GIF": "gif", "BMP": "bmp"}


def picture(path, format: str | None = None):
    Image.effect_noise((64, 48), 60).convert("RGB").save(path, format)
    return path


@pytest.mark.parametrize("format", FORMATS)
def test_each_format_is_recognised_by_its_content_whatever_the_name(tmp_path, format):
    for name in (f"a.{SAVED[format]}", "without_extension", "wrong.txt", "wrong.png"):
        path = picture(tmp_path / name, format)
        assert is_photo(path)
        assert (open_photo(path).mode, open_photo(path).size) == ("RGB", (64, 48))
    assert not is_photo(picture(tmp_path / ".hidden.jpg", format))


def test_the_first_picture_of_an_animation_counts(tmp_path):
    red, blue = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    for name in ("a.gif", "a.webp"):
        red.save(tmp_path / name, save_all=True, append_images=[blue], lossless=True)
        assert np.asarray(open_photo(tmp_path / name))[4, 4].tolist() == [255, 0, 0]


def test_pillow_opens_no_other_format_whatever_the_name(tmp_path, monkeypatch):
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was started"))
    Image.new("RGB", (8, 8)).save(tmp_path / "a.eps")
    for name, format in (("eps.jpg", None), ("pcx.jpg", "PCX"), ("ico.png", "ICO"), ("ppm.jpg", "PPM")):
        if format is None:
            (tmp_path / name).write_bytes((tmp_path / "a.eps").read_bytes())
        else:
            Image.new("RGB", (16, 16)).save(tmp_path / name, format)
        with pytest.raises(PhotoError, match="not a JPEG, PNG, WebP, AVIF, TIFF, GIF or BMP image"):
            open_photo(tmp_path / name)


def test_a_pipe_is_no_photo_and_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "x.jpg")
    with pytest.raises(PhotoError, match="not a regular file"):
        open_photo(tmp_path / "x.jpg")
    os.mkfifo(tmp_path / "pipe")
    assert not is_photo(tmp_path / "pipe")


@pytest.mark.parametrize(("value", "dtype"), [(0.5, np.float32), (70_000, np.int32)])
def test_pixels_that_eight_bits_cannot_show_are_refused_and_not_clipped(tmp_path, value, dtype):
    Image.fromarray(np.full((8, 8), value, dtype)).save(tmp_path / "a.tif")
    with pytest.raises(PhotoError, match="save it with 8 bits per channel"):
        open_photo(tmp_path / "a.tif")


def test_every_file_of_a_folder_is_a_photo_or_is_named(tmp_path):
    for name in ("a.jpg", "b.avif", "c.tif", "no_extension"):
        picture(tmp_path / name, "AVIF" if name == "b.avif" else "TIFF" if name == "c.tif" else "JPEG")
    (tmp_path / "d.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (tmp_path / "e.nef").write_bytes((tmp_path / "c.tif").read_bytes())
    (tmp_path / "notes.txt").write_text("BM not a bitmap")
    (tmp_path / ".DS_Store").write_text("")
    tiny.photo(tmp_path / ".ipynb_checkpoints" / "a-checkpoint.jpg")
    tiny.photo(tmp_path / "more" / "z.jpg")
    dataset = registry.load(tmp_path)
    assert [example.file_name for example in dataset.examples] == ["a.jpg", "b.avif", "c.tif", "no_extension"]
    assert dataset.remarks == (
        "3 other files are not a JPEG, PNG, WebP, AVIF, TIFF, GIF or BMP image: d.heic, e.nef, notes.txt",
        "1 photo in subfolders (more) is not used, because the folder itself has photos",
    )


def test_a_folder_without_a_photo_names_what_it_has(tmp_path):
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(DatasetError, match=r"contains no photos; 1 other file is not a JPEG, .* image: a\.heic"):
        registry.load(tmp_path)


def test_linked_folders_are_followed_and_circles_end(tmp_path):
    tiny.photo(tmp_path / "elsewhere" / "a.jpg")
    (tmp_path / "data" / "sub").mkdir(parents=True)
    (tmp_path / "data" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "sub" / "circle").symlink_to(tmp_path / "data")
    found = files_below(tmp_path / "data")
    assert [photo.relative_to(tmp_path / "data").as_posix() for photo in found.photos] == ["link/a.jpg"]


@pytest.mark.parametrize(
    "name",
    ["../a.jpg", "x/../../a.jpg", "/etc/a.jpg", "..\\a.jpg", "C:\\a.jpg", "C:a.jpg", "\\\\host\\a.jpg", "a\0.jpg"],
)
def test_names_in_annotations_cannot_leave_the_dataset(tmp_path, name):
    content = {"images": [{"id": 1, "file_name": name}], "annotations": []}
    tiny.write_json(tmp_path / "coco" / "captions_val.json", content)
    entry = {"filename": name, "split": "val", "sentences": []}
    tiny.write_json(tmp_path / "karpathy" / "dataset_x.json", {"images": [entry]})
    tiny.write_json(tmp_path / "pairs" / "val.json", [{"image": name, "caption": "a"}])
    for folder in ("coco", "karpathy", "pairs"):
        with pytest.raises(DatasetError, match="points outside the photos' folder|cannot be a file name"):
            registry.load(tmp_path / folder)


def test_pillows_warnings_do_not_reach_the_terminal(tmp_path):
    picture(tmp_path / "a.tif")
    damaged = bytearray((tmp_path / "a.tif").read_bytes())
    damaged[-60:] = b"\xff" * 60
    (tmp_path / "a.tif").write_bytes(damaged)
    picture(tmp_path / "lzw.tif", None)
    Image.open(tmp_path / "lzw.tif").save(tmp_path / "lzw.tif", compression="tiff_lzw")
    damaged = bytearray((tmp_path / "lzw.tif").read_bytes())
    damaged[2000:2100] = b"\xff" * 100
    (tmp_path / "lzw.tif").write_bytes(damaged)
    Image.new("1", (9_500, 9_500)).save(tmp_path / "large.png")  # above the size at which Pillow begins to warn
    code = (
        "import sys; from pathlib import Path; from engine.data.photos import *\n"
        "for path in map(Path, sys.argv[1:]):\n"
        "    try: open_photo(path)\n"
        "    except PhotoError: pass\n"
    )
    files = [tmp_path / "a.tif", tmp_path / "lzw.tif", tmp_path / "large.png"]
    done = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True, check=True)
    assert done.stderr == ""
