"""Settings of runs as texts, and those in which runs differ."""

from engine.store import run_settings


def test_settings_are_flat_texts_of_scalars():
    record = {
        "kind": "captioner",
        "captioner": {"encoder": "vit", "decoder_layers": 2, "training": {"learning_rate": 5e-5, "frozen": True}},
        "decoding": {"rule": None, "top_k": 0, "banned": ["a", "b"]},
        "timings": {"decode": 3.0},
        "data": "not an object",
    }
    assert run_settings.settings_of(record) == {
        "kind": "captioner",
        "captioner: encoder": "vit",
        "captioner: decoder layers": "2",
        "captioner: training: learning rate": "5e-05",
        "captioner: training: frozen": "yes",
        "decoding: top k": "0",
        "decoding: banned": "a, b",
        "data": "not an object",
    }


def test_only_what_differs_is_listed_with_all_its_values():
    columns = [{"kind": "a", "seed": "0"}, {"kind": "a", "decoding: rule": "study", "seed": "0"}]
    differing, equal = run_settings.aligned(columns)
    assert differing == {"decoding: rule": [run_settings.MISSING, "study"]}
    assert equal == {"kind": "a", "seed": "0"}


def test_records_of_other_programs_are_read_without_an_error():
    deep: dict = {}
    for _ in range(50):
        deep = {"more": deep or 1}
    assert run_settings.settings_of({"captioner": deep, "seed": 10**5000, "clip": [1, {"a": 2}]}) == {"clip": "1"}
