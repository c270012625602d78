"""The stored maps."""

from engine.store import queries


def test_attention_comes_with_the_size_of_its_photo(cursor):
    row = queries.attention(cursor, "demo_cnn", 1, "scene_00").iloc[0]
    words, layers, heads, patches = row["shape"]
    assert (layers, heads, patches) == (2, 2, 49)
    assert len(row["weights"]) == words * layers * heads * patches
    assert len(row["scale"]) == words * layers * heads
    assert row["crop"] == {"x": 40.0, "y": 0.0, "width": 240.0, "height": 240.0}
    assert (row["file_name"], row["width"], row["height"]) == ("scene_00.png", 320, 240)


def test_a_run_without_attention_has_no_rows_of_it(cursor):
    assert queries.attention_beam_sizes(cursor, "predictions").empty
    assert queries.attention(cursor, "predictions", 0, "flickr_0").empty
    assert len(queries.attention_captions(cursor, "demo", 1, 4)) == 4


def test_whether_maps_were_kept_is_known_without_reading_them(cursor):
    assert len(queries.has_attention(cursor, "demo", 1, "scene_00")) == 1
    assert queries.has_attention(cursor, "predictions", 0, "flickr_0").empty
