import numpy as np
import pytest
from PIL import Image

from engine.data import photos
from engine.data.photos import PhotoError, Preprocessing, open_photo, read_ahead


@pytest.mark.parametrize(
    ("name", "mode"),
    [("a.jpg", "RGB"), ("a.jpg", "L"), ("a.jpg", "CMYK"), ("a.png", "RGBA"), ("a.png", "P"), ("a.webp", "RGB")],
)
def test_every_format_and_mode_becomes_rgb(tmp_path, name, mode):
    Image.new("RGB", (7, 5), (200, 40, 40)).convert(mode).save(tmp_path / name)
    photo = open_photo(tmp_path / name)
    assert (photo.mode, photo.size) == ("RGB", (7, 5))


def test_sixteen_bit_grey_keeps_its_shades(tmp_path):
    grey = np.array([[0, 16384, 32768, 65535]], dtype=np.uint16)
    Image.fromarray(grey).save(tmp_path / "a.png")
    assert np.asarray(open_photo(tmp_path / "a.png"))[0, :, 0].tolist() == [0, 64, 128, 255]


def test_exif_rotation_is_applied(tmp_path):
    image = Image.new("RGB", (8, 4))
    exif = image.getexif()
    exif[0x0112] = 6  # rotate by 90 degrees to see it upright
    image.save(tmp_path / "a.jpg", exif=exif)
    assert open_photo(tmp_path / "a.jpg").size == (4, 8)


def test_each_bad_photo_has_a_reason(tmp_path, monkeypatch):
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("no picture")
    Image.effect_noise((64, 64), 90).convert("RGB").save(tmp_path / "cut.jpg")
    whole = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (100, 100)).save(tmp_path / "large.png")
    monkeypatch.setattr(photos, "MAX_PIXELS", 64 * 64)
    reasons = {}
    for name in ("empty.jpg", "text.jpg", "cut.jpg", "large.png", "missing.jpg"):
        with pytest.raises(PhotoError) as caught:
            open_photo(tmp_path / name)
        reasons[name] = str(caught.value)
    assert reasons["empty.jpg"] == "the file is empty"
    assert reasons["text.jpg"] == "not a JPEG, PNG, WebP, AVIF, TIFF, GIF or BMP image"
    assert "truncated" in reasons["cut.jpg"]
    assert "100 x 100 pixels" in reasons["large.png"]
    assert reasons["missing.jpg"] == "there is no such file"


@pytest.mark.parametrize(("size", "is_usable"), [((1, 60_000), False), ((60_000, 1), False), ((3, 300), True)])
def test_a_long_strip_is_not_a_photo(tmp_path, size, is_usable):
    path = tmp_path / "strip.png"
    Image.new("RGB", size).save(path)
    if is_usable:
        assert Preprocessing(32).window_bytes(open_photo(path)).shape == (32, 32, 3)
        return
    with pytest.raises(PhotoError, match=f"{size[0]} x {size[1]} pixels, one side over 100 times the other"):
        open_photo(path)


def test_pixels_equal_the_transform_timm_would_use():
    from timm.data import create_transform

    photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (231, 307, 3), dtype=np.uint8))
    ours = Preprocessing(224, 0.9, "bicubic", (0.4, 0.5, 0.6), (0.2, 0.3, 0.25))
    peer = create_transform(
        (3, 224, 224), crop_pct=0.9, interpolation="bicubic", mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25)
    )
    np.testing.assert_allclose(ours.normalise(ours.window_bytes(photo)), peer(photo).numpy(), atol=1e-6)


def test_crop_is_given_in_the_photos_own_pixels():
    crop = Preprocessing(size=100, crop_pct=0.5).crop(400, 200)
    assert (crop.x, crop.y, crop.width, crop.height) == (150, 50, 100, 100)


def test_unknown_interpolation_is_refused():
    with pytest.raises(ValueError, match="expected one of"):
        Preprocessing(interpolation="magic")


def test_read_ahead_keeps_order_and_raises_where_the_item_is_due():
    assert list(read_ahead(range(100), lambda number: number * 2, workers=3, ahead=7)) == [*range(0, 200, 2)]
    items = read_ahead([1, 0, 2], lambda number: 1 / number)
    assert next(items) == 1
    with pytest.raises(ZeroDivisionError):
        next(items)
