"""Figures made of photos: every word has its tile, every panel its text, and none of it is markup."""

import base64
import io
import json

from PIL import Image

from dashboard import theme
from dashboard.figures.heatmaps import AttentionView
from dashboard.figures.panels import Panel, attention_strip, panels
from dashboard.theme import DARK, INK
from tests.dashboard.figures.test_heatmaps import row

PHOTO = Image.new("RGB", (300, 200), "green")


def words(figure) -> list[str]:
    return [annotation.text for annotation in figure.layout.annotations]


def test_a_strip_has_a_picture_and_a_word_for_every_word():
    strip = attention_strip("x: <b>", row(), PHOTO, AttentionView())
    assert len(strip.layout.images) == 3 and words(strip) == ["<i>photo</i>", "w0", "w1"]
    assert strip.layout.title.text == "x: &lt;b&gt;"
    assert all(image.source.startswith("data:image/jpeg;base64,") for image in strip.layout.images)


def test_a_strip_begins_with_the_photo_as_it_is():
    first = attention_strip("x", row(), PHOTO, AttentionView()).layout.images[0].source
    shown = Image.open(io.BytesIO(base64.b64decode(first.partition(",")[2])))
    assert {shown.getpixel((x, shown.height // 2)) for x in range(0, shown.width, 20)} == {
        (0, 128, 1)
    }  # green, as JPEG keeps it
    assert words(attention_strip("x", row(), None, AttentionView()))[0] == "<i>photo missing</i>"


def test_a_word_whose_map_is_nearly_the_mean_map_is_marked_in_a_strip():
    assert words(attention_strip("x", row(), PHOTO, AttentionView(layer=2)))[1:] == ["w0 ≈", "w1 ≈"]


def test_a_long_title_wraps_between_words_and_moves_everything_below_it_down():
    caption = "a man in a red shirt and a woman in a blue dress are standing in front of a building . " * 3
    short, long = (
        attention_strip(title, row(), PHOTO, AttentionView()).layout for title in ("x", f"000000204777: {caption}")
    )
    lines = long.title.text.split("<br>")
    assert len(lines) > 2 and " ".join(lines) == f"000000204777: {caption}".strip() and "…" not in long.title.text
    assert long.margin.t - short.margin.t == long.height - short.height == theme.TITLE_LINE * (len(lines) - 1)


def test_a_long_word_below_a_tile_is_not_cut():
    case = row()
    case["words"] = ["a", "hottentottententententoonstelling"]
    assert words(attention_strip("x", case, PHOTO, AttentionView()))[-1].replace("<br>", "") == case["words"][1]


def test_panels_hold_photo_badge_caption_note_and_bars_the_right_one_ticked():
    panel = Panel(
        PHOTO, badge="#1 of 12", title="a dog", note="CIDEr 1.2", bars=(("dog", 0.9, True), ("cat", 0.1, False))
    )
    shown = words(panels("t", [panel]))
    assert shown == ["<b>#1 of 12</b>", "a dog", "CIDEr 1.2", "<b>✓ dog</b>", "90.0 %", "cat", "10.0 %"]


def test_labels_of_bars_that_begin_alike_look_different():
    names = [f"an extremely long class name number {number}" for number in ("one", "two", "three")]
    shown = words(panels("t", [Panel(PHOTO, bars=tuple((name, 0.3, False) for name in names))] * 3))
    assert len(set(shown[:6:2])) == 3


def test_bars_differ_without_colour():
    figure = panels("t", [Panel(PHOTO, bars=(("dog", 0.5, True), ("cat", 0.5, False)))], template=DARK)
    fills = [shape.fillcolor for shape in figure.layout.shapes]
    assert INK[DARK] in fills


def test_untrusted_text_is_not_markup_and_a_missing_photo_has_a_sentence():
    panel = Panel(
        None, "<i>x</i>.png was not found.", "<b>", "<script>a</script> & b", "<a href='x'>", (("<u>", 2.0, False),)
    )
    figure = panels("<title>", [panel])
    everything = json.dumps(figure.to_plotly_json()["layout"], default=str)
    for mark in ("<i>", "<script>", "<a ", "<u>", "<title>"):
        assert mark not in everything
    assert "&lt;i&gt;x&lt;/i&gt;.png was not found." in words(figure)


def test_a_long_caption_makes_its_whole_row_higher_and_is_all_there():
    long = "a very long caption " * 20
    short, tall = (panels("t", [Panel(PHOTO, title="a"), Panel(PHOTO, title=text)]) for text in ("b", long))
    assert tall.layout.height > short.layout.height + 60
    assert any(" ".join(text.replace("<br>", " ").split()) == long.strip() for text in words(tall))


def test_a_bar_never_leaves_its_track():
    figure = panels("t", [Panel(PHOTO, bars=(("a", 7.0, False), ("b", -1.0, False)))])
    assert all(0 <= shape.x0 <= shape.x1 <= 1000 for shape in figure.layout.shapes)


def test_a_panel_alone_takes_half_of_the_page():
    figure = panels("One", [Panel(Image.new("RGB", (300, 300)), title="a dog")])
    assert figure.layout.images[0].sizex < figure.layout.width / 2
